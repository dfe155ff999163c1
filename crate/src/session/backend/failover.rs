//! A device in front of the CPU: it is checked before it is used, reopened when it is lost, and
//! replaced by the CPU when it fails for another reason.

use std::sync::Arc;

use super::cpu::{CpuBatch, CpuDecoder};
use super::{
    Backend, BackendError, Clock, CpuBackend, Evaluated, GpuBackend, GpuMemory, GpuStatus,
    ModuleSet,
};
use crate::kernels::gpu::GpuError;
use crate::lora::ModuleWeight;
use crate::model::{Encoded, Model, ModelError, TokenizedExample};
use crate::session::report::sentence;

/// Times that a lost device is reopened before the CPU takes over for good.
const REOPENING_LIMIT: u32 = 2;

/// A backend on a device that can be lost.
#[allow(async_fn_in_trait, reason = "sessions run on the thread that created them")]
pub trait Device: Backend + Sized {
    /// Copies the model to the device and compares it with the CPU there.
    ///
    /// # Errors
    /// [`ModelError::Gpu`] where there is no device, it has no room, or it disagrees with the CPU.
    async fn open(cpu: &CpuBackend) -> Result<Self, ModelError>;

    /// Releases the device with all memory on it at once, where a browser would wait for the garbage
    /// collector.
    fn close(self);

    /// Name for people.
    fn name(&self) -> &str;

    /// Memory in use.
    fn memory(&self) -> GpuMemory;
}

/// Computes on a device while it works, otherwise on the CPU. Until [`Backend::open_gpu`] it is the
/// CPU.
pub struct FailoverBackend<D: Device = GpuBackend> {
    cpu: CpuBackend,
    device: Option<D>,
    reopenings: u32,
    reason: String,
    /// The status that was returned last.
    reported: GpuStatus,
}

/// Examples on the device or the CPU.
pub struct FailoverBatch<D: Device> {
    examples: Vec<TokenizedExample>,
    on_device: Option<D::Batch>,
    on_cpu: Option<CpuBatch>,
}

/// A decoding on the device or the CPU, with what starts it again.
pub struct FailoverDecoder<D: Device> {
    modules: ModuleSet,
    weights: Vec<ModuleWeight>,
    max_new_tokens: usize,
    inputs: Vec<Vec<u32>>,
    running: Option<Running<D>>,
    /// Rows of a decoding that was started again, until it has caught up.
    replay: Option<Vec<Vec<u32>>>,
}

enum Running<D: Device> {
    OnDevice(D::Decoder),
    OnCpu(CpuDecoder),
}

impl<D: Device> From<Arc<dyn Model>> for FailoverBackend<D> {
    fn from(model: Arc<dyn Model>) -> Self {
        let (reason, reported) = (String::new(), GpuStatus::default());
        Self { cpu: CpuBackend::from(model), device: None, reopenings: 0, reason, reported }
    }
}

impl<D: Device> Drop for FailoverBackend<D> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<D: Device> FailoverBackend<D> {
    /// The device, while it is used.
    pub fn device(&self) -> Option<&D> {
        self.device.as_ref()
    }

    fn close(&mut self) {
        if let Some(device) = self.device.take() {
            device.close();
        }
    }

    async fn open(&mut self) {
        match D::open(&self.cpu).await {
            Ok(device) => self.device = Some(device),
            Err(error) => self.reason = sentence(&error.to_string()),
        }
    }

    /// After an error: reopens a lost device or leaves the work to the CPU.
    ///
    /// # Errors
    /// The error itself, if the device is not its cause.
    async fn recover(&mut self, error: BackendError) -> Result<(), BackendError> {
        let BackendError::Model(ModelError::Gpu(fault)) = error else { return Err(error) };
        self.close();
        self.reason = sentence(&fault.to_string());
        if matches!(fault, GpuError::Lost { .. }) && self.reopenings < REOPENING_LIMIT {
            self.reopenings += 1;
            self.reason = format!("The GPU was lost and reopened ({}).", self.reopenings);
            self.open().await;
        }
        Ok(())
    }

    fn status(&self) -> GpuStatus {
        GpuStatus {
            active: self.device.is_some(),
            name: self.device.as_ref().map_or(String::new(), |device| device.name().to_owned()),
            memory: self.device.as_ref().map_or(GpuMemory::default(), D::memory),
            reason: self.reason.clone(),
        }
    }

    async fn try_losses(
        &mut self,
        batch: &mut FailoverBatch<D>,
        modules: &ModuleSet,
        points: &[Vec<ModuleWeight>],
        clock: Clock,
    ) -> Result<Evaluated, BackendError> {
        let FailoverBatch { examples, on_device, on_cpu } = batch;
        if let Some(device) = &mut self.device {
            let batch = on_device.get_or_insert_with(|| device.batch(examples.clone()));
            device.losses(batch, modules, points, clock).await
        } else {
            let batch = on_cpu.get_or_insert_with(|| self.cpu.batch(examples.clone()));
            self.cpu.losses(batch, modules, points, clock).await
        }
    }

    async fn try_compose(&mut self, decoder: &mut FailoverDecoder<D>) -> Result<(), BackendError> {
        let (modules, weights) = (decoder.modules.clone(), decoder.weights.clone());
        let limit = decoder.max_new_tokens;
        decoder.running = Some(match &mut self.device {
            Some(device) => Running::OnDevice(device.decoder(modules, weights, limit).await?),
            None => Running::OnCpu(self.cpu.decoder(modules, weights, limit).await?),
        });
        Ok(())
    }

    async fn try_start(&mut self, decoder: &mut FailoverDecoder<D>) -> Result<(), BackendError> {
        if decoder.running.is_none() {
            self.try_compose(decoder).await?;
        }
        match (&mut decoder.running, &mut self.device) {
            (Some(Running::OnDevice(running)), Some(device)) => {
                device.start(running, &decoder.inputs).await
            }
            (Some(Running::OnCpu(running)), _) => self.cpu.start(running, &decoder.inputs).await,
            _ => Ok(()),
        }
    }

    async fn try_step(
        &mut self,
        decoder: &mut FailoverDecoder<D>,
        rows: &mut [Vec<u32>],
    ) -> Result<bool, BackendError> {
        if decoder.running.is_none() {
            self.try_start(decoder).await?;
        }
        let step_rows = decoder.replay.as_deref_mut().unwrap_or(rows);
        match (&mut decoder.running, &mut self.device) {
            (Some(Running::OnDevice(running)), Some(device)) => {
                device.step(running, step_rows).await
            }
            (Some(Running::OnCpu(running)), _) => self.cpu.step(running, step_rows).await,
            _ => Ok(true),
        }
    }
}

fn longest(rows: &[Vec<u32>]) -> usize {
    rows.iter().map(Vec::len).max().unwrap_or(0)
}

impl<D: Device> Backend for FailoverBackend<D> {
    type Batch = FailoverBatch<D>;
    type Decoder = FailoverDecoder<D>;

    fn batch_limit(&self) -> usize {
        self.device.as_ref().map_or(1, D::batch_limit)
    }

    fn batch(&self, examples: Vec<TokenizedExample>) -> FailoverBatch<D> {
        FailoverBatch { examples, on_device: None, on_cpu: None }
    }

    async fn losses(
        &mut self,
        batch: &mut FailoverBatch<D>,
        modules: &ModuleSet,
        points: &[Vec<ModuleWeight>],
        clock: Clock,
    ) -> Result<Evaluated, BackendError> {
        loop {
            match self.try_losses(batch, modules, points, clock).await {
                Ok(evaluated) => return Ok(evaluated),
                Err(error) => {
                    batch.on_device = None;
                    self.recover(error).await?;
                }
            }
        }
    }

    async fn encode(&mut self, inputs: &[&[u32]]) -> Result<Encoded, BackendError> {
        self.cpu.encode(inputs).await
    }

    async fn decoder(
        &mut self,
        modules: ModuleSet,
        weights: Vec<ModuleWeight>,
        max_new_tokens: usize,
    ) -> Result<FailoverDecoder<D>, BackendError> {
        let (inputs, running, replay) = (Vec::new(), None, None);
        let mut decoder =
            FailoverDecoder { modules, weights, max_new_tokens, inputs, running, replay };
        while let Err(error) = self.try_compose(&mut decoder).await {
            self.recover(error).await?;
        }
        Ok(decoder)
    }

    async fn start(
        &mut self,
        decoder: &mut FailoverDecoder<D>,
        inputs: &[Vec<u32>],
    ) -> Result<(), BackendError> {
        decoder.inputs = inputs.to_vec();
        decoder.replay = None;
        while let Err(error) = self.try_start(decoder).await {
            decoder.running = None;
            self.recover(error).await?;
        }
        Ok(())
    }

    async fn step(
        &mut self,
        decoder: &mut FailoverDecoder<D>,
        rows: &mut [Vec<u32>],
    ) -> Result<bool, BackendError> {
        let finished = loop {
            match self.try_step(decoder, rows).await {
                Ok(finished) => break finished,
                Err(error) => {
                    decoder.running = None;
                    self.recover(error).await?;
                    decoder.replay = Some(vec![Vec::new(); rows.len()]);
                }
            }
        };
        if let Some(replay) = &mut decoder.replay
            && (finished || longest(replay) >= longest(rows))
        {
            rows.swap_with_slice(replay);
            decoder.replay = None;
        }
        Ok(finished)
    }

    async fn open_gpu(&mut self) -> Option<GpuStatus> {
        self.close();
        self.reopenings = 0;
        self.reason.clear();
        self.open().await;
        self.reported = self.status();
        Some(self.reported.clone())
    }

    fn changed_gpu_status(&mut self) -> Option<GpuStatus> {
        let status = self.status();
        if status == self.reported {
            return None;
        }
        self.reported = status.clone();
        Some(status)
    }
}
