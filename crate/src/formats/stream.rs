//! Streaming reader of a file of weights: parses the header, then passes each tensor, in the file's order,
//! to a sink in runs of rows. It buffers incomplete rows only, so a file of gigabytes needs no more memory
//! than its result.

use std::collections::VecDeque;
use std::ops::Range;

use super::gguf::GgufHeader;
use super::safetensors::{SafetensorsHeader, dtype};
use super::tensor::{check_finite, check_shared};
use super::{Dtype, FormatError, GgufFile, TensorSource, TorchFile, excerpt};

const FORMAT: &str = "weights";
/// Limit on the header; multilingual T5's GGUF, with its vocabulary, has 10 MB.
pub(super) const MAX_HEADER_BYTES: usize = 64 << 20;
/// The part that a file which is cut short lacks.
const TENSORS_DATA: &str = "its tensors' data";
/// Bytes that identify the format.
const MAGIC_BYTES: usize = 16;

/// Values decoded at a time; a longer row is buffered whole.
const DECODED_VALUES: usize = 1 << 14;

/// A run of rows of a tensor, where a row is a vector along the last dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorRows<'a> {
    /// Hugging Face's name of the tensor.
    pub name: &'a str,
    /// Dimensions of the whole tensor in PyTorch's order.
    pub shape: &'a [usize],
    /// Index of the first of these rows. A tensor's rows arrive in order.
    pub first: usize,
    /// `[rows, width]`, all finite; `width` is the last dimension.
    pub values: &'a [f32],
}

impl TensorRows<'_> {
    /// Number of values in a row.
    pub fn width(&self) -> usize {
        width(self.shape)
    }

    /// Whether the tensor ends with these rows.
    pub fn is_last(&self) -> bool {
        let before = self.first.saturating_mul(self.width());
        before.saturating_add(self.values.len()) >= self.shape.iter().product()
    }
}

fn width(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1).max(1)
}

/// Receiver of the tensors of a [`WeightsStream`].
pub trait TensorSink {
    /// Error of the sink.
    type Error: From<FormatError>;

    /// Whether the sink wants a tensor; others are skipped, and not asked about again in the file.
    ///
    /// # Errors
    /// If the tensor must have another shape.
    fn wants(&mut self, name: &str, shape: &[usize]) -> Result<bool, Self::Error>;

    /// Receives rows of a wanted tensor, all of them before those of another tensor.
    ///
    /// # Errors
    /// If the sink rejects them.
    fn take(&mut self, rows: TensorRows<'_>) -> Result<(), Self::Error>;
}

/// A tensor's position in the file.
#[derive(Debug)]
struct Place {
    name: String,
    shape: Vec<usize>,
    dtype: Result<Dtype, FormatError>,
    range: Range<u64>,
}

/// The tensor in progress.
#[derive(Debug)]
struct Arriving {
    place: Place,
    dtype: Dtype,
    /// Number of rows passed to the sink.
    rows: usize,
    /// Values of the incomplete row.
    values: Vec<f32>,
    /// Bytes of the incomplete block.
    begun: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// The bytes of an incomplete header, and the length at which parsing is tried again.
    Header { bytes: Vec<u8>, next_try: usize },
    /// In the tensor data.
    Tensors { places: VecDeque<Place>, arriving: Option<Box<Arriving>> },
    /// A PyTorch file, whose directory is at its end.
    Whole(Vec<u8>),
}

/// A file of weights that arrives in pieces: safetensors, GGUF, or a PyTorch file, which is buffered whole
/// because its directory is at its end.
#[derive(Debug)]
pub struct WeightsStream {
    state: State,
    /// Number of bytes received.
    position: u64,
    /// The header of a safetensors file, against which its length is checked.
    safetensors: Option<SafetensorsHeader>,
    /// End of the last tensor.
    end: u64,
    /// Length of the file, where it is known.
    length: Option<u64>,
}

impl Default for WeightsStream {
    fn default() -> Self {
        Self::new()
    }
}

impl WeightsStream {
    /// A stream without bytes.
    pub fn new() -> Self {
        let state = State::Header { bytes: Vec::new(), next_try: MAGIC_BYTES };
        Self { state, position: 0, safetensors: None, end: 0, length: None }
    }

    /// Says how long the file is, so that a header which claims more is refused before its tensors are given memory.
    pub fn expect(&mut self, bytes: u64) {
        self.length = Some(bytes);
    }

    /// Adds the next bytes of the file and passes the rows that they complete to `sink`.
    ///
    /// # Errors
    /// A [`FormatError`] if the file is invalid or the element type of a wanted tensor is not supported, and
    /// errors of `sink`. After an error the stream cannot be used.
    pub fn push<S: TensorSink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<(), S::Error> {
        match &mut self.state {
            State::Whole(whole) => {
                whole.extend_from_slice(bytes);
                return Ok(());
            }
            State::Tensors { .. } => return self.take(bytes, sink),
            State::Header { bytes: held, next_try } => {
                held.extend_from_slice(bytes);
                if held.len() < *next_try {
                    return Ok(());
                }
            }
        }
        self.read_header(sink, false)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the file is incomplete, and the errors of [`WeightsStream::push`].
    pub fn finish<S: TensorSink>(mut self, sink: &mut S) -> Result<(), S::Error> {
        if let State::Header { .. } = self.state {
            self.read_header(sink, true)?;
        }
        if let State::Whole(bytes) = self.state {
            return take_all(&TorchFile::parse(bytes)?, sink);
        }
        if let Some(header) = &self.safetensors {
            header.check_data((self.position as usize).saturating_sub(header.data_start))?;
        }
        if self.position < self.end {
            return Err(FormatError::Truncated {
                format: FORMAT,
                what: TENSORS_DATA.into(),
                expected: self.end,
                found: self.position,
            }
            .into());
        }
        Ok(())
    }

    /// Parses the header if its bytes are complete, then the bytes after it.
    fn read_header<S: TensorSink>(&mut self, sink: &mut S, ended: bool) -> Result<(), S::Error> {
        let State::Header { bytes, next_try } = &mut self.state else { return Ok(()) };
        if TorchFile::recognises(bytes) {
            self.state = State::Whole(std::mem::take(bytes));
            return Ok(());
        }
        let read = if GgufFile::recognises(bytes) {
            GgufHeader::read(bytes).map(gguf_places)
        } else {
            SafetensorsHeader::read(bytes).map(|header| {
                let places = safetensors_places(&header);
                self.safetensors = Some(header);
                places
            })
        };
        let mut places = match read {
            Err(FormatError::Truncated { .. }) if !ended && bytes.len() < MAX_HEADER_BYTES => {
                // Doubling keeps the total time of repeated parsing linear.
                *next_try = bytes.len() * 2;
                return Ok(());
            }
            read => read?,
        };
        places.sort_by_key(|place| (place.range.start, place.range.end));
        self.end = places.iter().map(|place| place.range.end).max().unwrap_or(0);
        match (self.length, &self.safetensors) {
            (Some(length), Some(header)) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                header.check_data(length.saturating_sub(header.data_start))?;
            }
            (Some(found), None) if found < self.end => {
                let (what, expected) = (TENSORS_DATA.into(), self.end);
                return Err(FormatError::Truncated { format: FORMAT, what, expected, found }.into());
            }
            _ => {}
        }
        let held = std::mem::take(bytes);
        self.state = State::Tensors { places: places.into(), arriving: None };
        // Unwanted tensors may overlap or exceed the file, as their bytes are only skipped.
        self.take(&held, sink)
    }

    /// Processes bytes of the file from `position` on.
    fn take<S: TensorSink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), S::Error> {
        let State::Tensors { places, arriving } = &mut self.state else { return Ok(()) };
        loop {
            if let Some(tensor) = arriving {
                let left = tensor.place.range.end - self.position;
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let (now, later) = bytes.split_at(count);
                tensor.push(now, sink)?;
                self.position += count as u64;
                bytes = later;
                if self.position < tensor.place.range.end {
                    return Ok(());
                }
                *arriving = None;
                continue;
            }
            let Some(place) = places.front() else {
                self.position += bytes.len() as u64;
                return Ok(());
            };
            if !sink.wants(&place.name, &place.shape)? {
                places.pop_front();
                continue;
            }
            if place.range.start > self.position {
                let gap = place.range.start - self.position;
                let count = usize::try_from(gap).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[count..];
                self.position += count as u64;
                if place.range.start > self.position {
                    return Ok(());
                }
            }
            let Some(place) = places.pop_front() else { return Ok(()) };
            let dtype = place.dtype.clone()?;
            if place.range.start < self.position {
                return Err(FormatError::Invalid {
                    format: FORMAT,
                    what: format!("tensor {}", excerpt(&place.name)),
                    expected: "behind the tensor before it".into(),
                    found: "one that overlaps it".into(),
                }
                .into());
            }
            let (values, begun) = (Vec::new(), Vec::new());
            *arriving = Some(Box::new(Arriving { place, dtype, rows: 0, values, begun }));
        }
    }
}

impl Arriving {
    /// Decodes the tensor's next bytes and passes the rows that they complete to the sink.
    fn push<S: TensorSink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), S::Error> {
        let (elements, block) = self.dtype.block();
        if !self.begun.is_empty() {
            let count = (block - self.begun.len()).min(bytes.len());
            self.begun.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.begun.len() < block {
                return Ok(());
            }
            self.dtype.decode(&self.begun, &mut self.values);
            self.begun.clear();
            self.hand_on(sink)?;
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % block);
        for piece in whole.chunks(DECODED_VALUES / elements * block) {
            self.dtype.decode(piece, &mut self.values);
            self.hand_on(sink)?;
        }
        self.begun.extend_from_slice(rest);
        Ok(())
    }

    fn hand_on<S: TensorSink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let Place { name, shape, .. } = &self.place;
        let width = width(shape);
        let rows = self.values.len() / width;
        if rows == 0 {
            return Ok(());
        }
        let values = &self.values[..rows * width];
        check_finite(name, values, self.rows * width)?;
        sink.take(TensorRows { name, shape, first: self.rows, values })?;
        self.rows += rows;
        self.values.drain(..rows * width);
        Ok(())
    }
}

fn gguf_places(header: GgufHeader) -> Vec<Place> {
    let place = |(name, info): (String, super::gguf::TensorInfo)| Place {
        dtype: info.dtype(&name),
        shape: info.shape,
        range: info.range,
        name,
    };
    header.tensors.into_iter().map(place).collect()
}

fn safetensors_places(header: &SafetensorsHeader) -> Vec<Place> {
    let place = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let at = |offset: usize| (header.data_start as u64).saturating_add(offset as u64);
        Place {
            dtype: dtype(&name, info.dtype),
            shape: info.shape.clone(),
            range: at(info.data_offsets.0)..at(info.data_offsets.1),
            name,
        }
    };
    header.metadata.tensors().into_iter().map(place).collect()
}

/// Passes every wanted tensor of a complete file to `sink`.
///
/// # Errors
/// The errors of [`WeightsStream::push`].
pub fn take_all<S: TensorSink>(source: &dyn TensorSource, sink: &mut S) -> Result<(), S::Error> {
    check_shared(FORMAT, source)?;
    for name in source.names() {
        let Some(shape) = source.shape(&name) else { continue };
        if !sink.wants(&name, shape)? {
            continue;
        }
        if let Some(view) = source.tensor(&name)? {
            let values = &*view.to_f32()?;
            sink.take(TensorRows { name: &name, shape, first: 0, values })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
