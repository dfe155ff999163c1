//! Routing: each input is answered by the stored composition that it belongs to, or by the base where it
//! belongs to none. The scores are those of [`crate::learn`].

use serde::{Deserialize, Serialize};

use super::{
    Answer, Backend, Observer, Operation, Session, SessionError, SessionEvent, TextPart, ready,
    ready_mut,
};
use crate::learn::{
    ROUTE_NEAREST, ROUTE_THRESHOLD, RoutingIndex, choose_route, nearest_routes, route_score,
};
use crate::lora::Composition;
use crate::model::TokenizedExample;

const OPERATION: Operation = Operation::Route;
/// Background texts that are encoded at most: the mean of as many is that of more.
const MAX_BACKGROUND: usize = 64;
/// Default maximum number of tokens of an answer.
const MAX_NEW_TOKENS: u32 = 64;

/// A composition that inputs can be routed to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct StoredComposition {
    /// Modules and their weights.
    pub composition: Composition,
    /// Inputs of its task, such as those of the few examples that it was learned from.
    pub inputs: Vec<String>,
}

/// How inputs are routed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RouteOptions {
    /// Number of compositions that answer, those whose inputs are nearest.
    pub nearest: u32,
    /// Score below which the base answers.
    pub threshold: f64,
    /// Other texts of the kind that inputs are of, such as the inputs on the cards of a library's modules:
    /// similarities are relative to what these and the compositions' inputs have in common. The first 64
    /// are used.
    pub background: Vec<String>,
    /// Maximum number of tokens of an answer, at least 1.
    pub max_new_tokens: u32,
}

impl Default for RouteOptions {
    fn default() -> Self {
        let background = Vec::new();
        Self {
            nearest: ROUTE_NEAREST,
            threshold: ROUTE_THRESHOLD,
            background,
            max_new_tokens: MAX_NEW_TOKENS,
        }
    }
}

/// A stored composition compared with an input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct RouteCandidate {
    /// Similarity of the input with the composition's inputs, about 1 at most.
    pub similarity: f64,
    /// Mean token cross-entropy of the composition's own answer; none where it did not answer.
    pub loss: Option<f64>,
    /// What the compositions are compared by; none where it did not answer.
    pub score: Option<f64>,
    /// The composition's own answer; none where it did not answer.
    pub answer: Option<String>,
}

/// An input that was routed and answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Routed {
    /// Index of the composition that answers; none where none fits and the base answers.
    pub chosen: Option<u32>,
    /// The answer.
    pub text: String,
    /// Every composition, in the order in which they were given.
    pub candidates: Vec<RouteCandidate>,
}

/// The index of compositions' inputs and background texts.
pub(super) struct CachedIndex {
    inputs: Vec<Vec<String>>,
    background: Vec<String>,
    index: RoutingIndex,
}

impl<B: Backend> Session<B> {
    /// Answers an input with the stored composition that it belongs to, or with the base where it belongs to
    /// none.
    ///
    /// # Errors
    /// As [`Session::route_all`].
    pub async fn route<O: Observer>(
        &mut self,
        input: &str,
        compositions: &[StoredComposition],
        options: &RouteOptions,
        observer: &mut O,
    ) -> Result<Routed, SessionError> {
        let routed = self.route_all(&[input.to_owned()], compositions, options, observer).await?;
        Ok(routed.into_iter().next().expect("one for each input"))
    }

    /// Routes and answers several inputs, each by itself, in their order. Every composition that is near
    /// enough answers each input, and its answer is scored.
    ///
    /// # Errors
    /// A [`SessionError`] naming what is not valid in an input or a composition,
    /// [`SessionError::NoExamples`] for a composition without inputs, and [`SessionError::Aborted`] if the
    /// observer stopped it.
    pub async fn route_all<O: Observer>(
        &mut self,
        inputs: &[String],
        compositions: &[StoredComposition],
        options: &RouteOptions,
        observer: &mut O,
    ) -> Result<Vec<Routed>, SessionError> {
        ready(&self.base)?;
        if compositions.iter().any(|stored| stored.inputs.is_empty()) {
            return Err(SessionError::NoExamples { operation: OPERATION });
        }
        let similarities = self.route_similarities(inputs, compositions, options, observer).await?;
        let candidate = |&similarity: &f64| RouteCandidate {
            similarity,
            loss: None,
            score: None,
            answer: None,
        };
        let mut candidates: Vec<Vec<RouteCandidate>> =
            similarities.iter().map(|of| of.iter().map(candidate).collect()).collect();
        let limit = options.nearest as usize;
        let nearest: Vec<Vec<usize>> =
            similarities.iter().map(|of| nearest_routes(of, limit)).collect();
        let total = compositions.len() as u32;
        for (index, stored) in compositions.iter().enumerate() {
            let of: Vec<usize> =
                (0..inputs.len()).filter(|&input| nearest[input].contains(&index)).collect();
            let texts: Vec<&str> = of.iter().map(|&input| &*inputs[input]).collect();
            let composition = Some(&stored.composition);
            let answers = self.route_answers(&texts, composition, options, observer).await?;
            let losses = self.answer_losses(&texts, &answers, composition).await?;
            for ((input, answer), loss) in of.into_iter().zip(answers).zip(losses) {
                let candidate = &mut candidates[input][index];
                candidate.answer = Some(answer.text);
                candidate.loss = Some(loss).filter(|loss| loss.is_finite());
                candidate.score =
                    candidate.loss.map(|loss| route_score(candidate.similarity, loss));
            }
            observer.on_event(SessionEvent::Step { done: index as u32 + 1, total });
        }
        let choice = |candidates: &Vec<RouteCandidate>| {
            let scores: Vec<Option<f64>> = candidates.iter().map(|one| one.score).collect();
            choose_route(&scores, options.threshold)
        };
        let chosen: Vec<Option<usize>> = candidates.iter().map(choice).collect();
        let to_base = inputs.iter().zip(&chosen).filter(|(_, chosen)| chosen.is_none());
        let to_base: Vec<&str> = to_base.map(|(input, _)| &**input).collect();
        let of_base = self.route_answers(&to_base, None, options, observer).await?;
        let mut of_base = of_base.into_iter().map(|answer| answer.text);
        let routed = candidates.into_iter().zip(chosen).map(|(candidates, chosen)| {
            let own = chosen.and_then(|index| candidates[index].answer.clone());
            let text = own.or_else(|| of_base.next()).unwrap_or_default();
            Routed { chosen: chosen.map(|index| index as u32), text, candidates }
        });
        Ok(routed.collect())
    }

    /// The similarity of each input with each composition.
    async fn route_similarities<O: Observer>(
        &mut self,
        inputs: &[String],
        compositions: &[StoredComposition],
        options: &RouteOptions,
        observer: &mut O,
    ) -> Result<Vec<Vec<f64>>, SessionError> {
        let of_compositions: Vec<Vec<String>> =
            compositions.iter().map(|stored| stored.inputs.clone()).collect();
        let background = options.background.iter().take(MAX_BACKGROUND).cloned();
        let background: Vec<String> = background.collect();
        let fits = |cached: &CachedIndex| {
            cached.inputs == of_compositions && cached.background == background
        };
        if !self.routing.as_ref().is_some_and(fits) {
            let mut states = Vec::new();
            for texts in of_compositions.iter().chain([&background]) {
                states.push(self.states(texts, observer).await?);
            }
            let d_model = ready(&self.base)?.model.config().d_model();
            let slices: Vec<Vec<&[f32]>> =
                states.iter().map(|of| of.iter().map(Vec::as_slice).collect()).collect();
            let (of_background, slices) = slices.split_last().expect("of the background");
            let index = RoutingIndex::new(d_model, slices, of_background);
            let inputs = of_compositions;
            self.routing = Some(CachedIndex { inputs, background, index });
        }
        let states = self.states(inputs, observer).await?;
        let index = self.routing.as_ref().map(|cached| &cached.index);
        let similarities =
            |states: &Vec<f32>| index.map_or_else(Vec::new, |index| index.similarities(states));
        Ok(states.iter().map(similarities).collect())
    }

    /// The token states of texts, each `[tokens, d_model]`, in their order.
    async fn states<O: Observer>(
        &mut self,
        texts: &[String],
        observer: &mut O,
    ) -> Result<Vec<Vec<f32>>, SessionError> {
        let base = ready_mut(&mut self.base)?;
        let mut waiting: Vec<&str> = texts.iter().rev().map(String::as_str).collect();
        let mut states = Vec::new();
        while !waiting.is_empty() {
            if observer.next_turn().await {
                return Err(SessionError::Aborted { operation: OPERATION });
            }
            let encoded = base.encode_step(OPERATION, &mut waiting).await?;
            states.extend(encoded.into_iter().map(|(_, states)| states));
            base.report_gpu(observer);
        }
        Ok(states)
    }

    async fn route_answers<O: Observer>(
        &mut self,
        inputs: &[&str],
        composition: Option<&Composition>,
        options: &RouteOptions,
        observer: &mut O,
    ) -> Result<Vec<Answer>, SessionError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let limit = options.max_new_tokens as usize;
        let mut decoder = self.decoder(OPERATION, composition, limit).await?;
        let answers = self.decode_all(OPERATION, &mut decoder, inputs, observer, |_, _, _| ());
        let answers = answers.await?;
        if answers.len() < inputs.len() {
            return Err(SessionError::Aborted { operation: OPERATION });
        }
        Ok(answers)
    }

    /// The mean token cross-entropy of a composition's own answers.
    async fn answer_losses(
        &mut self,
        inputs: &[&str],
        answers: &[Answer],
        composition: Option<&Composition>,
    ) -> Result<Vec<f64>, SessionError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let base = ready(&self.base)?;
        let example = |(input, answer): (&&str, &Answer)| {
            let input = base.encode(OPERATION, TextPart::Input, None, input)?;
            Ok::<_, SessionError>(TokenizedExample { input, labels: answer.tokens.clone() })
        };
        let examples: Vec<TokenizedExample> =
            inputs.iter().zip(answers).map(example).collect::<Result<_, SessionError>>()?;
        let composed = self.compose(OPERATION, composition)?;
        let losses = self.token_losses(OPERATION, examples, &composed).await?;
        Ok(losses.iter().map(|example| f64::from(example.loss)).collect())
    }
}
