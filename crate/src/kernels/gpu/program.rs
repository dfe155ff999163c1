//! A program: dispatches recorded once and run as often as wanted.

use std::sync::Arc;

use super::pipelines::{Kernel, Pipeline, PipelineKey};
use super::source::Constant;
use super::timing::Share;
use super::{Buffer, Gpu};

/// Bytes from one dispatch's parameters to the next: the alignment that every device grants.
const PARAMETER_STRIDE: usize = 256;
/// Workgroups along one axis of a dispatch; every device allows this many.
const MOST_WORKGROUPS: u32 = 65_535;

#[derive(Debug)]
struct Pending {
    share: Share,
    pipeline: Arc<Pipeline>,
    parameters: Vec<u8>,
    buffers: Vec<Buffer>,
    workgroups: [u32; 3],
}

/// Records the dispatches of a program.
#[derive(Debug)]
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Dispatch {
    share: Share,
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// Dispatches that run one after another, each seeing what those before it wrote.
#[derive(Debug)]
pub struct Program {
    dispatches: Vec<Dispatch>,
}

/// Workgroups for `count` indices, on two axes where one is too short; the kernels leave out those
/// beyond.
pub(super) fn spread(count: usize) -> [u32; 2] {
    let count = u32::try_from(count).expect("fewer workgroups than there are words of a buffer");
    let rows = count.div_ceil(MOST_WORKGROUPS).max(1);
    [count.div_ceil(rows), rows]
}

impl<'a> Recorder<'a> {
    /// A program that does nothing yet.
    pub fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, pending: Vec::new() }
    }

    /// Adds a dispatch; nothing if there is nothing to do. Buffers stand in the order of the
    /// kernel's bindings.
    pub(super) fn dispatch(
        &mut self,
        kernel: Kernel,
        constants: Vec<(&'static str, Constant)>,
        parameters: &impl bytemuck::Pod,
        buffers: &[&Buffer],
        workgroups: [u32; 3],
    ) {
        if workgroups.contains(&0) {
            return;
        }
        self.pending.push(Pending {
            share: kernel.share(),
            pipeline: self.gpu.pipeline(PipelineKey { kernel, constants }),
            parameters: bytemuck::bytes_of(parameters).to_vec(),
            buffers: buffers.iter().map(|&buffer| buffer.clone()).collect(),
            workgroups,
        });
    }

    /// The program.
    ///
    /// # Errors
    /// As [`Gpu::upload`], for the dispatches' parameters.
    pub fn finish(self) -> Result<Program, super::GpuError> {
        let mut bytes = vec![0u8; self.pending.len() * PARAMETER_STRIDE];
        for (slot, pending) in bytes.chunks_exact_mut(PARAMETER_STRIDE).zip(&self.pending) {
            slot[..pending.parameters.len()].copy_from_slice(&pending.parameters);
        }
        let parameters = self.gpu.upload_parameters(&bytes)?;
        let dispatches = self.pending.into_iter().enumerate().map(|(index, pending)| {
            let parameters = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &parameters,
                offset: (index * PARAMETER_STRIDE) as u64,
                size: wgpu::BufferSize::new(pending.parameters.len().next_multiple_of(16) as u64),
            });
            let resources = std::iter::once(parameters)
                .chain(pending.buffers.iter().map(Buffer::as_entire_binding));
            let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
                .zip(resources)
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            Dispatch {
                bindings: self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &pending.pipeline.layout,
                    entries: &entries,
                }),
                share: pending.share,
                pipeline: pending.pipeline,
                workgroups: pending.workgroups,
            }
        });
        Ok(Program { dispatches: dispatches.collect() })
    }
}

impl Program {
    /// Records the program's dispatches for a submission.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        Self::record_pass(&self.dispatches, encoder, None);
    }

    /// Records the dispatches in passes of one share each, so that each can be timed: `timestamps`
    /// says where the times of the pass with that index are written.
    pub(super) fn record_shares<'t>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        timestamps: impl Fn(usize) -> wgpu::ComputePassTimestampWrites<'t>,
    ) {
        for (index, run) in self.runs().enumerate() {
            Self::record_pass(run, encoder, Some(timestamps(index)));
        }
    }

    /// The shares of the passes of [`Program::record_shares`].
    pub(super) fn shares(&self) -> Vec<Share> {
        self.runs().map(|run| run[0].share).collect()
    }

    /// Dispatches of the same share that follow one another.
    fn runs(&self) -> impl Iterator<Item = &[Dispatch]> {
        self.dispatches.chunk_by(|one, next| one.share == next.share)
    }

    fn record_pass(
        dispatches: &[Dispatch],
        encoder: &mut wgpu::CommandEncoder,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) {
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        for dispatch in dispatches {
            pass.set_pipeline(&dispatch.pipeline.pipeline);
            pass.set_bind_group(0, &dispatch.bindings, &[]);
            let [x, y, z] = dispatch.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// Number of dispatches.
    pub fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.dispatches.is_empty()
    }
}
