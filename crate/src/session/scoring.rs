//! Losses of examples with one composition, and with each of its modules left out.

use serde::{Deserialize, Serialize};

use super::{
    Backend, Composed, Observer, Operation, Session, SessionError, SessionEvent, ready, ready_mut,
};
use crate::formats::Example;
use crate::learn::{ExampleScore, Objective};
use crate::lora::{Composition, WeightedModule};
use crate::model::{ExampleLoss, ModelError, TokenizedExample};

/// Tokens of a batch: larger batches are not faster and take more memory.
pub(super) const BATCH_TOKENS: usize = 2048;

/// The loss of a module alone, or of a composition without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ModuleLoss {
    /// The module.
    pub id: String,
    /// The loss.
    pub loss: f64,
}

/// The loss of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Score {
    /// Mean of the examples' losses.
    pub loss: f64,
    /// Each example's loss.
    pub examples: Vec<ExampleScore>,
}

impl Score {
    fn new(losses: &[ExampleLoss]) -> Self {
        let pairs = losses.iter().map(|example| (example.loss, example.tokens));
        Self {
            loss: Objective::Paper.cross_entropy(pairs),
            examples: losses.iter().map(ExampleScore::from).collect(),
        }
    }
}

impl<B: Backend> Session<B> {
    /// Each example's loss, and the mean of them.
    ///
    /// # Errors
    /// A [`SessionError`] naming the example or module that is not valid.
    pub async fn score(
        &mut self,
        examples: &[Example],
        composition: Option<&Composition>,
    ) -> Result<Score, SessionError> {
        self.score_examples(Operation::Score, examples, composition).await
    }

    pub(super) async fn score_examples(
        &mut self,
        operation: Operation,
        examples: &[Example],
        composition: Option<&Composition>,
    ) -> Result<Score, SessionError> {
        let mut batches = self.batches(operation, examples)?;
        let composed = self.compose(operation, composition)?;
        self.score_batches(operation, &mut batches, &composed).await
    }

    /// The loss of the composition without each of its modules, in their order.
    ///
    /// # Errors
    /// As [`Session::score`], and [`SessionError::Aborted`] if the observer stopped it.
    pub async fn leave_one_out<O: Observer>(
        &mut self,
        examples: &[Example],
        composition: &Composition,
        observer: &mut O,
    ) -> Result<Vec<ModuleLoss>, SessionError> {
        const OPERATION: Operation = Operation::LeaveOneOut;
        let mut batches = self.batches(OPERATION, examples)?;
        let mut losses = Vec::new();
        let total = composition.modules.len() as u32;
        for WeightedModule { id, .. } in &composition.modules {
            if observer.next_turn().await {
                return Err(SessionError::Aborted { operation: OPERATION });
            }
            let mut others = composition.clone();
            others.modules.retain(|module| module.id != *id);
            let composed = self.compose(OPERATION, Some(&others))?;
            let score = self.score_batches(OPERATION, &mut batches, &composed).await?;
            losses.push(ModuleLoss { id: id.clone(), loss: score.loss });
            ready_mut(&mut self.base)?.report_gpu(observer);
            observer.on_event(SessionEvent::Step { done: losses.len() as u32, total });
        }
        Ok(losses)
    }

    fn batches(
        &self,
        operation: Operation,
        examples: &[Example],
    ) -> Result<Vec<B::Batch>, SessionError> {
        let base = ready(&self.base)?;
        Ok(token_batches(&base.backend, base.tokenize(operation, examples)?))
    }

    /// The losses of tokenized examples with one composition.
    pub(super) async fn token_losses(
        &mut self,
        operation: Operation,
        examples: Vec<TokenizedExample>,
        composed: &Composed<'_>,
    ) -> Result<Vec<ExampleLoss>, SessionError> {
        let mut batches = token_batches(&ready(&self.base)?.backend, examples);
        self.batch_losses(operation, &mut batches, composed).await
    }

    async fn score_batches(
        &mut self,
        operation: Operation,
        batches: &mut [B::Batch],
        composed: &Composed<'_>,
    ) -> Result<Score, SessionError> {
        let losses = self.batch_losses(operation, batches, composed).await?;
        match losses.iter().position(|example| !example.loss.is_finite()) {
            Some(example) => {
                let source = ModelError::NotFinite { example };
                Err(SessionError::Model { operation, source })
            }
            None => Ok(Score::new(&losses)),
        }
    }

    async fn batch_losses(
        &mut self,
        operation: Operation,
        batches: &mut [B::Batch],
        composed: &Composed<'_>,
    ) -> Result<Vec<ExampleLoss>, SessionError> {
        let Composed { ids, set, weights } = composed;
        let points = std::slice::from_ref(weights);
        let backend = &mut ready_mut(&mut self.base)?.backend;
        let mut losses = Vec::new();
        for batch in batches {
            let evaluated = backend.losses(batch, set, points, self.clock).await;
            let evaluated = evaluated
                .map_err(|error| SessionError::backend(operation, ids.iter().copied(), error))?;
            losses.extend(evaluated.losses.into_iter().flatten());
        }
        Ok(losses)
    }
}

/// Examples in batches of a limited number of tokens: an example's loss has the same bits in any batch.
fn token_batches<B: Backend>(backend: &B, examples: Vec<TokenizedExample>) -> Vec<B::Batch> {
    let sizes = batch_sizes(&examples, BATCH_TOKENS);
    let mut examples = examples.into_iter();
    sizes.into_iter().map(|size| backend.batch(examples.by_ref().take(size).collect())).collect()
}

/// The numbers of examples of consecutive batches, each of at most `limit` tokens or of one example.
pub(super) fn batch_sizes<'a>(
    examples: impl IntoIterator<Item = &'a TokenizedExample>,
    limit: usize,
) -> Vec<usize> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut tokens = 0;
    for example in examples {
        tokens += example.tokens();
        match sizes.last_mut() {
            Some(size) if tokens <= limit => *size += 1,
            _ => {
                sizes.push(1);
                tokens = example.tokens();
            }
        }
    }
    sizes
}
