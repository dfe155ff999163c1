//! The memory plan: bytes of every buffer that something takes on the device, known before any of
//! them is made. Who makes buffers says here which, and is refused before the first if one does not
//! fit. Left out are the parameters of dispatches and what is read back: kilobytes.

use std::borrow::Cow;

use super::workspace::Shape;
use crate::kernels::gpu::{Gpu, GpuError};

/// Bytes that the buffers of one submission may take together. WebGPU tells nobody how much memory
/// there is, so this is what devices of the last ten years can spare beside the weights.
const MOST_BYTES: u64 = 768 << 20;

/// Bytes of buffers that are to be made.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryPlan {
    buffers: Vec<(Cow<'static, str>, u64)>,
}

impl MemoryPlan {
    /// Adds a buffer of so many 32-bit values.
    pub(super) fn add(&mut self, what: impl Into<Cow<'static, str>>, words: usize) {
        self.buffers.push((what.into(), Gpu::buffer_bytes(words)));
    }

    /// Bytes of all buffers.
    pub(super) fn bytes(&self) -> u64 {
        self.buffers.iter().map(|(_, bytes)| bytes).sum()
    }

    /// # Errors
    /// [`GpuError::TooLarge`] naming the first buffer that a kernel could not be given.
    pub(super) fn check(&self, gpu: &Gpu) -> Result<(), GpuError> {
        self.buffers.iter().try_for_each(|(what, bytes)| gpu.check_size(what, *bytes))
    }

    /// The plan for the most members, up to those of `shape`, that the device can take at once.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] naming the buffer if not even one member fits.
    pub(super) fn largest(
        gpu: &Gpu,
        mut shape: Shape,
        plan: impl Fn(Shape) -> Self,
    ) -> Result<(Self, Shape), GpuError> {
        loop {
            let planned = plan(shape);
            let checked = planned.check(gpu);
            if checked.is_ok() && (planned.bytes() <= MOST_BYTES || shape.members == 1) {
                return Ok((planned, shape));
            }
            if shape.members == 1 {
                checked?;
            }
            shape.members = shape.members.div_ceil(2);
        }
    }
}
