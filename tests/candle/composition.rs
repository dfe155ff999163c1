//! A composition in candle-transformers' T5: the base with the modules' update merged into its weights, from
//! any file of weights that LoraLoom reads.
//!
//! ```sh
//! cargo run --example composition -- ../../www/site/public/library/base "bed, moon, nose, hat and doctor" \
//!   ../../www/site/public/library/modules/pick-job=1.0 ../../www/site/public/library/modules/french=0.8
//! ```
//!
//! candle-transformers 0.11 decodes outputs of up to 8 tokens as T5 defines it; `losses.rs` has the reason.

use std::error::Error;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_transformers::models::t5::{Config, T5ForConditionalGeneration};
use loraloom::formats::{Tokenizer, parse_weights};
use loraloom::lora::{Merge, MergedWeights, PeftAdapter};
use loraloom::model::parse_config;

const MAX_NEW_TOKENS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(base), Some(input)) = (arguments.next(), arguments.next()) else {
        return Err("usage: composition BASE INPUT [ADAPTER=WEIGHT]...".into());
    };
    let modules = arguments.map(|argument| {
        let (folder, weight) = argument.rsplit_once('=').ok_or("a module is ADAPTER=WEIGHT")?;
        Ok((PathBuf::from(folder), weight.parse()?))
    });
    let modules = modules.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    println!("{}", answer(Path::new(&base), &input, &modules)?);
    Ok(())
}

/// The greedy answer of a base with modules of these folders and weights.
pub fn answer(
    base: &Path,
    input: &str,
    modules: &[(PathBuf, f32)],
) -> Result<String, Box<dyn Error>> {
    let weights = ["model.safetensors", "model.gguf", "pytorch_model.bin"]
        .map(|name| base.join(name))
        .into_iter()
        .find(|path| path.exists())
        .ok_or("the base's folder has no weights")?;
    let adapters = modules.iter().map(|(folder, _)| {
        let config = std::fs::read(folder.join("adapter_config.json"))?;
        let weights = std::fs::read(folder.join("adapter_model.safetensors"))?;
        Ok(PeftAdapter::parse(&config, weights)?)
    });
    let adapters = adapters.collect::<Result<Vec<PeftAdapter>, Box<dyn Error>>>()?;
    let coefficients: Vec<f32> = modules.iter().map(|(_, weight)| *weight).collect();
    let config = std::fs::read(base.join("config.json"))?;
    let merged = MergedWeights::new(
        &*parse_config(&config)?,
        parse_weights(std::fs::read(weights)?)?,
        &adapters,
        &coefficients,
        Merge::Delta,
    )?;

    let config: Config = serde_json::from_slice(&config)?;
    let var_builder = merged.var_builder(DType::F32, &Device::Cpu);
    let mut model = T5ForConditionalGeneration::load(var_builder, &config)?;
    let tokenizer = Tokenizer::parse(&std::fs::read(base.join("tokenizer.json"))?)?;
    let input = Tensor::new(tokenizer.encode(input)?, &Device::Cpu)?.unsqueeze(0)?;
    let states = model.encode(&input)?;
    let mut token = config.decoder_start_token_id.unwrap_or(config.pad_token_id) as u32;
    let mut output = Vec::new();
    while output.len() < MAX_NEW_TOKENS {
        // The cache holds the tokens before.
        let logits = model.decode(&Tensor::new(&[[token]], &Device::Cpu)?, &states)?;
        token = logits.squeeze(0)?.argmax(0)?.to_scalar()?;
        if token as usize == config.eos_token_id {
            break;
        }
        output.push(token);
    }
    Ok(tokenizer.decode(&output))
}
