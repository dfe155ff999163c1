//! Retrieval: which modules' descriptions are nearest to some examples, in the eyes of the loaded
//! model's own encoder. One batch of texts a step.
//!
//! A text's embedding is the mean of its encoder states, `[d_model]`, less the mean over all candidates,
//! because T5's states share a large common part; nearness is the cosine.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::report::report;
use super::{Engine, Work, input_report, ready};
use crate::formats::Example;
use crate::model::t5::Control;
use crate::protocol::{ErrorReport, RetrievalStep, Suggestion};
use crate::registry::{Candidate, RegistryModule};

const WHAT: &str = "No modules were suggested.";
/// Tokens of a text that count.
const MAX_TEXT_TOKENS: usize = 64;
/// Tokens of a step: a fraction of a second on a large model.
const STEP_TOKENS: usize = 128;
/// Embeddings that are kept for next time: 17 MB of a large model.
const KEPT_EMBEDDINGS: usize = 4096;
const KEY_BYTES: usize = 16;

/// Candidates that are being compared with examples.
pub(super) struct Retrieval {
    examples: Vec<String>,
    candidates: Vec<Candidate>,
    most: usize,
    /// Texts that have no embedding yet.
    waiting: Vec<String>,
    total: usize,
}

/// Embeddings by the first bytes of their texts' SHA-256.
pub(super) type Embeddings = BTreeMap<TextKey, Vec<f32>>;
type TextKey = [u8; KEY_BYTES];

fn key_of(text: &str) -> TextKey {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|index| digest[index])
}

/// What of a module is compared. Its title says more than the sentence on its task, most of which
/// all modules of a library share.
fn text_of(module: &RegistryModule) -> String {
    match &module.example {
        Some(Example { input, output }) => format!("{} {input} {output}", module.title),
        None => format!("{} {}", module.title, module.task),
    }
}

fn text_of_example(example: &Example) -> String {
    format!("{} {}", example.input, example.output)
}

impl Engine {
    /// Starts to look for the `most` candidates that are nearest to some examples. Work that went on
    /// before is ended.
    ///
    /// # Errors
    /// A report if no base is loaded, or there is no example.
    pub fn start_retrieval(
        &mut self,
        examples: &[Example],
        candidates: Vec<Candidate>,
        most: usize,
    ) -> Result<(), ErrorReport> {
        ready(&self.base)?;
        if examples.is_empty() {
            let why = "there is no example to compare modules with".into();
            return Err(report(WHAT, why, "Give at least one input with its output."));
        }
        let examples: Vec<String> = examples.iter().map(text_of_example).collect();
        let modules = candidates.iter().map(|candidate| text_of(&candidate.module));
        let mut waiting: Vec<String> = examples.iter().cloned().chain(modules).collect();
        waiting.sort_unstable();
        waiting.dedup();
        let total = waiting.len();
        waiting.retain(|text| !self.embeddings.contains_key(&key_of(text)));
        self.work =
            Work::Retrieval(Box::new(Retrieval { examples, candidates, most, waiting, total }));
        Ok(())
    }

    /// Encodes the next texts.
    ///
    /// # Errors
    /// A report if nothing was started, or the model cannot read a text.
    pub fn retrieval_step(&mut self) -> Result<RetrievalStep, ErrorReport> {
        let base = ready(&self.base)?;
        let Work::Retrieval(retrieval) = &mut self.work else {
            return Err(report(WHAT, "nothing was started".into(), "Ask again."));
        };
        let (mut texts, mut rows, mut tokens) = (Vec::new(), Vec::new(), 0);
        while tokens < STEP_TOKENS {
            let Some(text) = retrieval.waiting.pop() else { break };
            let mut row = base.tokenizer.encode(&text).map_err(|error| {
                report(WHAT, error.to_string(), "Shorten or correct the examples.")
            })?;
            row.truncate(MAX_TEXT_TOKENS);
            tokens += row.len();
            texts.push(text);
            rows.push(row);
        }
        if !rows.is_empty() {
            let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
            let encoded = (base.model.encode(&rows, None, &Control::none()))
                .map_err(|error| input_report(WHAT, &error))?;
            let d_model = base.model.config().d_model;
            for (text, rows) in texts.into_iter().zip(encoded.bounds().windows(2)) {
                let states = &encoded.states()[rows[0] * d_model..rows[1] * d_model];
                let embedding = mean(states.chunks_exact(d_model), d_model);
                self.embeddings.insert(key_of(&text), embedding);
            }
        }
        let total = retrieval.total as u32;
        let done = total - retrieval.waiting.len() as u32;
        let finished = retrieval.waiting.is_empty();
        let result = finished.then(|| nearest(retrieval, &self.embeddings));
        if finished {
            self.work = Work::Idle;
        }
        Ok(RetrievalStep { done, total, result })
    }

    /// The embeddings that the base made, to be kept: of each the key of its text and `[d_model]`
    /// numbers, little-endian.
    pub fn embeddings(&self) -> Vec<u8> {
        let kept = self.embeddings.iter().take(KEPT_EMBEDDINGS);
        let bytes = kept.flat_map(|(key, embedding)| {
            key.iter().copied().chain(embedding.iter().flat_map(|value| value.to_le_bytes()))
        });
        bytes.collect()
    }

    /// Takes embeddings that were kept of this base. Those that it cannot have made are ignored.
    pub fn add_embeddings(&mut self, bytes: &[u8]) {
        let Some(base) = &self.base else { return };
        let entry_bytes = KEY_BYTES + base.model.config().d_model * size_of::<f32>();
        for entry in bytes.chunks_exact(entry_bytes) {
            let (key, values) = entry.split_at(KEY_BYTES);
            let Ok(key) = TextKey::try_from(key) else { return };
            let values = values.chunks_exact(size_of::<f32>());
            let values: Vec<f32> =
                values.map(|b| f32::from_le_bytes(std::array::from_fn(|i| b[i]))).collect();
            if values.iter().all(|value| value.is_finite()) {
                self.embeddings.insert(key, values);
            }
        }
    }
}

/// The mean of rows of `width` numbers.
fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let (mut sum, mut count) = (vec![0.0f64; width], 0.0);
    for row in rows {
        count += 1.0;
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sum.into_iter().map(|sum| (sum / f64::max(count, 1.0)) as f32).collect()
}

/// The cosine of two vectors less a third.
fn cosine(a: &[f32], b: &[f32], center: &[f32]) -> f32 {
    let (mut dot, mut aa, mut bb) = (0.0f64, 0.0f64, 0.0f64);
    for ((&a, &b), &c) in a.iter().zip(b).zip(center) {
        let (a, b) = (f64::from(a - c), f64::from(b - c));
        dot += a * b;
        aa += a * a;
        bb += b * b;
    }
    if aa * bb > 0.0 { (dot / (aa * bb).sqrt()) as f32 } else { 0.0 }
}

/// The candidates whose embeddings are nearest to those of the examples, on average.
fn nearest(retrieval: &Retrieval, embeddings: &Embeddings) -> Vec<Suggestion> {
    let embedding = |text: &String| embeddings.get(&key_of(text)).map_or(&[][..], Vec::as_slice);
    let texts: Vec<String> =
        retrieval.candidates.iter().map(|candidate| text_of(&candidate.module)).collect();
    let modules: Vec<&[f32]> = texts.iter().map(embedding).collect();
    let examples: Vec<&[f32]> = retrieval.examples.iter().map(embedding).collect();
    let d_model = examples.first().map_or(0, |first| first.len());
    let center = mean(modules.iter().copied(), d_model);
    let mut suggestions: Vec<Suggestion> = (retrieval.candidates.iter().zip(&modules))
        .map(|(candidate, module)| {
            let sum: f32 = examples.iter().map(|example| cosine(example, module, &center)).sum();
            Suggestion {
                module: candidate.module.clone(),
                similarity: sum / examples.len() as f32,
                words: candidate.words.clone(),
            }
        })
        .collect();
    suggestions.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    suggestions.truncate(retrieval.most);
    suggestions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::t5::Precision;
    use crate::registry::{Finder, Lookup, Registry};
    use crate::session::{BaseBytes, BaseLabel};

    fn read(file: &str) -> Vec<u8> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../www/site/public/library/");
        std::fs::read(root.to_owned() + file).unwrap()
    }

    fn engine() -> Engine {
        let mut engine = Engine::new(|| 0.0);
        let (config, tokenizer) = (read("base/config.json"), read("base/tokenizer.json"));
        let weights = read("base/model.gguf");
        let files = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
        engine.load_base(BaseLabel::default(), files, Precision::Int8).unwrap();
        engine
    }

    fn suggestions(engine: &mut Engine, finder: &Finder, examples: &[Example]) -> Vec<Suggestion> {
        let Lookup::Found(candidates) = finder.candidates(examples, "loraloom-demo", 64) else {
            panic!("the demo library is whole")
        };
        engine.start_retrieval(examples, candidates, 20).unwrap();
        loop {
            let step = engine.retrieval_step().unwrap();
            assert!(step.done <= step.total);
            if let Some(result) = step.result {
                return result;
            }
        }
    }

    #[test]
    fn the_modules_that_a_task_is_made_of_are_among_the_nearest() {
        let registry = Registry::parse(&read("registry.json")).unwrap();
        let finder = Finder::new(&registry);
        let mut engine = engine();
        let mut longest_first: Vec<&str> = registry.modules.iter().map(|m| &*m.id).collect();
        longest_first.sort_by_key(|id| std::cmp::Reverse(id.len()));
        let (mut found, mut wanted) = (0, 0);
        for task in &registry.tasks {
            let suggested = suggestions(&mut engine, &finder, &task.examples);
            assert_eq!(suggested.len(), 20);
            // A task's id is made of those of the modules that it needs.
            let mut rest = task.id.clone();
            for id in &longest_first {
                if rest.contains(id) {
                    rest = rest.replace(id, "");
                    wanted += 1;
                    found += usize::from(suggested.iter().any(|one| one.module.id == *id));
                }
            }
        }
        // 20 of the 41 modules by chance would be half of them; 52 of 61 were found.
        assert_eq!(wanted, 61);
        assert!(found >= 48, "{found} of {wanted}");
    }

    #[test]
    fn embeddings_that_were_kept_give_the_same_suggestions_at_once() {
        let registry = Registry::parse(&read("registry.json")).unwrap();
        let finder = Finder::new(&registry);
        let examples = &registry.tasks[0].examples;
        let mut first = engine();
        let expected = suggestions(&mut first, &finder, examples);
        let mut second = engine();
        second.add_embeddings(&first.embeddings());
        second.add_embeddings(&[1, 2, 3]);
        let Lookup::Found(candidates) = finder.candidates(examples, "loraloom-demo", 64) else {
            panic!("the demo library is whole")
        };
        second.start_retrieval(examples, candidates, 20).unwrap();
        assert_eq!(second.retrieval_step().unwrap().result, Some(expected));
        assert!(second.start_retrieval(&[], Vec::new(), 20).is_err());
        assert!(second.retrieval_step().is_err());
    }
}
