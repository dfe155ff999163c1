//! The check of a GPU before it is used: losses and tokens of a few synthetic inputs, with synthetic
//! modules, on the loaded model, compared with the CPU's.

use std::collections::BTreeMap;

use crate::lora::{AdapterConfig, PeftAdapter, PeftLayer};

use crate::choices::Choices;
use crate::kernels::gpu::{Gpu, GpuError};
use crate::lora::{AdapterSet, Merge};
use crate::model::{
    Control, GpuModel, LoraBranches, Model, ModelConfig, ModelError, TokenizedExample,
};
use crate::model::{LinearId, LinearKind, Stack};

/// Largest relative difference of a loss.
const TOLERANCE: f32 = 1e-3;
/// Lengths of the inputs and outputs.
const LENGTHS: [(usize, usize); 2] = [(37, 5), (9, 3)];
/// Tokens decoded.
const NEW_TOKENS: usize = 6;
const COEFFICIENTS: [f32; 2] = [0.7, -0.4];

/// Pseudo-random numbers, the same in every check.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    fn tokens(&mut self, config: &dyn ModelConfig, length: usize) -> Vec<u32> {
        let mut tokens: Vec<u32> =
            (1..length).map(|_| self.next() % config.vocab_size() as u32).collect();
        tokens.push(config.eos_token_id());
        tokens
    }

    /// Values within ±`size`.
    fn values(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count).map(|_| (self.next() as f32 / (1 << 23) as f32 - 1.0) * size).collect()
    }
}

/// A module of rank 3 for a few layers.
fn adapter(config: &dyn ModelConfig, noise: &mut Noise) -> Result<PeftAdapter, ModelError> {
    const RANK: usize = 3;
    let json = br#"{"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": ["q", "v"]}"#;
    let mut layers = BTreeMap::new();
    for (stack, kind) in [
        (Stack::Encoder, LinearKind::SelfQ),
        (Stack::Encoder, LinearKind::Wo),
        (Stack::Decoder, LinearKind::SelfV),
        (Stack::Decoder, LinearKind::CrossK),
    ] {
        let id = LinearId { stack, block: 0, kind };
        let Some([d_out, d_in]) = config.linear_shape(id) else { continue };
        let lora_a = noise.values(RANK * d_in, 1.0 / (d_in as f32).sqrt());
        let lora_b = noise.values(d_out * RANK, 0.05);
        layers.insert(id, PeftLayer { lora_a, lora_b, rank: RANK, scaling: 2.0 });
    }
    Ok(PeftAdapter { config: AdapterConfig::parse(json)?, layers, ignored: Vec::new() })
}

/// Checks that the device has room for the check's batch, before anything is allocated there.
///
/// # Errors
/// [`GpuError::TooLarge`].
pub(super) fn check_room(cpu: &dyn Model, gpu: &Gpu) -> Result<(), GpuError> {
    let [inputs, labels] = [LENGTHS.map(|lengths| lengths.0), LENGTHS.map(|lengths| lengths.1)];
    cpu.check_gpu_room(gpu, &inputs, &labels)
}

/// Compares the device with the CPU; returns the bytes of its working memory.
///
/// # Errors
/// [`GpuError::Disagrees`] with the first value that differs, and the device's faults.
pub(super) async fn check(cpu: &dyn Model, gpu: &dyn GpuModel) -> Result<u64, ModelError> {
    let (config, control) = (cpu.config(), Control::none());
    let mut noise = Noise(1);
    let batch = LENGTHS.map(|(input, labels)| TokenizedExample {
        input: noise.tokens(config, input),
        labels: noise.tokens(config, labels),
    });
    let adapters = [adapter(config, &mut noise)?, adapter(config, &mut noise)?];
    let mut bytes = 0;
    for &merge in Merge::ALL {
        let mut composition =
            AdapterSet::new(config, &adapters, merge).expect("the modules fit this configuration");
        let modules = composition.upload(gpu)?;
        let branches = composition
            .branches(&COEFFICIENTS, cpu.precision())
            .expect("one coefficient per module");
        let expected = cpu.losses(&batch, Some(branches), &control)?;
        let evaluation = gpu.prepare(&batch, Some(&modules), 1)?;
        bytes = bytes.max(evaluation.bytes());
        let found = evaluation.losses(&[&COEFFICIENTS.map(|one| [one; 4])], &control).await?;
        for (expected, found) in expected.iter().zip(&found[0]) {
            // In this form a NaN disagrees.
            let agrees = (found.loss - expected.loss).abs() <= TOLERANCE * expected.loss.abs();
            if !agrees {
                let what = format!("the loss of a synthetic example ({merge:?} merge)");
                return Err(disagrees(what, expected.loss, found.loss));
            }
        }
    }
    tokens(cpu, gpu, &batch[0].input, &control).await?;
    Ok(bytes)
}

async fn tokens(
    cpu: &dyn Model,
    gpu: &dyn GpuModel,
    input: &[u32],
    control: &Control,
) -> Result<(), ModelError> {
    let none: Option<&LoraBranches> = None;
    let expected = cpu.generate(&[input], none, NEW_TOKENS, control, &mut |_, _| ())?;
    let found = gpu.generate(&[input], None, NEW_TOKENS, control, &mut |_, _| ()).await?;
    if found == expected {
        return Ok(());
    }
    let list = |tokens: &[Vec<u32>]| format!("{:?}", tokens[0]);
    Err(disagrees("the output for a synthetic input".into(), list(&expected), list(&found)))
}

fn disagrees(what: String, expected: impl ToString, found: impl ToString) -> ModelError {
    let (expected, found) = (expected.to_string(), found.to_string());
    ModelError::Gpu(GpuError::Disagrees { what, expected, found })
}
