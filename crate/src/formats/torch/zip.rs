//! Reader of the part of the ZIP format that `torch.save` writes: stored entries in a central directory,
//! with ZIP64's longer fields, and no compression.
//!
//! Format: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3.

use std::collections::BTreeMap;
use std::ops::Range;

use super::FORMAT;
use crate::formats::bytes::ByteReader;
use crate::formats::{FormatError, excerpt};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const END_64: u32 = 0x0606_4b50;
/// Bytes of the end record without its comment.
const END_BYTES: usize = 22;
/// Limit on the comment after the end record.
const MAX_COMMENT_BYTES: usize = 0xffff;
/// Limit on the entries: one per storage, and a few more.
const MAX_ENTRIES: u64 = 1 << 16;
/// Id of the extra field that holds ZIP64's sizes.
const EXTRA_64: u16 = 1;

/// The position of each entry's contents, by name.
pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, FormatError> {
    let (count, directory) = find_directory(bytes)?;
    if count > MAX_ENTRIES {
        return Err(invalid("the number of entries", format!("at most {MAX_ENTRIES}"), count));
    }
    let mut reader = ByteReader::starting_at(FORMAT, bytes, directory, "the directory")?;
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let (name, range) = read_entry(bytes, &mut reader)?;
        if entries.contains_key(&name) {
            return Err(invalid("each entry", "named once".into(), excerpt(&name)));
        }
        entries.insert(name, range);
    }
    Ok(entries)
}

/// The number of entries, and the start of the central directory.
fn find_directory(bytes: &[u8]) -> Result<(u64, u64), FormatError> {
    let first = bytes.len().saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    let end = (first..=bytes.len().saturating_sub(END_BYTES))
        .rev()
        .find(|&at| bytes[at..].starts_with(&END.to_le_bytes()))
        .ok_or_else(|| FormatError::Truncated {
            format: FORMAT,
            what: "the directory at its end".into(),
            expected: END_BYTES as u64,
            found: 0,
        })?;
    let mut reader = ByteReader::starting_at(FORMAT, bytes, end as u64, "the end record")?;
    reader.take(10, "the end record")?;
    let count = u64::from(reader.u16("the end record")?);
    reader.take(4, "the end record")?;
    let directory = u64::from(reader.u32("the end record")?);

    // PyTorch always writes ZIP64's end record.
    let Some(locator) =
        end.checked_sub(20).filter(|&at| bytes[at..].starts_with(&END_64_LOCATOR.to_le_bytes()))
    else {
        return Ok((count, directory));
    };
    const WHAT: &str = "the ZIP64 end record";
    let mut reader = ByteReader::starting_at(FORMAT, bytes, locator as u64 + 8, WHAT)?;
    let mut reader = ByteReader::starting_at(FORMAT, bytes, reader.u64(WHAT)?, WHAT)?;
    if reader.u32(WHAT)? != END_64 {
        return Err(invalid(WHAT, "where its locator says".into(), "other bytes"));
    }
    reader.take(28, WHAT)?;
    let count = reader.u64(WHAT)?;
    reader.take(8, WHAT)?;
    Ok((count, reader.u64(WHAT)?))
}

fn read_entry(
    bytes: &[u8],
    reader: &mut ByteReader<'_>,
) -> Result<(String, Range<usize>), FormatError> {
    const WHAT: &str = "a directory entry";
    if reader.u32(WHAT)? != DIRECTORY_ENTRY {
        return Err(invalid(WHAT, "marked as one".into(), "other bytes"));
    }
    reader.take(4, WHAT)?;
    let flags = reader.u16(WHAT)?;
    let method = reader.u16(WHAT)?;
    reader.take(8, WHAT)?;
    let mut stored = u64::from(reader.u32(WHAT)?);
    let mut size = u64::from(reader.u32(WHAT)?);
    let [name, extra, comment] =
        [reader.u16(WHAT)?, reader.u16(WHAT)?, reader.u16(WHAT)?].map(u64::from);
    reader.take(8, WHAT)?;
    let mut header = u64::from(reader.u32(WHAT)?);
    let name = String::from_utf8_lossy(reader.take(name, WHAT)?).into_owned();
    let mut extra = ByteReader::new(FORMAT, reader.take(extra, WHAT)?);
    reader.take(comment, WHAT)?;

    while let Ok(id) = extra.u16(WHAT) {
        let length = extra.u16(WHAT)?;
        let mut field = ByteReader::new(FORMAT, extra.take(length.into(), WHAT)?);
        if id == EXTRA_64 {
            // Contains, in this order, the values that do not fit the fields above.
            for value in [&mut size, &mut stored, &mut header] {
                if *value == u64::from(u32::MAX) {
                    *value = field.u64(WHAT)?;
                }
            }
        }
    }
    if flags & 1 != 0 || method != 0 || stored != size {
        return Err(FormatError::Unsupported {
            what: format!("the compressed or encrypted entry {}", excerpt(&name)),
            reason: "torch.save stores entries as they are; save the weights again with it".into(),
        });
    }
    let mut local = ByteReader::starting_at(FORMAT, bytes, header, &name)?;
    if local.u32(WHAT)? != LOCAL_HEADER {
        return Err(invalid(&excerpt(&name), "where the directory says".into(), "other bytes"));
    }
    local.take(22, WHAT)?;
    let (name_bytes, extra_bytes) = (local.u16(WHAT)?, local.u16(WHAT)?);
    local.take(u64::from(name_bytes) + u64::from(extra_bytes), WHAT)?;
    let start = local.position();
    let contents = local.take(size, &excerpt(&name))?;
    Ok((name, start..start + contents.len()))
}

fn invalid(what: &str, expected: String, found: impl ToString) -> FormatError {
    FormatError::Invalid { format: FORMAT, what: what.into(), expected, found: found.to_string() }
}
