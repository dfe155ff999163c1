//! What reading an input may take: bytes of memory, and steps of work. A small file may describe gigabytes, by
//! references that share their data, by rules that multiply a text, or by many values of few characters; readers
//! charge a budget for these before they allocate or compute.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::FormatError;

/// Bytes that any input may take, whatever its length.
const SPARE_BYTES: usize = 32 << 20;
/// Bytes for each byte of the input.
const BYTES_PER_BYTE: usize = 8;
/// Steps that any text may take. One takes about 100 nanoseconds.
const STEPS: usize = 8 << 20;

/// What is left of the memory and the work that an input may take.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    format: &'static str,
    bytes: usize,
    bytes_left: usize,
    steps_left: usize,
}

impl Budget {
    /// The budget of an input of that format and length in bytes.
    pub(crate) fn new(format: &'static str, input_bytes: usize) -> Self {
        Self::of(format, SPARE_BYTES.saturating_add(input_bytes.saturating_mul(BYTES_PER_BYTE)))
    }

    /// A budget of so many bytes.
    pub(crate) fn of(format: &'static str, bytes: usize) -> Self {
        Self { format, bytes, bytes_left: bytes, steps_left: STEPS }
    }

    /// Charges bytes for a part of the input.
    ///
    /// # Errors
    /// [`FormatError::OverBudget`] where less is left.
    pub(crate) fn take(&mut self, what: &str, bytes: usize) -> Result<(), FormatError> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => return Err(self.exceeded(what, self.bytes, "bytes of memory")),
        }
        Ok(())
    }

    /// Charges work for a part of the input.
    ///
    /// # Errors
    /// [`FormatError::OverBudget`] where less is left.
    pub(crate) fn work(&mut self, what: &str, steps: usize) -> Result<(), FormatError> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => self.steps_left = left,
            None => return Err(self.exceeded(what, STEPS, "steps of work")),
        }
        Ok(())
    }

    /// Charges the bytes that a JSON text takes once it is read as values, of which a map of one entry takes 640.
    ///
    /// # Errors
    /// [`FormatError::OverBudget`] where less is left.
    pub(crate) fn take_json(&mut self, what: &str, json: &[u8]) -> Result<(), FormatError> {
        const ENTRY: usize = 128;
        const LIST: usize = 128;
        const MAP: usize = 640;
        let (mut bytes, mut in_text, mut escaped) = (json.len(), false, false);
        for &byte in json {
            if in_text {
                in_text = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
                continue;
            }
            bytes += match byte {
                b',' => ENTRY,
                b'[' => LIST,
                b'{' => MAP,
                b'"' => {
                    in_text = true;
                    0
                }
                _ => 0,
            };
        }
        self.take(what, bytes)
    }

    fn exceeded(&self, what: &str, limit: usize, unit: &'static str) -> FormatError {
        FormatError::OverBudget { format: self.format, what: what.into(), limit, unit }
    }
}

/// Reads a list of at most `LIMIT` elements, for a field of a type that serde derives: an element may take many times
/// the bytes that it has in the file.
pub(crate) fn at_most<'de, const LIMIT: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Limited<const LIMIT: usize, T>(PhantomData<T>);

    impl<'de, const LIMIT: usize, T: Deserialize<'de>> Visitor<'de> for Limited<LIMIT, T> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "a list of at most {LIMIT} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = elements.next_element()? {
                if list.len() == LIMIT {
                    return Err(Error::invalid_length(LIMIT + 1, &self));
                }
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(Limited::<LIMIT, T>(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_adds_up() {
        let mut budget = Budget::of("JSON", 100);
        budget.take("a list", 60).unwrap();
        budget.take("a text", 40).unwrap();
        let error = budget.take("a number", 1).unwrap_err().to_string();
        assert!(error.contains("a number") && error.contains("100 bytes of memory"), "{error}");
        budget.work("its search", STEPS).unwrap();
        assert!(budget.work("its search", 1).is_err());
    }

    #[test]
    fn json_is_charged_by_its_values_and_not_by_what_stands_in_texts() {
        let json = br#"["{{{{[[[[,,,,", "\"{{{{", {"a": 1, "b": 2}]"#;
        let mut budget = Budget::of("JSON", json.len() + 128 + 3 * 128 + 640);
        budget.take_json("the file", json).unwrap();
        assert!(budget.take("more", 1).is_err());
    }
}
