//! Added tokens such as `</s>` and `<extra_id_0>`: text that is one token wherever it occurs. Follows
//! `AddedVocabulary` of Hugging Face's tokenizers, without its regular expressions, which would be four
//! times the size of the tokenizer in the WebAssembly module.

use std::collections::BTreeMap;

/// One added token.
#[derive(Debug, Clone)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    /// Whether decoding skips it.
    pub(super) special: bool,
    /// Whether it includes whitespace before it.
    pub(super) lstrip: bool,
    /// Whether it includes whitespace after it.
    pub(super) rstrip: bool,
}

/// A piece of a text, split at the added tokens.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'t> {
    /// Text between added tokens, never empty.
    Text(&'t str),
    /// An added token's id.
    Token(u32),
}

/// The added tokens of a tokenizer, indexed for search.
#[derive(Debug, Default)]
pub(super) struct AddedTokens {
    /// By first byte; each list with the longest content first.
    by_first_byte: BTreeMap<u8, Vec<AddedToken>>,
}

impl AddedTokens {
    /// Ignores tokens with empty content, which would match everywhere.
    pub(super) fn new(tokens: impl IntoIterator<Item = AddedToken>) -> Self {
        let mut by_first_byte: BTreeMap<u8, Vec<AddedToken>> = BTreeMap::new();
        for token in tokens {
            if let Some(&first) = token.content.as_bytes().first() {
                by_first_byte.entry(first).or_default().push(token);
            }
        }
        for tokens in by_first_byte.values_mut() {
            tokens.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        }
        Self { by_first_byte }
    }

    /// The longest token that starts `text`.
    fn at_start(&self, text: &str) -> Option<&AddedToken> {
        let first = text.as_bytes().first()?;
        self.by_first_byte.get(first)?.iter().find(|token| text.starts_with(&token.content))
    }

    /// Splits a text at the added tokens, leftmost and longest first.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        let mut pieces = Vec::new();
        // Start of the text without a piece, and of the search: a token with `rstrip` includes whitespace
        // in which another token may start.
        let (mut start, mut position) = (0, 0);
        while let Some(rest) = text.get(position..).filter(|rest| !rest.is_empty()) {
            let Some(token) = self.at_start(rest) else {
                position += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let mut end = position + token.content.len();
            let next = end;
            let mut token_start = position;
            if token.lstrip {
                token_start = text[..position].trim_end().len().max(start);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if start < token_start {
                pieces.push(Piece::Text(&text[start..token_start]));
            }
            pieces.push(Piece::Token(token.id));
            start = end;
            position = next;
        }
        if start < text.len() {
            pieces.push(Piece::Text(&text[start..]));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, content: &str, strip: bool) -> AddedToken {
        AddedToken { id, content: content.into(), special: true, lstrip: strip, rstrip: strip }
    }

    #[test]
    fn the_longest_token_matches_and_may_include_whitespace() {
        let tokens = AddedTokens::new([
            token(1, "</s>", false),
            token(2, "<x>", true),
            token(3, "<x>y", false),
            token(4, "", false),
        ]);
        assert_eq!(
            tokens.split("é </s> a \u{a0}<x> b<x>y"),
            [
                Piece::Text("é "),
                Piece::Token(1),
                Piece::Text(" a"),
                Piece::Token(2),
                Piece::Text("b"),
                Piece::Token(3),
            ]
        );
        assert_eq!(tokens.split("<x>  <x>"), [Piece::Token(2), Piece::Token(2)]);
        assert_eq!(tokens.split(""), []);
    }
}
