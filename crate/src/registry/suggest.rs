//! Suggestions: candidates of a registry, ranked by their similarity with examples.

use serde::{Deserialize, Serialize};

use super::{Candidate, RegistryModule};
use crate::formats::Example;

/// A module that may suit some examples, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Suggestion {
    /// The module.
    pub module: RegistryModule,
    /// Mean-centred cosine similarity of encoder embeddings of its description and the examples: 1 at
    /// most.
    pub similarity: f32,
    /// Words that it shares with the examples, rarest first.
    pub words: Vec<String>,
}

impl Candidate {
    /// The text that is compared with examples. The title says more than the sentence on the task,
    /// most of which all modules of a library share.
    pub fn text(&self) -> String {
        let RegistryModule { title, task, example, .. } = &self.module;
        match example {
            Some(Example { input, output }) => format!("{title} {input} {output}"),
            None => format!("{title} {task}"),
        }
    }
}

/// The most similar candidates, at most `limit`; one similarity for each candidate.
pub fn suggestions(
    candidates: Vec<Candidate>,
    similarities: &[f32],
    limit: usize,
) -> Vec<Suggestion> {
    let suggestion =
        |(Candidate { module, words }, &similarity)| Suggestion { module, similarity, words };
    let mut suggestions: Vec<Suggestion> =
        candidates.into_iter().zip(similarities).map(suggestion).collect();
    suggestions.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    suggestions.truncate(limit);
    suggestions
}
