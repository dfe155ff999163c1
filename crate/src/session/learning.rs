//! Learning: evaluates the weights that a [`LearningRun`] names until it is complete.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::scoring::{BATCH_TOKENS, batch_sizes};
use super::{
    Answer, Backend, BackendError, Evaluated, ModuleLoss, ModuleSet, Observer, Operation, Session,
    SessionError, SessionEvent, ready, ready_mut,
};
use crate::formats::{Example, Tokenizer};
use crate::learn::{
    Assessment, Evaluation, ExampleAnswer, ExampleScore, LearnOptions, LearnResult, LearningRun,
    Step,
};
use crate::lora::{AdapterSet, Composition, Merge, ModuleWeight, PeftAdapter};
use crate::model::{Control, GradientBatch, LoraCandidates, MAX_TOKENS, TokenizedExample};

const OPERATION: Operation = Operation::Learn;
/// Tokens that an answer to an example may have beyond twice the longest output.
const SPARE_TOKENS: usize = 8;
/// Limit of the batches that are kept, which are of five examples all that there can be.
const KEPT_BATCHES: usize = 32;
/// Time that a batch is to take at most, as a stop waits for its end.
const BATCH_SECONDS: f64 = 2.0;
/// Multiply-adds in a second before any were timed. Most machines are faster.
const ASSUMED_SPEED: f64 = 2e10;

/// An example's output with text that the model cannot write, so that no weights give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct UnwritableOutput {
    /// Index of the example.
    pub example: u32,
    /// The parts of the output that the model's vocabulary lacks.
    pub parts: Vec<String>,
}

/// The examples' outputs that the model cannot write.
pub fn unwritable_outputs(tokenizer: &Tokenizer, examples: &[Example]) -> Vec<UnwritableOutput> {
    let outputs = examples.iter().zip(0..).map(|(example, index)| UnwritableOutput {
        example: index,
        // An output that cannot be encoded at all is an error of its own.
        parts: tokenizer.unwritable(&example.output).unwrap_or_default(),
    });
    outputs.filter(|output| !output.parts.is_empty()).collect()
}

impl<B: Backend> Session<B> {
    /// Learns weights of loaded modules from examples. If the observer stops it, the result is the
    /// best point so far; with its history a later call continues. Outputs that the model cannot write
    /// are reported first.
    ///
    /// # Errors
    /// A [`SessionError`] naming the setting, example or module that is not valid.
    pub async fn learn<O: Observer>(
        &mut self,
        examples: &[Example],
        modules: &[String],
        options: LearnOptions,
        history: &[Evaluation],
        observer: &mut O,
    ) -> Result<LearnResult, SessionError> {
        let base = ready(&self.base)?;
        let tokenized = base.tokenize(OPERATION, examples)?;
        let (merge, budget) = (options.merge, options.budget);
        let held: Vec<String> = options.held.iter().map(|module| module.id.clone()).collect();
        let mut run = LearningRun::new(options, modules.to_vec(), examples.len())?;
        run.replay(history)?;
        let free = modules.iter().filter(|id| !held.contains(id));
        let ids = || held.iter().chain(free.clone()).map(String::as_str);
        let candidates = self.modules_of(OPERATION, ids(), merge)?;
        AdapterSet::new(base.model.config(), &candidates.adapters, merge)
            .map_err(|error| SessionError::backend(OPERATION, ids(), error.into()))?;
        let outputs = unwritable_outputs(&base.tokenizer, examples);
        if !outputs.is_empty() {
            observer.on_event(SessionEvent::Unwritable { outputs });
        }

        // A token takes about one multiply-add with each parameter.
        let tokens_per_second =
            ASSUMED_SPEED / ready(&self.base)?.model.config().parameters() as f64;
        let kept = BTreeMap::new();
        let mut batches =
            RunBatches { tokenized, kept, budget, tokens_per_second, estimated: false };
        let mut ahead: VecDeque<(Step, Vec<ExampleScore>, f64)> = VecDeque::new();
        let mut slopes = None;
        let mut reported_selection = false;
        while let Some(step) = run.next() {
            if observer.next_turn().await {
                break;
            }
            if !step.gradient_of.is_empty() {
                let started = (self.clock)();
                let gradient =
                    self.coefficient_gradients(merge, &step, &batches.tokenized, &mut slopes)?;
                let evaluation = run.report_gradient(&gradient, (self.clock)() - started)?.clone();
                observer.on_event(SessionEvent::Evaluation { evaluation });
                continue;
            }
            if ahead.front().is_none_or(|(next, ..)| *next != step) {
                let steps: Vec<Step> = match ready(&self.base)?.backend.batch_limit() {
                    1 => vec![step],
                    limit => run.upcoming().into_iter().take(limit).collect(),
                };
                let evaluated = self.step_losses(merge, &steps, &mut batches, observer).await?;
                let Some(evaluated) = evaluated else { break };
                ready_mut(&mut self.base)?.report_gpu(observer);
                let losses = evaluated.losses.iter();
                let losses = losses.map(|losses| losses.iter().map(ExampleScore::from).collect());
                let seconds = evaluated.seconds;
                ahead = steps.into_iter().zip(losses).map(|(s, l)| (s, l, seconds)).collect();
            }
            let Some((_, losses, seconds)) = ahead.pop_front() else { break };
            let evaluation = run.report(&losses, seconds)?.clone();
            // The next point is chosen here: the modules are, once each was evaluated alone.
            run.next();
            if !reported_selection && let Some(selected) = run.selected() {
                reported_selection = true;
                let selected = selected.into_iter();
                let modules = selected.map(|(id, loss)| ModuleLoss { id: id.into(), loss });
                observer.on_event(SessionEvent::Selected { modules: modules.collect() });
            }
            observer.on_event(SessionEvent::Evaluation { evaluation });
        }
        let mut result = run.result();
        if let Some(assessment) = result.assessment.take() {
            let mut assessment = assessment.on_base(&ready(&self.base)?.sha256);
            if result.complete {
                let composition = Composition { modules: result.modules.clone(), merge };
                assessment.answers =
                    self.example_answers(OPERATION, examples, Some(&composition), observer).await?;
            }
            result.assessment = Some(assessment);
        }
        Ok(result)
    }

    /// Whether a composition, or the base alone, works for examples.
    ///
    /// # Errors
    /// As [`Session::score`].
    pub async fn assess<O: Observer>(
        &mut self,
        examples: &[Example],
        composition: Option<&Composition>,
        observer: &mut O,
    ) -> Result<Assessment, SessionError> {
        let assessed = self.assess_for(Operation::Assess, examples, composition, observer);
        Ok(assessed.await?.1)
    }

    /// The mean of the examples' losses, and [`Session::assess`].
    pub(super) async fn assess_for<O: Observer>(
        &mut self,
        operation: Operation,
        examples: &[Example],
        composition: Option<&Composition>,
        observer: &mut O,
    ) -> Result<(f64, Assessment), SessionError> {
        let score = self.score_examples(operation, examples, composition).await?;
        let answers = self.example_answers(operation, examples, composition, observer).await?;
        let used = composition.iter().flat_map(|composition| &composition.modules);
        let tuned = used
            .filter(|module| !module.weight.is_zero())
            .any(|module| self.tuned.contains(&module.id));
        let assessment = match tuned {
            true => Assessment::of_tuned(&score.examples),
            false => Assessment::new(&score.examples),
        };
        let assessment = assessment.on_base(&ready(&self.base)?.sha256);
        Ok((score.loss, Assessment { answers, ..assessment }))
    }

    /// The answers to the examples; fewer if the observer stopped it.
    async fn example_answers<O: Observer>(
        &mut self,
        operation: Operation,
        examples: &[Example],
        composition: Option<&Composition>,
        observer: &mut O,
    ) -> Result<Vec<ExampleAnswer>, SessionError> {
        let limit = self.answer_limit(operation, examples)?;
        let inputs: Vec<String> = examples.iter().map(|example| example.input.clone()).collect();
        let answers = self.answers(&inputs, composition, limit, observer).await?;
        let tokenizer = &ready(&self.base)?.tokenizer;
        let answer = |(answer, example): (Answer, &Example)| ExampleAnswer {
            correct: tokenizer.is_match(example, &answer.text),
            answer: answer.text,
        };
        Ok(answers.into_iter().zip(examples).map(answer).collect())
    }

    /// Tokens that an answer to one of the examples may have.
    pub(super) fn answer_limit(
        &self,
        operation: Operation,
        examples: &[Example],
    ) -> Result<usize, SessionError> {
        let outputs = ready(&self.base)?.tokenize(operation, examples)?;
        let longest = outputs.iter().map(|example| example.labels.len()).max().unwrap_or(0);
        Ok((2 * longest + SPARE_TOKENS).min(MAX_TOKENS))
    }

    /// The gradient that a step asks for, computed on the CPU, whatever the backend. `prepared` keeps
    /// what another one of the same run needs.
    fn coefficient_gradients(
        &self,
        merge: Merge,
        step: &Step,
        tokenized: &[TokenizedExample],
        prepared: &mut Option<PreparedGradients>,
    ) -> Result<Vec<f64>, SessionError> {
        let base = ready(&self.base)?;
        let ids: Vec<&str> = step.gradient_of.iter().map(String::as_str).collect();
        let failed =
            |error: BackendError| SessionError::backend(OPERATION, ids.iter().copied(), error);
        if prepared.as_ref().is_none_or(|prepared| !prepared.serves(step)) {
            let examples = step.examples.iter().map(|&example| tokenized[example as usize].clone());
            let batch = base.model.differentiate(&examples.collect::<Vec<_>>());
            let batch = batch.map_err(|error| failed(error.into()))?;
            let adapters = self.modules_of(OPERATION, ids.iter().copied(), merge)?.adapters;
            let set = AdapterSet::new(base.model.config(), &adapters, merge);
            let set = set.map_err(|error| failed(error.into()))?;
            let packed = set.candidates(base.model.precision());
            let (examples, candidates) = (step.examples.clone(), step.gradient_of.clone());
            *prepared = Some(PreparedGradients { examples, candidates, batch, set, packed });
        }
        let Some(PreparedGradients { batch, set, packed, candidates, .. }) = prepared else {
            return Ok(Vec::new());
        };
        let used = step.weights.iter().map(|module| module.id.as_str());
        let adapters = self.modules_of(OPERATION, used, merge)?.adapters;
        let beside = AdapterSet::new(base.model.config(), &adapters, merge);
        let weights: Vec<ModuleWeight> = step.weights.iter().map(|module| module.weight).collect();
        let branches = beside.and_then(|set| set.into_branches(&weights, base.model.precision()));
        let branches = branches.map_err(|error| failed(error.into()))?;
        let of_ranks = batch.candidate_gradients(&branches, packed, &Control::none());
        let of_ranks = of_ranks.map_err(|error| failed(error.into()))?;
        let gradients = set.coefficient_gradients(&of_ranks);
        let of = |id: &String| candidates.iter().position(|one| one == id).map(|at| gradients[at]);
        Ok(step.gradient_of.iter().filter_map(of).collect())
    }

    /// The losses of the steps' examples, which are those of the first step, batch by batch; none once the observer
    /// has stopped it between two batches.
    async fn step_losses<O: Observer>(
        &mut self,
        merge: Merge,
        steps: &[Step],
        batches: &mut RunBatches<B>,
        observer: &mut O,
    ) -> Result<Option<Evaluated>, SessionError> {
        let Points { set, ids, points } = self.points(merge, steps)?;
        let failed =
            |error| SessionError::backend(OPERATION, ids.iter().map(String::as_str), error);
        let chosen = steps.first().map_or(&[][..], |step| &step.examples);
        let limit = batches.token_limit();
        let RunBatches { tokenized, kept, budget, tokens_per_second, estimated } = batches;
        let examples = || chosen.iter().map(|&example| &tokenized[example as usize]);
        let sizes = batch_sizes(examples(), limit);
        let tokens_of = |examples: &[TokenizedExample]| -> usize {
            examples.iter().map(TokenizedExample::tokens).sum()
        };
        let speed = |tokens: usize, part: &Evaluated| {
            (tokens * part.losses.len()) as f64 / part.seconds.max(f64::EPSILON)
        };
        if sizes.len() <= 1 {
            let backend = &mut ready_mut(&mut self.base)?.backend;
            if kept.len() >= KEPT_BATCHES && !kept.contains_key(chosen) {
                kept.clear();
            }
            let batch = kept.entry(chosen.to_vec());
            let batch = batch.or_insert_with(|| backend.batch(examples().cloned().collect()));
            let evaluated =
                backend.losses(batch, &set, &points, self.clock).await.map_err(failed)?;
            let tokens = examples().map(TokenizedExample::tokens).sum();
            *tokens_per_second = speed(tokens, &evaluated);
            return Ok(Some(evaluated));
        }
        // What a batch prepares takes more memory than it saves time, so none is kept.
        let mut examples = examples().cloned();
        let mut whole = Evaluated { losses: vec![Vec::new(); points.len()], seconds: 0.0 };
        for (batch, size) in sizes.into_iter().enumerate() {
            if batch > 0 && observer.next_turn().await {
                return Ok(None);
            }
            let backend = &mut ready_mut(&mut self.base)?.backend;
            let examples: Vec<TokenizedExample> = examples.by_ref().take(size).collect();
            let tokens = tokens_of(&examples);
            let mut batch = backend.batch(examples);
            let points = &points[..whole.losses.len()];
            let part =
                backend.losses(&mut batch, &set, points, self.clock).await.map_err(failed)?;
            *tokens_per_second = speed(tokens, &part);
            // A device evaluates several points at once, and the CPU that takes over one.
            whole.losses.truncate(part.losses.len());
            for (losses, more) in whole.losses.iter_mut().zip(part.losses) {
                losses.extend(more);
            }
            whole.seconds += part.seconds;
            if !std::mem::replace(estimated, true) {
                let evaluation = part.seconds * tokens_of(tokenized) as f64 / tokens as f64;
                let total = evaluation * f64::from(*budget);
                observer.on_event(SessionEvent::Estimate { evaluation, total });
            }
        }
        Ok(Some(whole))
    }

    /// The steps as points over the modules that any of them has.
    fn points(&self, merge: Merge, steps: &[Step]) -> Result<Points, SessionError> {
        let mut ids: Vec<String> = Vec::new();
        for step in steps {
            for module in &step.weights {
                if !ids.contains(&module.id) {
                    ids.push(module.id.clone());
                }
            }
        }
        let set = self.modules_of(OPERATION, ids.iter().map(String::as_str), merge)?;
        let point = |step: &Step| {
            let weight = |id: &String| {
                let module = step.weights.iter().find(|module| module.id == *id);
                module.map_or(ModuleWeight::default(), |module| module.weight)
            };
            ids.iter().map(weight).collect()
        };
        let points = steps.iter().map(point).collect();
        Ok(Points { set, ids, points })
    }
}

/// The examples of a run, and the batches of them that are evaluated again and again.
struct RunBatches<B: Backend> {
    tokenized: Vec<TokenizedExample>,
    /// By the indices of their examples.
    kept: BTreeMap<Vec<u32>, B::Batch>,
    /// Evaluations of all examples.
    budget: u32,
    /// Speed of the last batch; before it, an assumption.
    tokens_per_second: f64,
    /// Whether the observer knows how long they take.
    estimated: bool,
}

impl<B: Backend> RunBatches<B> {
    /// Most tokens of a batch.
    fn token_limit(&self) -> usize {
        BATCH_TOKENS.min((self.tokens_per_second * BATCH_SECONDS) as usize)
    }
}

/// The examples, and the modules that may be added, packed for gradients.
struct PreparedGradients {
    examples: Vec<u32>,
    candidates: Vec<String>,
    batch: Box<dyn GradientBatch>,
    set: AdapterSet<Arc<PeftAdapter>>,
    packed: LoraCandidates,
}

impl PreparedGradients {
    /// Whether all that the step asks for is prepared.
    fn serves(&self, step: &Step) -> bool {
        self.examples == step.examples
            && step.gradient_of.iter().all(|id| self.candidates.contains(id))
    }
}

/// Points over a set of modules, and the modules' ids.
struct Points {
    set: ModuleSet,
    ids: Vec<String>,
    points: Vec<Vec<ModuleWeight>>,
}
