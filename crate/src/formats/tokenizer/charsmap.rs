//! Validation of SentencePiece's `precompiled_charsmap`, as `spm_precompiled` follows its double array and
//! offsets without bounds checks.
//!
//! The map is a little-endian `u32` length in bytes, a double array of `u32` units, and the
//! replacements as UTF-8 text, each ended by a NUL (Darts-clone, as SentencePiece embeds it).

use spm_precompiled::Precompiled;

/// Limit on a replacement, which bounds the length of a normalised text; Unicode's longest compatibility
/// decomposition has 33 bytes.
const MAX_REPLACEMENT_BYTES: usize = 64;

/// Parses and checks a map.
///
/// # Errors
/// What was expected and what was found.
pub(super) fn parse(bytes: &[u8]) -> Result<Precompiled, (String, String)> {
    let cut_short =
        |expected: usize| (format!("{expected} bytes"), format!("{} bytes", bytes.len()));
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| cut_short(4))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (trie, text) =
        rest.split_at_checked(length).ok_or_else(|| cut_short(length.saturating_add(4)))?;
    let (units, rest) = trie.as_chunks::<4>();
    if units.is_empty() || !rest.is_empty() {
        return Err(("a whole number of trie units".into(), format!("{length} bytes")));
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| ("replacements in UTF-8".into(), error.to_string()))?;
    let units: Vec<Unit> = units.iter().map(|&unit| Unit(u32::from_le_bytes(unit))).collect();
    check_reachable(&units, text)?;
    Precompiled::from(bytes).map_err(|error| ("a character map".into(), error.to_string()))
}

/// One unit of Darts-clone's double array.
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn has_leaf(self) -> bool {
        (self.0 >> 8) & 1 == 1
    }

    fn label(self) -> u32 {
        self.0 & ((1 << 31) | 0xff)
    }

    fn offset(self) -> usize {
        ((self.0 >> 10) as usize) << ((self.0 & (1 << 9)) >> 6)
    }

    fn value(self) -> usize {
        (self.0 & ((1 << 31) - 1)) as usize
    }
}

/// Visits every reachable state, and checks that no step leaves the array and that every replacement
/// starts at a character of `text` and is within the limit.
fn check_reachable(units: &[Unit], text: &str) -> Result<(), (String, String)> {
    let inside = |base: usize| {
        if base | 0xff < units.len() {
            Ok(base)
        } else {
            Err((
                format!("trie steps inside its {} units", units.len()),
                format!("a step to {}", base | 0xff),
            ))
        }
    };
    let mut seen = vec![false; units.len()];
    let mut bases = vec![inside(units[0].offset())?];
    while let Some(base) = bases.pop() {
        for byte in 1..=255 {
            let position = base ^ byte;
            let unit = units[position];
            if unit.label() != byte as u32 || std::mem::replace(&mut seen[position], true) {
                continue;
            }
            let next = inside(position ^ unit.offset())?;
            if unit.has_leaf() {
                let start = units[next].value();
                if !text.is_char_boundary(start) {
                    return Err((
                        format!("replacements within {} bytes of text", text.len()),
                        format!("one that starts at byte {start}"),
                    ));
                }
                let replacement = &text.as_bytes()[start..];
                let replacement = &replacement[..replacement.len().min(MAX_REPLACEMENT_BYTES + 1)];
                if replacement.len() > MAX_REPLACEMENT_BYTES && !replacement.contains(&0) {
                    return Err((
                        format!("replacements of at most {MAX_REPLACEMENT_BYTES} bytes"),
                        format!("a longer one at byte {start}"),
                    ));
                }
            }
            bases.push(next);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map whose one rule turns `A` into `text`'s start.
    fn map(root_offset: u32, leaf_offset: u32, value: u32, text: &str) -> Vec<u8> {
        let mut units = vec![0u32; 512];
        units[0] = root_offset << 10;
        let a = root_offset as usize ^ usize::from(b'A');
        if let Some(unit) = units.get_mut(a) {
            *unit = (leaf_offset << 10) | (1 << 8) | u32::from(b'A');
        }
        if let Some(unit) = units.get_mut(a ^ leaf_offset as usize) {
            *unit = value;
        }
        let mut bytes = (4 * units.len() as u32).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn a_rule_is_applied() {
        let map = parse(&map(256, 3, 0, "é\0")).unwrap();
        assert_eq!(map.normalize_string("BAB"), "BéB");
    }

    #[test]
    fn steps_and_replacements_outside_the_map_are_rejected() {
        for (bytes, part) in [
            (map(1024, 3, 0, "a\0"), "step to 1279"),
            (map(256, 4096, 0, "a\0"), "step to"),
            (map(256, 3, 1, "é\0"), "byte 1"),
            (map(256, 3, 99, "é\0"), "byte 99"),
            (map(256, 3, 0, &"a".repeat(65)), "a longer one"),
            (vec![], "0 bytes"),
            (vec![255, 255, 255, 255, 0], "5 bytes"),
            (vec![0, 0, 0, 0], "0 bytes"),
            (map(256, 3, 0, "a\0")[..1000].to_vec(), "1000 bytes"),
        ] {
            let error = parse(&bytes).unwrap_err();
            assert!(error.1.contains(part), "{part}: {error:?}");
        }
        let mut not_text = map(256, 3, 0, "a\0");
        not_text.push(0xff);
        assert!(parse(&not_text).unwrap_err().0.contains("UTF-8"));
    }
}
