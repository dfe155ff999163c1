//! The memory plan: the bytes of every buffer, before any is allocated. What does not fit is rejected
//! before the first allocation. Parameters of dispatches and read-back buffers, some kilobytes, are
//! left out.

use std::borrow::Cow;

use super::workspace::Shape;
use crate::kernels::gpu::{Gpu, GpuError};

/// Limit on the bytes of all buffers of one submission. WebGPU does not report the memory's size, so
/// this is what devices of the last ten years can spare beside the weights.
const BYTES_LIMIT: u64 = 768 << 20;

/// Bytes of planned buffers.
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
    /// [`GpuError::TooLarge`] naming the first buffer that exceeds a binding.
    pub(super) fn check(&self, gpu: &Gpu) -> Result<(), GpuError> {
        self.buffers.iter().try_for_each(|(what, bytes)| gpu.check_size(what, *bytes))
    }

    /// The plan with the largest number of members, up to that of `shape`, that fits the device.
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
            if checked.is_ok() && (planned.bytes() <= BYTES_LIMIT || shape.members == 1) {
                return Ok((planned, shape));
            }
            if shape.members == 1 {
                checked?;
            }
            shape.members = shape.members.div_ceil(2);
        }
    }
}
