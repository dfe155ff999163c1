//! Composing on the graphics card: a composition's modules are copied there once, and merged there
//! for any coefficients.

use std::borrow::Borrow;

use super::{AdapterSet, Merge};
use crate::kernels::gpu::GpuError;
use crate::lora::PeftAdapter;
use crate::model::{GpuModel, GpuModules, ModuleLayers};

impl<A: Borrow<PeftAdapter>> AdapterSet<A> {
    /// Copies the modules to the device that holds `model`, which has to be of the configuration that
    /// they were checked against.
    ///
    /// Matrices that stand side by side ([`Merge::Delta`]) are quantised together, those of modules of
    /// coefficient 0 among them, which the CPU leaves out: to have its bits, leave them out here.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn upload(&self, model: &dyn GpuModel) -> Result<GpuModules, GpuError> {
        let mut layers = ModuleLayers::new();
        for (module, adapter) in self.adapters.iter().enumerate() {
            for (&layer, matrices) in &adapter.borrow().layers {
                layers.entry(layer).or_default().push((module, matrices));
            }
        }
        model.load_modules(&layers, self.adapters.len(), self.merge == Merge::Lorahub)
    }
}
