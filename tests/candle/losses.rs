//! Losses and greedy outputs of the golden models, of a plain T5 in candle's operations and of
//! candle-transformers' T5.
//!
//! candle-transformers' T5 differs from T5 in two ways, with a cache or without:
//!
//! - its decoder takes the encoder's bidirectional buckets of distances, so that tokens more than
//!   [`exact_distance`] apart have another bias. It is given outputs of no larger distances.
//! - it multiplies the decoder's output by `d_model^0.5` before a tied head, where T5 multiplies it by
//!   `d_model^-0.5`. Its logits are divided by `d_model` there; the greedy tokens are the same.

use candle_core::{DType, Device, Tensor};
use candle_nn::loss::cross_entropy;
use candle_transformers::models::t5::{Config, T5ForConditionalGeneration};
use loraloom::lora::{Composition, Merge, MergedWeights, WeightedModule};
use loraloom::model::{Control, LoraBranches, Model, Precision, TokenizedExample};
use loraloom::session::{BaseBytes, BaseLabel, Session};
use pollster::block_on;

use crate::models::{self, Case, Golden};
use crate::t5::{self, T5};
use crate::{composition, distance, path, read};

/// Largest relative difference of a loss from candle's in f64, and in f32 with merged weights.
const TOLERANCE: [f64; 2] = [2e-6, 1e-5];

fn branches(golden: &Golden, case: &Case) -> Option<LoraBranches> {
    let merge = case.merge.unwrap_or(Merge::Delta);
    models::branches(&golden.config, &golden.adapters(case), &case.weights, merge)
}

fn batch(case: &Case, limit: usize) -> Vec<TokenizedExample> {
    let examples = case.examples.iter();
    examples
        .map(|example| TokenizedExample {
            input: example.input.clone(),
            labels: example.labels[..example.labels.len().min(limit)].into(),
        })
        .collect()
}

fn our_losses(golden: &Golden, case: &Case, batch: &[TokenizedExample]) -> Vec<f32> {
    let branches = branches(golden, case);
    let losses = golden.model().losses(batch, branches.as_ref(), &Control::none()).unwrap();
    losses.iter().map(|example| example.loss).collect()
}

fn our_outputs(golden: &Golden, case: &Case, limit: usize) -> Vec<Vec<u32>> {
    let inputs: Vec<&[u32]> = case.examples.iter().map(|example| &*example.input).collect();
    let branches = branches(golden, case);
    let model = golden.model();
    model.generate(&inputs, branches.as_ref(), limit, &Control::none(), &mut |_, _| ()).unwrap()
}

#[test]
fn losses_and_outputs_are_those_of_a_plain_t5_in_candle() {
    for golden in Golden::all() {
        for case in &golden.cases {
            let merge = case.merge.unwrap_or(Merge::Delta);
            let branches = t5::branches(&golden.adapters(case), &case.weights, merge).unwrap();
            let model = T5::new(&golden.config, &golden.source(), branches).unwrap();
            let batch = batch(case, usize::MAX);
            for (found, example) in our_losses(&golden, case, &batch).into_iter().zip(&batch) {
                let expected = model.loss(example).unwrap().to_scalar::<f64>().unwrap();
                let distance = distance(&[found], &[expected]);
                assert!(distance < TOLERANCE[0], "{}: {distance}", golden.name(case));
            }
            // Each token is decoded with all before it, so a case of each merge is enough.
            if !["base", "lorahub 0", "delta 0"].contains(&&*case.name) {
                continue;
            }
            let limit = golden.max_new_tokens;
            let outputs = our_outputs(&golden, case, limit);
            for (output, example) in outputs.iter().zip(&case.examples) {
                let expected = model.greedy(&example.input, limit).unwrap();
                assert_eq!(
                    (output, &expected),
                    (&example.greedy, &expected),
                    "{}",
                    golden.name(case)
                );
            }
        }
    }
}

/// candle-transformers' T5 of a composition.
struct Contender {
    model: T5ForConditionalGeneration,
    /// Divides the logits.
    divisor: f64,
    start: u32,
}

impl Contender {
    /// The golden models that it reads: UMT5 has a position bias in every block.
    fn models() -> impl Iterator<Item = Golden> {
        let all = Golden::all().into_iter();
        all.filter(|golden| !golden.config.relative_attention_bias_per_block)
    }

    fn new(golden: &Golden, case: &Case) -> Self {
        let config = read(&golden.folder.join("config.json"));
        // Without a cache, decoding a prefix gives the logits of its last token.
        let mut config: Config = serde_json::from_slice(&config).unwrap();
        config.use_cache = false;
        let merged = MergedWeights::new(
            &golden.config,
            Box::new(golden.source()),
            &golden.adapters(case),
            &case.weights,
            case.merge.unwrap_or(Merge::Delta),
        );
        let var_builder = merged.unwrap().var_builder(DType::F32, &Device::Cpu);
        let model = T5ForConditionalGeneration::load(var_builder, &config).unwrap();
        let divisor = if config.tie_word_embeddings { config.d_model as f64 } else { 1.0 };
        Self { model, divisor, start: golden.config.decoder_start_token_id }
    }

    fn encode(&mut self, input: &[u32]) -> Tensor {
        let input = Tensor::new(input, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        self.model.encode(&input).unwrap()
    }

    /// `[vocab_size]`, after these tokens of an output.
    fn logits(&mut self, tokens: &[u32], states: &Tensor) -> Tensor {
        let tokens: Vec<u32> = [self.start].iter().chain(tokens).copied().collect();
        let tokens = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let logits = self.model.decode(&tokens, states).unwrap();
        (logits.squeeze(0).unwrap() / self.divisor).unwrap()
    }

    fn loss(&mut self, example: &TokenizedExample) -> f64 {
        let states = self.encode(&example.input);
        let labels = &example.labels;
        let rows: Vec<Tensor> =
            (0..labels.len()).map(|position| self.logits(&labels[..position], &states)).collect();
        let logits = Tensor::stack(&rows, 0).unwrap();
        let labels = Tensor::new(&labels[..], &Device::Cpu).unwrap();
        f64::from(cross_entropy(&logits, &labels).unwrap().to_scalar::<f32>().unwrap())
    }

    fn greedy(&mut self, input: &[u32], limit: usize, end: u32) -> Vec<u32> {
        let states = self.encode(input);
        let mut tokens = Vec::new();
        while tokens.len() < limit && tokens.last() != Some(&end) {
            let logits = self.logits(&tokens, &states);
            tokens.push(logits.argmax(0).unwrap().to_scalar().unwrap());
        }
        tokens
    }
}

/// The largest distance of two tokens of an output that has the same bucket in both directions' halves.
fn exact_distance(golden: &Golden) -> usize {
    golden.config.relative_attention_num_buckets / 4
}

#[test]
fn short_losses_and_outputs_are_those_of_candles_t5_on_the_merged_weights() {
    for golden in Contender::models() {
        let limit = exact_distance(&golden) + 1;
        for case in &golden.cases {
            let mut contender = Contender::new(&golden, case);
            let batch = batch(case, limit);
            for (found, example) in our_losses(&golden, case, &batch).into_iter().zip(&batch) {
                let distance = distance(&[found], &[contender.loss(example)]);
                assert!(distance < TOLERANCE[1], "{}: {distance}", golden.name(case));
            }
            let end = golden.config.eos_token_id;
            for (output, example) in our_outputs(&golden, case, limit).iter().zip(&case.examples) {
                let expected = contender.greedy(&example.input, limit, end);
                assert_eq!(*output, expected, "{}", golden.name(case));
            }
        }
    }
}

/// What docs/dependencies.md says of candle-transformers' decoder. Fails once it no longer does.
#[test]
fn long_losses_are_not_those_of_candles_t5() {
    for golden in Contender::models() {
        let case = &golden.cases[0];
        let mut contender = Contender::new(&golden, case);
        let batch = batch(case, usize::MAX);
        let longest = batch.iter().max_by_key(|example| example.labels.len()).unwrap();
        let [found] = our_losses(&golden, case, std::slice::from_ref(longest))[..] else {
            unreachable!("one loss of one example")
        };
        let distance = distance(&[found], &[contender.loss(longest)]);
        assert!(distance > 10.0 * TOLERANCE[1], "{}: {distance}", golden.name(case));
    }
}

/// The example, on the demo library.
#[test]
fn a_composition_answers_in_candles_t5_as_in_a_session() {
    let library = path("www/site/public/library");
    let base = library.join("base");
    let modules = [("pick-job", 1.0f32), ("french", 0.8)];
    let folders = modules.map(|(id, weight)| (library.join("modules").join(id), weight));

    let files = ["config.json", "tokenizer.json", "model.gguf"].map(|file| read(&base.join(file)));
    let files = BaseBytes { config: &files[0], tokenizer: &files[1], weights: &files[2] };
    let mut session: Session = Session::new(|| 0.0);
    session.load_base(BaseLabel::default(), files, Precision::F32).unwrap();
    for ((id, _), (folder, _)) in modules.iter().zip(&folders) {
        let config = read(&folder.join("adapter_config.json"));
        session.add_module(id, &config, read(&folder.join("adapter_model.safetensors"))).unwrap();
    }
    let modules =
        modules.map(|(id, weight)| WeightedModule { id: id.into(), weight: weight.into() });
    let composition = Composition { modules: modules.into(), merge: Merge::Delta };

    let task = String::from_utf8(read(&library.join("tasks/pick-job-french.jsonl"))).unwrap();
    let mut differs_from_base = 0;
    for line in task.lines().take(12) {
        let example: serde_json::Value = serde_json::from_str(line).unwrap();
        let input = example["input"].as_str().unwrap();
        let mut answer = |composition| {
            let answer = block_on(session.generate(input, composition, 8, &mut ()));
            answer.unwrap().text
        };
        let expected = answer(Some(&composition));
        differs_from_base += usize::from(answer(None) != expected);
        assert_eq!(composition::answer(&base, input, &folders).unwrap(), expected, "{input}");
    }
    assert!(differs_from_base > 6, "{differs_from_base} answers are the modules'");
}
