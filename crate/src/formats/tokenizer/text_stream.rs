//! The text of ids that arrive one at a time.

use super::{Tokenizer, Units, byt5};

/// An incremental decoder of ids, for displaying a text while it is generated.
#[derive(Debug, Clone)]
pub struct TextStream<'t> {
    tokenizer: &'t Tokenizer,
    /// Whether no token that gives text has come.
    at_start: bool,
    /// Bytes of a character that is not complete yet, and whether bytes were the last to come.
    bytes: Vec<u8>,
    within_bytes: bool,
}

impl<'t> TextStream<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, at_start: true, bytes: Vec::new(), within_bytes: false }
    }

    /// Returns the text that the next id adds, which is empty for a special token, for an id outside the
    /// vocabulary and within a character's bytes. All returned texts joined equal [`Tokenizer::decode`] of all ids,
    /// but for the spaces that it cleans up.
    pub fn push(&mut self, id: u32) -> String {
        let added = self.tokenizer.added_by_id.get(&id);
        if added.is_some_and(|token| token.special) {
            return String::new();
        }
        match &self.tokenizer.units {
            Units::Pieces(pieces) => {
                let token = added.map(|token| token.content.as_str());
                let Some(token) = token.or_else(|| pieces.model.piece(id)) else {
                    return String::new();
                };
                let at_start = std::mem::take(&mut self.at_start);
                pieces.decode(token, at_start)
            }
            Units::Bytes => match (added, byt5::byte(id)) {
                (Some(token), _) => {
                    self.bytes.clear();
                    self.start_part(false).to_owned() + &token.content
                }
                (None, Some(byte)) => {
                    let space = if self.within_bytes { "" } else { self.start_part(true) };
                    self.bytes.push(byte);
                    format!("{space}{}", byt5::take_text(&mut self.bytes))
                }
                (None, None) => String::new(),
            },
        }
    }

    /// Starts a run of bytes or an added token: the space before it, unless it is the first.
    fn start_part(&mut self, within_bytes: bool) -> &'static str {
        self.within_bytes = within_bytes;
        if std::mem::take(&mut self.at_start) { "" } else { " " }
    }
}
