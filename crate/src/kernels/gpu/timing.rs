//! The device's time per kind of kernel, by timestamp queries. Only a timed run has them: it records its
//! dispatches in passes of one kind, with a timestamp before and after each.

use super::{Gpu, GpuError, Program};

/// The kind of kernel under which a dispatch's time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeKind {
    Products,
    Attention,
    Rest,
}

/// Seconds on the device per kind of kernel.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TimeSplit {
    /// 8-bit and f32 products.
    pub products: f64,
    /// Attention.
    pub attention: f64,
    /// All other kernels.
    pub rest: f64,
}

impl TimeSplit {
    /// The sum.
    pub fn total(&self) -> f64 {
        self.products + self.attention + self.rest
    }
}

impl Gpu {
    /// Runs a program once and returns its time; `None` if the device has no timestamps. The passes make a
    /// timed run slightly slower.
    ///
    /// # Errors
    /// Those of [`Gpu::submit`] and [`Gpu::upload`].
    pub async fn time(&self, program: &Program) -> Result<Option<TimeSplit>, GpuError> {
        const TIMESTAMP_BYTES: usize = size_of::<u64>();
        const PASSES_PER_SET: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;
        let kinds = program.time_kinds();
        if !self.has_timestamps() || kinds.is_empty() {
            return Ok(None);
        }
        let queries = |passes: usize| 2 * passes as u32;
        let sets: Vec<(wgpu::QuerySet, u32)> = kinds
            .chunks(PASSES_PER_SET)
            .map(|passes| {
                let count = queries(passes.len());
                let descriptor =
                    wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count };
                (self.device.create_query_set(&descriptor), count)
            })
            .collect();
        let size = 2 * kinds.len() * TIMESTAMP_BYTES;
        self.check_size("timestamps", size as u64)?;
        let resolved = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: size as u64,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let record = |encoder: &mut wgpu::CommandEncoder| {
            program.record_kinds(encoder, |pass| {
                let first = queries(pass % PASSES_PER_SET);
                wgpu::ComputePassTimestampWrites {
                    query_set: &sets[pass / PASSES_PER_SET].0,
                    beginning_of_pass_write_index: Some(first),
                    end_of_pass_write_index: Some(first + 1),
                }
            });
            for (index, (set, count)) in sets.iter().enumerate() {
                let offset = (index * 2 * PASSES_PER_SET * TIMESTAMP_BYTES) as u64;
                encoder.resolve_query_set(set, 0..*count, &resolved, offset);
            }
        };
        let words = self.submit(record, &resolved, 0, size / 4).await?;
        let seconds_per_tick = self.seconds_per_tick();
        let mut split = TimeSplit::default();
        for (kind, words) in kinds.iter().zip(words.chunks_exact(4)) {
            let tick = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
            let seconds = tick(2).saturating_sub(tick(0)) as f64 * seconds_per_tick;
            match kind {
                TimeKind::Products => split.products += seconds,
                TimeKind::Attention => split.attention += seconds,
                TimeKind::Rest => split.rest += seconds,
            }
        }
        Ok(Some(split))
    }
}
