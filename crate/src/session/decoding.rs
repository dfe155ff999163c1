//! Greedy decoding: of one input, of several, and of a test set, whose answers are compared.

use serde::{Deserialize, Serialize};

use super::{
    Backend, Composed, Observer, Operation, Session, SessionError, SessionEvent, TextPart, ready,
    ready_mut,
};
use crate::formats::{Example, Tokenizer};
use crate::lora::Composition;

/// Inputs that are decoded together.
const BATCH_INPUTS: usize = 32;
/// Tokens of the inputs that are decoded together, unless one alone has more: keys and values of
/// flan-t5-large's cross-attention take 200 kB a token.
const BATCH_TOKENS: usize = 8192;

/// A decoded text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Generated {
    /// The text.
    pub text: String,
    /// Number of tokens, the end marker included.
    pub tokens: u32,
    /// Time it took.
    pub seconds: f64,
    /// False if it was stopped.
    pub complete: bool,
}

/// The answer to one of several inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Token ids, with `</s>` if it was reached and without the start token.
    pub tokens: Vec<u32>,
}

/// The answer to one item of a test set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TestAnswer {
    /// The input.
    pub input: String,
    /// The expected answer.
    pub expected: String,
    /// The model's answer.
    pub answer: String,
    /// Whether they match.
    pub correct: bool,
}

/// The result of a test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Exact matches in percent of the items answered.
    pub exact_match: f64,
    /// Exact matches.
    pub correct: u32,
    /// Items answered.
    pub total: u32,
    /// Time it took.
    pub seconds: f64,
    /// False if it was stopped.
    pub complete: bool,
    /// The answers, in the order of the items.
    pub answers: Vec<TestAnswer>,
}

impl<B: Backend> Session<B> {
    /// Decodes the answer to an input, of at most so many tokens. If the observer stops it, the
    /// result is the text so far.
    ///
    /// # Errors
    /// A [`SessionError`] naming what is not valid in the input or the composition.
    pub async fn generate<O: Observer>(
        &mut self,
        input: &str,
        composition: Option<&Composition>,
        max_new_tokens: usize,
        observer: &mut O,
    ) -> Result<Generated, SessionError> {
        const OPERATION: Operation = Operation::Generate;
        let tokens = ready(&self.base)?.encode(OPERATION, TextPart::Input, None, input)?;
        let mut decoder = self.decoder(OPERATION, composition, max_new_tokens).await?;
        let base = ready_mut(&mut self.base)?;
        let failed = |error| SessionError::backend(OPERATION, [], error);
        let started = (self.clock)();
        let mut rows = [Vec::new()];
        base.backend.start(&mut decoder, &[tokens]).await.map_err(failed)?;
        let mut complete = false;
        while !complete && !observer.next_turn().await {
            complete = base.backend.step(&mut decoder, &mut rows).await.map_err(failed)?;
            base.report_gpu(observer);
            observer.on_event(SessionEvent::Token { text: base.tokenizer.decode(&rows[0]) });
        }
        let [tokens] = &rows;
        Ok(Generated {
            text: base.tokenizer.decode(tokens),
            tokens: tokens.len() as u32,
            seconds: (self.clock)() - started,
            complete,
        })
    }

    /// Decodes the answers to several inputs, each of at most so many tokens, in their order. If the
    /// observer stops it, the result is those of the first inputs.
    ///
    /// # Errors
    /// A [`SessionError`] naming what is not valid in an input or the composition.
    pub async fn answers<O: Observer>(
        &mut self,
        inputs: &[String],
        composition: Option<&Composition>,
        max_new_tokens: usize,
        observer: &mut O,
    ) -> Result<Vec<Answer>, SessionError> {
        const OPERATION: Operation = Operation::Generate;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut decoder = self.decoder(OPERATION, composition, max_new_tokens).await?;
        self.decode_all(OPERATION, &mut decoder, &inputs, observer, |_, _, _| ()).await
    }

    /// Decodes the answers to a test set and compares them with the outputs. If the observer stops it,
    /// the result has the items answered so far.
    ///
    /// # Errors
    /// A [`SessionError`] naming what is not valid in an item or the composition.
    pub async fn test<O: Observer>(
        &mut self,
        examples: &[Example],
        composition: Option<&Composition>,
        max_new_tokens: usize,
        observer: &mut O,
    ) -> Result<TestResult, SessionError> {
        const OPERATION: Operation = Operation::Test;
        ready(&self.base)?;
        if examples.is_empty() {
            return Err(SessionError::NoExamples { operation: OPERATION });
        }
        let mut decoder = self.decoder(OPERATION, composition, max_new_tokens).await?;
        let started = (self.clock)();
        let inputs: Vec<&str> = examples.iter().map(|example| &*example.input).collect();
        let (mut answers, mut correct) = (Vec::new(), 0);
        let on_step = |observer: &mut O, tokenizer: &Tokenizer, decoded: &[Answer]| {
            for (item, answer) in examples.iter().zip(decoded).skip(answers.len()) {
                let is_correct = tokenizer.is_match(item, &answer.text);
                correct += u32::from(is_correct);
                answers.push(TestAnswer {
                    input: item.input.clone(),
                    expected: item.output.clone(),
                    answer: answer.text.clone(),
                    correct: is_correct,
                });
            }
            let (done, total) = (answers.len() as u32, examples.len() as u32);
            observer.on_event(SessionEvent::Tested { done, total, correct });
        };
        self.decode_all(OPERATION, &mut decoder, &inputs, observer, on_step).await?;
        let total = answers.len() as u32;
        Ok(TestResult {
            exact_match: 100.0 * f64::from(correct) / f64::from(total.max(1)),
            correct,
            total,
            seconds: (self.clock)() - started,
            complete: answers.len() == examples.len(),
            answers,
        })
    }

    pub(super) async fn decoder(
        &mut self,
        operation: Operation,
        composition: Option<&Composition>,
        max_new_tokens: usize,
    ) -> Result<B::Decoder, SessionError> {
        let Composed { ids, set, weights } = self.compose(operation, composition)?;
        let backend = &mut ready_mut(&mut self.base)?.backend;
        let decoder = backend.decoder(set, weights, max_new_tokens).await;
        decoder.map_err(|error| SessionError::backend(operation, ids, error))
    }

    /// Decodes inputs in batches until all are answered or the observer stops it; `on_step` is called
    /// with the answers after each step.
    pub(super) async fn decode_all<O: Observer>(
        &mut self,
        operation: Operation,
        decoder: &mut B::Decoder,
        inputs: &[&str],
        observer: &mut O,
        mut on_step: impl FnMut(&mut O, &Tokenizer, &[Answer]),
    ) -> Result<Vec<Answer>, SessionError> {
        let base = ready_mut(&mut self.base)?;
        let failed = |error| SessionError::backend(operation, [], error);
        let mut answers = Vec::new();
        let mut rows: Vec<Vec<u32>> = Vec::new();
        while answers.len() < inputs.len() {
            if observer.next_turn().await {
                break;
            }
            if rows.is_empty() {
                let items = inputs.iter().enumerate().skip(answers.len()).take(BATCH_INPUTS);
                let (mut tokens, mut total) = (Vec::new(), 0);
                for (index, text) in items {
                    let row = base.encode(operation, TextPart::Input, Some(index), text)?;
                    total += row.len();
                    if total > BATCH_TOKENS && !tokens.is_empty() {
                        break;
                    }
                    tokens.push(row);
                }
                base.backend.start(decoder, &tokens).await.map_err(failed)?;
                rows = vec![Vec::new(); tokens.len()];
            }
            if base.backend.step(decoder, &mut rows).await.map_err(failed)? {
                let text = |tokens: &Vec<u32>| base.tokenizer.decode(tokens);
                answers.extend(rows.drain(..).map(|tokens| Answer { text: text(&tokens), tokens }));
            }
            base.report_gpu(observer);
            on_step(observer, &base.tokenizer, &answers);
        }
        Ok(answers)
    }
}
