//! The Unigram model: a vocabulary of pieces with scores, and the segmentation of a word with the best
//! sum of scores. The result is that of `Unigram::tokenize` of Hugging Face's tokenizers, whose trie of
//! hash tables takes 300 MB for the 250,000 pieces of mT5, against 8 MB here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::FormatError;
use super::super::budget::Budget;

/// How much lower than the lowest score of a piece that of an unknown character is (`K_UNK_PENALTY`).
const UNKNOWN_PENALTY: f64 = 10.0;

/// Pieces and their scores, in the order of their ids.
#[derive(Default, PartialEq)]
pub(super) struct Vocabulary {
    /// The pieces, concatenated.
    text: String,
    /// Where each piece ends in `text`, which is shorter than the file.
    ends: Vec<u32>,
    scores: Vec<f64>,
}

impl Vocabulary {
    /// Adds the piece with the next id.
    pub(super) fn push(&mut self, piece: &str, score: f64) {
        self.text.push_str(piece);
        self.ends.push(self.text.len() as u32);
        self.scores.push(score);
    }

    /// Number of pieces.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all pieces.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// # Panics
    /// If there is no piece of that id.
    pub(super) fn piece(&self, id: usize) -> &str {
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.text[start as usize..self.ends[id] as usize]
    }

    /// The pieces in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|id| self.piece(id))
    }
}

/// As `model.vocab` of `tokenizer.json`: pairs of a piece and its score.
impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Pair<'a>(#[serde(borrow)] Cow<'a, str>, f64);

        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vocabulary;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("pairs of a piece and its score")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Vocabulary, A::Error> {
                let mut vocabulary = Vocabulary::default();
                while let Some(Pair(piece, score)) = pairs.next_element()? {
                    vocabulary.push(&piece, score);
                }
                Ok(vocabulary)
            }
        }

        deserializer.deserialize_seq(Pairs)
    }
}

/// A Unigram model.
pub(super) struct Unigram {
    vocabulary: Vocabulary,
    /// Ids in the order of their pieces' bytes. Of equal pieces, the last one's.
    sorted: Vec<u32>,
    /// Where in `sorted` the pieces with each first byte begin, and the end.
    first_bytes: Vec<u32>,
    unknown: u32,
    unknown_score: f64,
    byte_fallback: bool,
}

impl fmt::Debug for Unigram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces = self.vocabulary.len();
        formatter.debug_struct("Unigram").field("pieces", &pieces).finish_non_exhaustive()
    }
}

/// The best segmentation of a word up to a position, by its last piece.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    /// Where the last piece starts.
    start: usize,
    id: u32,
}

impl Unigram {
    /// Whether all pieces, scores and settings are those of another model.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.vocabulary == other.vocabulary
            && self.unknown == other.unknown
            && self.byte_fallback == other.byte_fallback
    }

    /// A model of pieces that are not empty, at most [`u32::MAX`] of them, with the id of the unknown
    /// piece among them. With `byte_fallback`, bytes of unknown text are pieces such as `<0xE6>`, if all
    /// of these are in the vocabulary.
    pub(super) fn new(vocabulary: Vocabulary, unknown: u32, byte_fallback: bool) -> Self {
        let piece = |&id: &u32| vocabulary.piece(id as usize);
        // By the first bytes as a number, which decides most comparisons without reading the pieces.
        let start = |id: u32| {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(piece(&id).bytes()).for_each(|(to, byte)| *to = byte);
            (u64::from_be_bytes(bytes), id)
        };
        let mut sorted: Vec<(u64, u32)> = (0..vocabulary.len() as u32).map(start).collect();
        sorted.sort_unstable_by(|(start, id), (other_start, other)| {
            let pieces = || piece(id).cmp(piece(other)).then(other.cmp(id));
            start.cmp(other_start).then_with(pieces)
        });
        let mut sorted: Vec<u32> = sorted.into_iter().map(|(_, id)| id).collect();
        sorted.dedup_by(|a, b| piece(a) == piece(b));
        let below = |byte: usize| sorted.partition_point(|id| first_byte(piece(id)) < byte) as u32;
        let first_bytes = (0..=256).map(below).collect();
        let lowest = vocabulary.scores.iter().fold(f64::INFINITY, |low, &score| low.min(score));
        Self {
            sorted,
            first_bytes,
            unknown,
            unknown_score: lowest - UNKNOWN_PENALTY,
            byte_fallback,
            vocabulary,
        }
    }

    /// Number of pieces.
    pub(super) fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Id of the unknown piece.
    pub(super) fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The piece of an id.
    pub(super) fn piece(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        (id < self.len()).then(|| self.vocabulary.piece(id))
    }

    /// The id of a piece.
    pub(super) fn id(&self, piece: &str) -> Option<u32> {
        let found =
            self.sorted.binary_search_by(|&id| self.vocabulary.piece(id as usize).cmp(piece));
        found.ok().map(|place| self.sorted[place])
    }

    /// Calls `on_piece` with the length in bytes and the id of every piece that `text` starts with, the
    /// shortest first. Returns how many bytes of the text were compared.
    fn prefixes(&self, text: &[u8], mut on_piece: impl FnMut(usize, u32)) -> usize {
        let Some(&first) = text.first() else { return 0 };
        let range = self.first_bytes[usize::from(first)]..self.first_bytes[usize::from(first) + 1];
        let mut pieces = &self.sorted[range.start as usize..range.end as usize];
        let bytes = |id: &u32| self.vocabulary.piece(*id as usize).as_bytes();
        // Those left begin with the first `depth` bytes of the text.
        for depth in 1.. {
            if let Some((id, longer)) =
                pieces.split_first().filter(|(id, _)| bytes(id).len() == depth)
            {
                on_piece(depth, *id);
                pieces = longer;
            }
            let Some(&byte) = text.get(depth).filter(|_| !pieces.is_empty()) else { return depth };
            pieces = &pieces[pieces.partition_point(|id| bytes(id)[depth] < byte)..];
            pieces = &pieces[..pieces.partition_point(|id| bytes(id)[depth] == byte)];
        }
        text.len()
    }

    /// Calls `on_token` with the id and text of each token of a word. Neighbouring unknown characters
    /// are one token.
    ///
    /// # Errors
    /// [`FormatError::OverBudget`] where very many pieces start at most places of a long text.
    pub(super) fn tokenize(
        &self,
        word: &str,
        budget: &mut Budget,
        on_token: &mut dyn FnMut(u32, &str),
    ) -> Result<(), FormatError> {
        let mut best: Vec<Option<Best>> = vec![None; word.len() + 1];
        for (start, character) in word.char_indices() {
            let till_here =
                if start == 0 { 0.0 } else { best[start].map_or(0.0, |best| best.score) };
            let mut offer = |end: usize, score: f64, id: u32| {
                let score = score + till_here;
                if best[end].is_none_or(|best| score > best.score) {
                    best[end] = Some(Best { score, start, id });
                }
            };
            let length = character.len_utf8();
            let mut is_piece = false;
            let steps = self.prefixes(&word.as_bytes()[start..], |bytes, id| {
                is_piece |= bytes == length;
                offer(start + bytes, self.vocabulary.scores[id as usize], id);
            });
            budget.work("the search for pieces", steps)?;
            if !is_piece {
                offer(start + length, self.unknown_score, self.unknown);
            }
        }
        // Backwards along the best path: the start, the end and the id of each token.
        let mut tokens: Vec<(usize, usize, u32)> = Vec::new();
        let mut end = word.len();
        while let Some(Best { start, id, .. }) = best[end].filter(|_| end > 0) {
            match tokens.last_mut() {
                Some(next) if id == self.unknown && next.2 == id => next.0 = start,
                _ => tokens.push((start, end, id)),
            }
            end = start;
        }
        for &(start, end, id) in tokens.iter().rev() {
            let text = &word[start..end];
            if id == self.unknown {
                self.on_unknown(text, on_token);
            } else {
                on_token(id, text);
            }
        }
        Ok(())
    }

    fn on_unknown(&self, text: &str, on_token: &mut dyn FnMut(u32, &str)) {
        if let Some(id) = self.id(text) {
            return on_token(id, text);
        }
        let byte_piece = |byte: u8| self.id(&format!("<0x{byte:02X}>"));
        let bytes = text.bytes().map(byte_piece).collect::<Option<Vec<u32>>>();
        match bytes.filter(|_| self.byte_fallback) {
            Some(ids) => ids.into_iter().for_each(|id| on_token(id, "")),
            None => on_token(self.unknown, text),
        }
    }
}

/// The first byte of a piece, which is not empty.
fn first_byte(piece: &str) -> usize {
    piece.bytes().next().map_or(0, usize::from)
}
