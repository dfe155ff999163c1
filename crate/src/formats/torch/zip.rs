//! Reader of the ZIP archive that `torch.save` writes, whose entries are stored without compression.

use std::collections::BTreeMap;
use std::ops::Range;

use rawzip::{CompressionMethod, Error, ErrorKind, ZipArchive};

use super::FORMAT;
use crate::formats::{FormatError, excerpt};

/// Limit on the entries: one per storage, and a few more.
const MAX_ENTRIES: u64 = 1 << 16;

/// The position of each entry's contents, by name.
pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, FormatError> {
    let archive =
        ZipArchive::from_slice(bytes).map_err(|error| broken("the directory", &error, bytes))?;
    let count = archive.entries_hint();
    if count > MAX_ENTRIES {
        return Err(invalid("the number of entries", format!("at most {MAX_ENTRIES}"), count));
    }
    let mut entries = BTreeMap::new();
    let mut directory = archive.entries();
    while let Some(entry) =
        directory.next_entry().map_err(|error| broken("a directory entry", &error, bytes))?
    {
        let path = entry.file_path();
        let name = String::from_utf8_lossy(path.as_ref()).into_owned();
        if entry.flags().is_encrypted()
            || entry.compression_method() != CompressionMethod::STORE
            || entry.compressed_size_hint() != entry.uncompressed_size_hint()
        {
            return Err(FormatError::Unsupported {
                what: format!("the compressed or encrypted entry {}", excerpt(&name)),
                reason: "torch.save stores entries as they are; save the weights again with it"
                    .into(),
            });
        }
        let contents = archive
            .get_entry(entry.wayfinder())
            .map_err(|error| broken(&excerpt(&name), &error, bytes))?;
        let (start, end) = contents.compressed_data_range();
        if entries.insert(name.clone(), start as usize..end as usize).is_some() {
            return Err(invalid("each entry", "named once".into(), excerpt(&name)));
        }
    }
    if entries.len() as u64 != count {
        return Err(invalid("the number of entries", count.to_string(), entries.len()));
    }
    Ok(entries)
}

/// The error for an archive that rawzip rejects.
fn broken(what: &str, error: &Error, bytes: &[u8]) -> FormatError {
    match error.kind() {
        ErrorKind::Eof | ErrorKind::MissingEndOfCentralDirectory => FormatError::Truncated {
            format: FORMAT,
            what: what.into(),
            expected: bytes.len() as u64 + 1,
            found: bytes.len() as u64,
        },
        _ => invalid(what, "a ZIP archive".into(), error),
    }
}

fn invalid(what: &str, expected: String, found: impl ToString) -> FormatError {
    FormatError::Invalid { format: FORMAT, what: what.into(), expected, found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_cut_at_any_length_is_rejected() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/formats/weights/plain.bin");
        let whole = std::fs::read(path).expect("the fixture is in the tree");
        assert!(entries(&whole).is_ok_and(|entries| entries.len() > 3));
        for length in 0..whole.len() {
            assert!(entries(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
