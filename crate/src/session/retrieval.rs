//! Retrieval: similarities of examples and descriptions of modules, by the base's own encoder.
//!
//! A text's embedding is the mean of its encoder states, `[d_model]`. The similarity is the
//! mean-centred cosine similarity of encoder embeddings: the mean over all candidates is subtracted,
//! because T5's states have a large component in common.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    Backend, Base, Observer, Operation, Session, SessionError, SessionEvent, TextPart, ready_mut,
};
use crate::formats::Example;

const OPERATION: Operation = Operation::Retrieve;
/// Tokens of a text that are encoded.
const MAX_TEXT_TOKENS: usize = 64;
/// Tokens of a step: a fraction of a second on a large model.
const STEP_TOKENS: usize = 128;
/// Embeddings that [`Session::embeddings`] returns at most: 17 MB of a large model.
const EMBEDDINGS_LIMIT: usize = 4096;
const KEY_BYTES: usize = 16;

/// Embeddings by the first bytes of their texts' SHA-256.
pub(super) type Embeddings = BTreeMap<TextKey, Vec<f32>>;
type TextKey = [u8; KEY_BYTES];

fn key_of(text: &str) -> TextKey {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|index| digest[index])
}

impl<B: Backend> Session<B> {
    /// The similarity of each candidate, a text that describes a module, with the examples: the mean
    /// over them of the mean-centred cosine similarity of encoder embeddings, 1 at most.
    ///
    /// # Errors
    /// A [`SessionError`] naming the text that is not valid, and [`SessionError::Aborted`] if the
    /// observer stopped it.
    pub async fn retrieve<O: Observer>(
        &mut self,
        examples: &[Example],
        candidates: &[String],
        observer: &mut O,
    ) -> Result<Vec<f32>, SessionError> {
        let base = ready_mut(&mut self.base)?;
        if examples.is_empty() {
            return Err(SessionError::NoExamples { operation: OPERATION });
        }
        let texts = examples.iter().map(|Example { input, output }| format!("{input} {output}"));
        let examples: Vec<String> = texts.collect();
        let mut waiting: Vec<&str> =
            examples.iter().chain(candidates).map(String::as_str).collect();
        waiting.sort_unstable();
        waiting.dedup();
        let total = waiting.len() as u32;
        waiting.retain(|text| !self.embeddings.contains_key(&key_of(text)));
        while !waiting.is_empty() {
            if observer.next_turn().await {
                return Err(SessionError::Aborted { operation: OPERATION });
            }
            let d_model = base.model.config().d_model();
            for (text, states) in base.encode_step(OPERATION, &mut waiting).await? {
                let embedding = mean(states.chunks_exact(d_model), d_model);
                self.embeddings.insert(key_of(text), embedding);
            }
            let done = total - waiting.len() as u32;
            observer.on_event(SessionEvent::Step { done, total });
        }
        Ok(similarities(&examples, candidates, &self.embeddings))
    }

    /// The embeddings that the base made, to be stored: of each the key of its text and `[d_model]`
    /// f32 numbers, little-endian.
    pub fn embeddings(&self) -> Vec<u8> {
        let stored = self.embeddings.iter().take(EMBEDDINGS_LIMIT);
        let bytes = stored.flat_map(|(key, embedding)| {
            key.iter().copied().chain(embedding.iter().flat_map(|value| value.to_le_bytes()))
        });
        bytes.collect()
    }

    /// Adds stored embeddings of this base. Those that it cannot have made are ignored.
    pub fn add_embeddings(&mut self, bytes: &[u8]) {
        let Some(base) = &self.base else { return };
        let entry_bytes = KEY_BYTES + base.model.config().d_model() * size_of::<f32>();
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

impl<B: Backend> Base<B> {
    /// Takes texts off the end of `waiting`, as many as a step has tokens for, and encodes the first tokens
    /// of each; returns them with their states, `[tokens, d_model]`.
    pub(super) async fn encode_step<'t>(
        &mut self,
        operation: Operation,
        waiting: &mut Vec<&'t str>,
    ) -> Result<Vec<(&'t str, Vec<f32>)>, SessionError> {
        let (mut texts, mut rows, mut tokens) = (Vec::new(), Vec::new(), 0);
        while tokens < STEP_TOKENS
            && let Some(text) = waiting.pop()
        {
            let mut row = self.encode(operation, TextPart::Input, None, text)?;
            row.truncate(MAX_TEXT_TOKENS);
            tokens += row.len();
            texts.push(text);
            rows.push(row);
        }
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let encoded = self.backend.encode(&rows).await;
        let encoded = encoded.map_err(|error| SessionError::backend(operation, [], error))?;
        let d_model = self.model.config().d_model();
        let states = encoded
            .bounds()
            .windows(2)
            .map(|rows| encoded.states()[rows[0] * d_model..rows[1] * d_model].to_vec());
        Ok(texts.into_iter().zip(states).collect())
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

/// The cosine similarity of two vectors after `center` is subtracted from both.
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

/// Each candidate's mean similarity with the examples.
fn similarities(examples: &[String], candidates: &[String], embeddings: &Embeddings) -> Vec<f32> {
    let embedding = |text: &String| embeddings.get(&key_of(text)).map_or(&[][..], Vec::as_slice);
    let examples: Vec<&[f32]> = examples.iter().map(embedding).collect();
    let candidates: Vec<&[f32]> = candidates.iter().map(embedding).collect();
    let d_model = examples.first().map_or(0, |first| first.len());
    let center = mean(candidates.iter().copied(), d_model);
    let similarity = |candidate: &&[f32]| {
        let sum: f32 = examples.iter().map(|example| cosine(example, candidate, &center)).sum();
        sum / examples.len() as f32
    };
    candidates.iter().map(similarity).collect()
}
