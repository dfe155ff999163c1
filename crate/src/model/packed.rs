//! A copy of a model's packed weights: written after the first conversion and read the next time
//! without one.
//!
//! The layout is a magic number, the length of a description, the description in JSON, and then the
//! weights as they are in memory, little-endian. The copy is for the machine that wrote it, which
//! stores a hash of it; a copy of another layout or model is still rejected, and never read past its
//! end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ModelBuilder, ModelError, Precision, UnusedTensors};
use crate::formats::{FormatError, excerpt};

#[cfg(target_endian = "big")]
compile_error!("packed copies contain numbers as they are in the memory of little-endian machines");

/// Version of the copy's description and of the packed weights' layout in memory. Copies of another version are rejected.
pub const PACKED_LAYOUT: u32 = 3;

const FORMAT: &str = "packed model";
const MAGIC: &[u8; 8] = b"LORALOOM";
/// The magic number and the length of the description.
const START_BYTES: usize = MAGIC.len() + size_of::<u32>();
const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// The files that a copy was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedSource {
    /// SHA-256 of the file of weights, of the first one if there are several.
    pub sha256: String,
    /// Bytes of all files of weights.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Description {
    layout: u32,
    precision: Precision,
    source: PackedSource,
    /// Shapes by name.
    tensors: BTreeMap<String, Vec<usize>>,
    /// What of the files is not in the copy.
    unused: UnusedTensors,
    /// Whether the files contain `lm_head`, be it equal to the embedding.
    has_lm_head: bool,
    /// Bytes of the weights that follow.
    bytes: u64,
}

impl Description {
    fn of(builder: &ModelBuilder, source: PackedSource) -> Self {
        let tensors =
            builder.shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
        let bytes = builder.parts().iter().map(|part| part.len() as u64).sum();
        Self {
            layout: PACKED_LAYOUT,
            precision: builder.precision(),
            source,
            tensors,
            unused: builder.unused().clone(),
            has_lm_head: builder.has_lm_head(),
            bytes,
        }
    }
}

/// A copy to be written.
#[derive(Debug)]
pub struct PackedCopy<'a> {
    start: Vec<u8>,
    parts: Vec<&'a [u8]>,
}

impl<'a> PackedCopy<'a> {
    /// The copy of a model whose tensors have all arrived.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`] if one has not.
    pub fn new(builder: &'a mut ModelBuilder, source: PackedSource) -> Result<Self, ModelError> {
        builder.complete()?;
        let description = serde_json::to_vec(&Description::of(builder, source))
            .expect("a description has texts and numbers alone");
        let mut start = MAGIC.to_vec();
        start.extend((description.len() as u32).to_le_bytes());
        start.extend(description);
        Ok(Self { start, parts: builder.parts() })
    }

    /// Bytes of the copy.
    pub fn bytes(&self) -> u64 {
        self.start.len() as u64 + self.parts.iter().map(|part| part.len() as u64).sum::<u64>()
    }

    /// Up to `limit` bytes of the copy from `offset` on; none past its end.
    pub fn piece(&self, offset: u64, limit: usize) -> Vec<u8> {
        let mut piece = Vec::new();
        let mut begin = 0;
        for part in std::iter::once(&*self.start).chain(self.parts.iter().copied()) {
            let skipped = offset.saturating_sub(begin).min(part.len() as u64) as usize;
            let wanted = limit - piece.len();
            piece.extend_from_slice(&part[skipped..][..wanted.min(part.len() - skipped)]);
            begin += part.len() as u64;
            if piece.len() == limit {
                break;
            }
        }
        piece
    }
}

/// Reads a copy in pieces.
#[derive(Debug, Default)]
pub struct PackedReader {
    /// The bytes before the weights.
    start: Vec<u8>,
    description: Option<Description>,
    /// Bytes of the weights read so far.
    position: u64,
}

impl PackedReader {
    /// Reads the next bytes of the copy.
    ///
    /// # Errors
    /// A [`FormatError`] if it is no copy, or not one of this layout and of a model as `builder`'s;
    /// the builder must not be used then.
    pub fn push(&mut self, bytes: &[u8], builder: &mut ModelBuilder) -> Result<(), ModelError> {
        if self.description.is_some() {
            return self.take(bytes, builder);
        }
        self.start.extend_from_slice(bytes);
        let Some((start, rest)) = self.start.split_first_chunk::<START_BYTES>() else {
            return Ok(());
        };
        let (magic, length) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(invalid("the magic number", "LORALOOM", "another").into());
        }
        let length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        if length > MAX_DESCRIPTION_BYTES {
            let most = format!("at most {MAX_DESCRIPTION_BYTES} bytes");
            return Err(invalid("the description", &most, &length.to_string()).into());
        }
        let Some((description, weights)) = rest.split_at_checked(length) else { return Ok(()) };
        let found: Description = serde_json::from_slice(description).map_err(|error| {
            invalid("the description", "a model's", &excerpt(&error.to_string()))
        })?;
        if found.layout != PACKED_LAYOUT {
            let [expected, found] = [PACKED_LAYOUT, found.layout].map(|layout| layout.to_string());
            return Err(invalid("the layout", &expected, &found).into());
        }
        builder.fill_with_zeros(&found.tensors, found.unused.clone(), found.has_lm_head);
        if found != Description::of(builder, found.source.clone()) {
            return Err(invalid("the tensors", "those of this model", "others").into());
        }
        self.description = Some(found);
        let weights = weights.to_vec();
        self.start = Vec::new();
        self.take(&weights, builder)
    }

    fn take(&mut self, mut bytes: &[u8], builder: &mut ModelBuilder) -> Result<(), ModelError> {
        let mut skipped = self.position;
        self.position += bytes.len() as u64;
        for part in builder.parts_mut() {
            let behind = skipped.min(part.len() as u64) as usize;
            skipped -= behind as u64;
            let (now, later) = bytes.split_at(bytes.len().min(part.len() - behind));
            part[behind..][..now.len()].copy_from_slice(now);
            bytes = later;
            if bytes.is_empty() {
                return Ok(());
            }
        }
        Err(invalid("the end", "that of the last tensor", "more bytes").into())
    }

    /// Ends the copy and returns the files that it was made from; the builder has all tensors then.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the copy should be longer.
    pub fn finish(self) -> Result<PackedSource, ModelError> {
        let truncated = |expected, found| FormatError::Truncated {
            format: FORMAT,
            what: "the copy".into(),
            expected,
            found,
        };
        match self.description {
            None => {
                let found = self.start.len() as u64;
                Err(truncated(found.max(START_BYTES as u64) + 1, found).into())
            }
            Some(Description { bytes, .. }) if self.position < bytes => {
                Err(truncated(bytes, self.position).into())
            }
            Some(Description { source, .. }) => Ok(source),
        }
    }
}

fn invalid(what: &str, expected: &str, found: &str) -> FormatError {
    FormatError::Invalid {
        format: FORMAT,
        what: what.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

#[cfg(test)]
mod tests;
