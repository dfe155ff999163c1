//! Programs: dispatches that are recorded once and can be submitted repeatedly.

use std::sync::Arc;

use super::operations::layout::Parameters;
use super::pipelines::{Kernel, Pipeline, PipelineKey};
use super::source::Constant;
use super::timing::TimeKind;
use super::{Buffer, Gpu};

/// Bytes from one dispatch's parameters to the next: the largest alignment that a device requires.
const PARAMETER_STRIDE: usize = 256;
/// Limit on the workgroups along one axis of a dispatch, WebGPU's default.
const MAX_WORKGROUPS: u32 = 65_535;

#[derive(Debug)]
struct Pending {
    kind: TimeKind,
    pipeline: Arc<Pipeline>,
    parameters: Vec<u8>,
    buffers: Vec<Buffer>,
    workgroups: [u32; 3],
}

/// Records dispatches into a [`Program`].
#[derive(Debug)]
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Dispatch {
    kind: TimeKind,
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// Dispatches that run in order; each reads what earlier ones wrote.
#[derive(Debug)]
pub struct Program {
    dispatches: Vec<Dispatch>,
}

/// Workgroups for `count` indices along two axes. Kernels skip indices beyond `count`.
pub(super) fn spread(count: usize) -> [u32; 2] {
    let count = u32::try_from(count).expect("a count of workgroups fits 32 bits");
    let rows = count.div_ceil(MAX_WORKGROUPS).max(1);
    [count.div_ceil(rows), rows]
}

impl<'a> Recorder<'a> {
    /// A recorder without dispatches.
    pub fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, pending: Vec::new() }
    }

    /// Records a dispatch, unless it has no workgroups. `buffers` are in the order of the kernel's
    /// bindings.
    pub(super) fn dispatch(
        &mut self,
        kernel: Kernel,
        constants: Vec<(&'static str, Constant)>,
        parameters: &impl Parameters,
        buffers: &[&Buffer],
        workgroups: [u32; 3],
    ) {
        if workgroups.contains(&0) {
            return;
        }
        self.pending.push(Pending {
            kind: kernel.time_kind(),
            pipeline: self.gpu.pipeline(PipelineKey { kernel, constants }),
            parameters: bytemuck::bytes_of(parameters).to_vec(),
            buffers: buffers.iter().map(|&buffer| buffer.clone()).collect(),
            workgroups,
        });
    }

    /// The program of all recorded dispatches.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`](super::GpuError::TooLarge) if the parameters exceed a buffer.
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
                kind: pending.kind,
                pipeline: pending.pipeline,
                workgroups: pending.workgroups,
            }
        });
        Ok(Program { dispatches: dispatches.collect() })
    }
}

impl Program {
    /// Records the dispatches into a command encoder.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        Self::record_pass(&self.dispatches, encoder, None);
    }

    /// Records the dispatches in passes of one kind each. `timestamps` returns the queries of the pass with
    /// that index.
    pub(super) fn record_kinds<'t>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        timestamps: impl Fn(usize) -> wgpu::ComputePassTimestampWrites<'t>,
    ) {
        for (index, run) in self.runs().enumerate() {
            Self::record_pass(run, encoder, Some(timestamps(index)));
        }
    }

    /// The kinds of the passes of [`Program::record_kinds`].
    pub(super) fn time_kinds(&self) -> Vec<TimeKind> {
        self.runs().map(|run| run[0].kind).collect()
    }

    /// Runs of adjacent dispatches of the same kind.
    fn runs(&self) -> impl Iterator<Item = &[Dispatch]> {
        self.dispatches.chunk_by(|one, next| one.kind == next.kind)
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

    /// The number of dispatches.
    pub fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Whether there is no dispatch.
    pub fn is_empty(&self) -> bool {
        self.dispatches.is_empty()
    }
}
