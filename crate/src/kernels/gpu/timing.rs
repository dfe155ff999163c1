//! Where the device's time goes, by its own timestamps. Nothing is written down but in a run that is
//! timed: its dispatches are recorded in passes, each with a timestamp before and after.

use super::{Gpu, GpuError, Program};

/// What the time of a dispatch is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Products,
    Attention,
    Rest,
}

/// Seconds on the device, by what they went into.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TimeSplit {
    /// Products in 8 bits and f32.
    pub products: f64,
    /// Attention.
    pub attention: f64,
    /// All other kernels.
    pub rest: f64,
}

impl TimeSplit {
    /// Seconds together.
    pub fn total(&self) -> f64 {
        self.products + self.attention + self.rest
    }
}

impl Gpu {
    /// Runs a program once, timed; none where the device has no timestamps. The passes that the
    /// times are taken of make it a little slower than a run that is not timed.
    ///
    /// # Errors
    /// As [`Gpu::submit`] and [`Gpu::upload`].
    pub async fn time(&self, program: &Program) -> Result<Option<TimeSplit>, GpuError> {
        const TIMESTAMP_BYTES: usize = size_of::<u64>();
        const PASSES_PER_SET: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;
        let shares = program.shares();
        if !self.has_timestamps() || shares.is_empty() {
            return Ok(None);
        }
        let queries = |passes: usize| 2 * passes as u32;
        let sets: Vec<(wgpu::QuerySet, u32)> = shares
            .chunks(PASSES_PER_SET)
            .map(|passes| {
                let count = queries(passes.len());
                let descriptor =
                    wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count };
                (self.device.create_query_set(&descriptor), count)
            })
            .collect();
        let size = 2 * shares.len() * TIMESTAMP_BYTES;
        self.check_size("timestamps", size as u64)?;
        let resolved = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: size as u64,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let record = |encoder: &mut wgpu::CommandEncoder| {
            program.record_shares(encoder, |pass| {
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
        for (share, words) in shares.iter().zip(words.chunks_exact(4)) {
            let tick = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
            let seconds = tick(2).saturating_sub(tick(0)) as f64 * seconds_per_tick;
            match share {
                Share::Products => split.products += seconds,
                Share::Attention => split.attention += seconds,
                Share::Rest => split.rest += seconds,
            }
        }
        Ok(Some(split))
    }
}
