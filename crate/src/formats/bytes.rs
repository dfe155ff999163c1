//! A cursor over the bytes of a file. Every read is checked, and its error names the part of the file.

use super::FormatError;

/// A reader of little-endian values.
#[derive(Debug, Clone)]
pub(super) struct ByteReader<'b> {
    format: &'static str,
    bytes: &'b [u8],
    position: usize,
}

impl<'b> ByteReader<'b> {
    /// A reader of `bytes` of a file of that format.
    pub(super) fn new(format: &'static str, bytes: &'b [u8]) -> Self {
        Self { format, bytes, position: 0 }
    }

    /// The number of bytes read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'b [u8], FormatError> {
        let rest = &self.bytes[self.position..];
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or_else(|| FormatError::Truncated {
            format: self.format,
            what: what.into(),
            expected: count,
            found: rest.len() as u64,
        })?;
        self.position += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8, FormatError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, what: &str) -> Result<u16, FormatError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, FormatError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, FormatError> {
        self.array(what).map(u64::from_le_bytes)
    }
}
