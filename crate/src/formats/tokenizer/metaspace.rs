//! The split of a text into words marked by a character in place of the space, as the `WhitespaceSplit` and
//! `Metaspace` of Hugging Face's tokenizers make it.

/// Which words get the mark at their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrependScheme {
    /// The one at the start of the input.
    First,
    Never,
    Always,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metaspace {
    /// The mark for a space.
    pub(super) replacement: char,
    pub(super) prepend_scheme: PrependScheme,
    /// Whether words are split before each mark.
    pub(super) split: bool,
}

impl Metaspace {
    /// Calls `on_word` with each word of a normalised text. With `split_whitespace` the text is first split at
    /// whitespace, which is left out; `at_start` says whether it starts the input.
    pub(super) fn words(
        &self,
        text: &str,
        split_whitespace: bool,
        at_start: bool,
        on_word: &mut dyn FnMut(&str),
    ) {
        let starts = |part: &str| at_start && part.as_ptr() == text.as_ptr();
        if split_whitespace {
            for part in text.split_whitespace() {
                self.mark(part, starts(part), on_word);
            }
        } else {
            self.mark(text, at_start, on_word);
        }
    }

    fn mark(&self, part: &str, starts: bool, on_word: &mut dyn FnMut(&str)) {
        if part.is_empty() {
            return;
        }
        let mut marked = String::with_capacity(part.len() + 2 * self.replacement.len_utf8());
        let prepend = match self.prepend_scheme {
            PrependScheme::Always => true,
            PrependScheme::First => starts,
            PrependScheme::Never => false,
        };
        if prepend && !part.starts_with([' ', self.replacement]) {
            marked.push(self.replacement);
        }
        marked.extend(part.chars().map(|c| if c == ' ' { self.replacement } else { c }));
        if !self.split {
            return on_word(&marked);
        }
        let mut start = 0;
        for (next, _) in marked.match_indices(self.replacement).filter(|&(at, _)| at > 0) {
            on_word(&marked[start..next]);
            start = next;
        }
        on_word(&marked[start..]);
    }

    /// The text of a token: each mark as a space, but none in the first token unless none is prepended.
    pub(super) fn decode(&self, token: &str, is_first: bool) -> String {
        let keeps_spaces = !is_first || self.prepend_scheme == PrependScheme::Never;
        let with_space = |c| match c == self.replacement {
            true => keeps_spaces.then_some(' '),
            false => Some(c),
        };
        token.chars().filter_map(with_space).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(
        metaspace: &Metaspace,
        text: &str,
        split_whitespace: bool,
        at_start: bool,
    ) -> Vec<String> {
        let mut words = vec![];
        metaspace.words(text, split_whitespace, at_start, &mut |word| words.push(word.to_owned()));
        words
    }

    /// What `tokenizers` 0.22 returns from `Sequence([WhitespaceSplit(), Metaspace(…)]).pre_tokenize_str`.
    #[test]
    fn words_are_those_of_hugging_face() {
        use PrependScheme::{Always, First, Never};
        for (scheme, split, split_whitespace, text, expected) in [
            (Always, true, false, "a b", &["▁a", "▁b"][..]),
            (Always, true, false, "  a", &["▁", "▁a"]),
            (Always, true, false, "a▁ b ", &["▁a", "▁", "▁b", "▁"]),
            (Always, true, false, "", &[]),
            (Always, false, false, "a  b", &["▁a▁▁b"]),
            (Always, true, true, " a\u{3000}b▁c\n", &["▁a", "▁b", "▁c"]),
            (First, true, true, "a b", &["▁a", "b"]),
            (First, true, true, " a b", &["a", "b"]),
            (First, true, false, "▁a b", &["▁a", "▁b"]),
            (Never, true, false, "a b", &["a", "▁b"]),
            (Never, true, true, "a b", &["a", "b"]),
            (Always, true, true, " \t", &[]),
        ] {
            let metaspace = Metaspace { replacement: '▁', prepend_scheme: scheme, split };
            assert_eq!(
                words(&metaspace, text, split_whitespace, true),
                expected,
                "{scheme:?} {text:?}"
            );
        }
    }

    #[test]
    fn the_first_scheme_marks_nothing_after_an_added_token() {
        let metaspace =
            Metaspace { replacement: '▁', prepend_scheme: PrependScheme::First, split: true };
        assert_eq!(words(&metaspace, "a b", false, false), ["a", "▁b"]);
    }

    #[test]
    fn only_a_mark_that_was_prepended_is_left_out_of_the_text() {
        let tokens = ["▁a▁b", "▁c"];
        let decode = |prepend_scheme| {
            let metaspace = Metaspace { replacement: '▁', prepend_scheme, split: true };
            let decode = |(index, token): (usize, &&str)| metaspace.decode(token, index == 0);
            tokens.iter().enumerate().map(decode).collect::<String>()
        };
        assert_eq!(decode(PrependScheme::Always), "ab c");
        assert_eq!(decode(PrependScheme::First), "ab c");
        assert_eq!(decode(PrependScheme::Never), " a b c");
    }
}
