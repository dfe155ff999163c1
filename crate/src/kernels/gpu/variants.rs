//! Selection of a kernel's variant by its time when the device is opened. All variants give the same
//! bits.

use super::program::Recorder;
use super::{Buffer, Gpu, GpuError, Int8Product, Output, Rows, Store, packed_words};
use crate::kernels::quantize::BLOCK;

/// Rows, columns and depth of the timed product, a typical layer of a batch.
const SHAPE: [usize; 3] = [256, 512, 512];
/// Target duration of a timing in seconds, as browsers round timestamps to 0.1 ms.
const SECONDS: f64 = 2e-3;
const MAX_REPEATS: usize = 64;
/// Seconds above which a single run is enough, to keep the opening of a slow device short.
const LONGEST_RUN: f64 = 0.05;
/// Number of timings, of which the shortest counts, as other programs may use the device.
const TIMINGS: usize = 3;

impl Gpu {
    /// Selects the faster of the products with packed bytes and with bytes unpacked to f32, if the device
    /// has both and timestamps. Some drivers emulate the packed product.
    pub(super) async fn choose_dot(&mut self) -> Result<(), GpuError> {
        if !self.packed_dot || !self.has_timestamps() {
            return Ok(());
        }
        let packed = self.time_product().await?;
        self.clear_pipelines();
        self.packed_dot = false;
        let unpacked = self.time_product().await?;
        self.dot_seconds = Some([packed, unpacked]);
        if packed <= unpacked {
            self.clear_pipelines();
            self.packed_dot = true;
        }
        Ok(())
    }

    fn clear_pipelines(&mut self) {
        self.pipelines.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }

    /// Seconds of the product.
    async fn time_product(&self) -> Result<f64, GpuError> {
        const WHAT: &str = "a timed product";
        let [rows, columns, depth] = SHAPE;
        let x = Rows::new(self, WHAT, rows, depth, true)?;
        let weights = self.zeros(WHAT, columns * packed_words(depth))?;
        let scales = self.zeros(WHAT, columns * depth.div_ceil(BLOCK))?;
        let out = self.zeros(WHAT, rows * columns)?;
        let program = |repeats: usize| {
            let mut recorder = Recorder::new(self);
            for _ in 0..repeats {
                recorder.int8_product(product(&x, &weights, &scales, &out));
            }
            recorder.finish()
        };
        let once = program(1)?;
        // The driver may compile in the first run.
        self.seconds(&once).await?;
        let first = self.seconds(&once).await?;
        if first > LONGEST_RUN {
            return Ok(first);
        }
        let repeats = (SECONDS / first.max(SECONDS / MAX_REPEATS as f64)).ceil() as usize;
        let repeated = program(repeats)?;
        let mut shortest = f64::INFINITY;
        for _ in 0..TIMINGS {
            shortest = shortest.min(self.seconds(&repeated).await?);
        }
        Ok(shortest / repeats as f64)
    }

    async fn seconds(&self, program: &super::Program) -> Result<f64, GpuError> {
        Ok(self.time(program).await?.map_or(0.0, |split| split.total()))
    }
}

fn product<'a>(
    x: &'a Rows,
    weights: &'a Buffer,
    scales: &'a Buffer,
    out: &'a Buffer,
) -> Int8Product<'a> {
    let [rows, columns, depth] = SHAPE;
    Int8Product {
        members: 1,
        rows,
        columns,
        depth,
        x,
        int14_columns: 0,
        weights: (weights, 0, 0),
        scales: (scales, 0, 0),
        factors: None,
        out: Output { buffer: out, stride: columns, offset: 0, store: Store::Replace },
    }
}
