//! Learning, one evaluation a step.

use std::sync::Arc;

use super::report::{lora_report, report};
use super::{Engine, Work, input_report, ready};
use crate::formats::Example;
use crate::learn::{LearnError, LearnOptions, LearnResult, LearningRun, Step};
use crate::lora;
use crate::lora::PeftAdapter;
use crate::model::t5::{Control, ExampleLoss, PreparedBatch, TokenizedExample};
use crate::protocol::{ErrorReport, LearningStep, ModuleLoss};

pub(super) const WHAT: &str = "Learning did not start.";

/// A learning run with what it evaluates.
pub(super) struct Learning {
    pub(super) run: LearningRun,
    pub(super) batch: Vec<TokenizedExample>,
    /// The batch, once an evaluation was made on the CPU.
    prepared: Option<PreparedBatch>,
    composition: lora::CompositionCache<Arc<PeftAdapter>>,
    /// Whether the modules chosen were reported, or were never chosen by their losses.
    told_selected: bool,
}

/// What an evaluation gave.
pub(super) struct Evaluated {
    pub(super) losses: Vec<ExampleLoss>,
    pub(super) seconds: f64,
}

fn learn_report(error: &LearnError) -> ErrorReport {
    report(WHAT, error.to_string(), "Correct that, and press Learn again.")
}

impl Engine {
    /// Starts learning over loaded modules. Work that went on before is ended.
    ///
    /// # Errors
    /// A report naming the setting, example or module that is wrong, before anything is evaluated.
    pub fn start_learning(
        &mut self,
        examples: &[Example],
        modules: &[String],
        options: LearnOptions,
    ) -> Result<(), ErrorReport> {
        let base = ready(&self.base)?;
        let batch = base.tokenize(WHAT, examples)?;
        let merge = options.merge;
        let run = LearningRun::new(options, modules.to_vec()).map_err(|e| learn_report(&e))?;
        let ids: Vec<&str> = modules.iter().map(String::as_str).collect();
        let adapters = self.adapters(WHAT, ids.iter().copied())?;
        lora::AdapterSet::new(base.model.config(), &adapters, merge)
            .map_err(|error| lora_report(WHAT, &error, &ids))?;
        self.work = Work::Learning(Box::new(Learning {
            run,
            batch,
            prepared: None,
            composition: lora::CompositionCache::new(merge),
            told_selected: false,
        }));
        Ok(())
    }

    /// Makes the next evaluation.
    ///
    /// # Errors
    /// A report if no learning was started, or an example is refused by the model.
    pub fn learning_step(&mut self) -> Result<LearningStep, ErrorReport> {
        let mut learning = self.take_learning()?;
        let evaluated = match learning.run.next() {
            None => None,
            Some(step) => Some(self.evaluate(&mut learning, &step)?),
        };
        self.conclude(learning, evaluated)
    }

    /// The learning that goes on, which [`Engine::conclude`] puts back.
    pub(super) fn take_learning(&mut self) -> Result<Box<Learning>, ErrorReport> {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Learning(learning) => Ok(learning),
            _ => Err(learn_report(&LearnError::NothingToReport)),
        }
    }

    /// Reports an evaluation, if there was one, and says what came of it.
    pub(super) fn conclude(
        &mut self,
        mut learning: Box<Learning>,
        evaluated: Option<Evaluated>,
    ) -> Result<LearningStep, ErrorReport> {
        let evaluation = evaluated.map(|Evaluated { losses, seconds }| {
            let pairs = losses.iter().map(|example| (example.loss, example.tokens));
            let cross_entropy = learning.run.options().objective.cross_entropy(pairs);
            learning.run.report(cross_entropy, seconds).cloned().map_err(|e| learn_report(&e))
        });
        let evaluation = evaluation.transpose()?;
        // Asking for the next point chooses the modules, once each was evaluated alone.
        let finished = learning.run.next().is_none();
        let selected = if learning.told_selected { None } else { learning.run.selected() };
        learning.told_selected |= selected.is_some();
        let selected = selected.map(|modules| {
            let losses = modules.into_iter().map(|(id, loss)| ModuleLoss { id: id.into(), loss });
            losses.collect()
        });
        let result = finished.then(|| learning.run.result());
        if !finished {
            self.work = Work::Learning(learning);
        }
        Ok(LearningStep { evaluation, selected, result })
    }

    /// Ends learning with the best point seen.
    ///
    /// # Errors
    /// A report if no learning was started.
    pub fn stop_learning(&mut self) -> Result<LearnResult, ErrorReport> {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Learning(learning) => Ok(learning.run.result()),
            _ => Err(learn_report(&LearnError::NothingToReport)),
        }
    }

    /// Evaluates a step on the CPU.
    pub(super) fn evaluate(
        &self,
        learning: &mut Learning,
        step: &Step,
    ) -> Result<Evaluated, ErrorReport> {
        let base = ready(&self.base)?;
        let started = (self.clock)();
        let ids: Vec<&str> = step.weights.iter().map(|module| &*module.id).collect();
        let adapters = self.adapters(WHAT, ids.iter().copied())?;
        let modules: Vec<_> = (step.weights.iter().zip(adapters))
            .map(|(module, adapter)| (&*module.id, adapter, module.weight))
            .collect();
        let side = (learning.composition)
            .branches(&base.model, &modules)
            .map_err(|error| lora_report(WHAT, &error, &ids))?;
        let refused = |error| input_report(WHAT, &error);
        let prepared = match &mut learning.prepared {
            Some(prepared) => prepared,
            none => none.insert(base.model.prepare(&learning.batch).map_err(refused)?),
        };
        let losses = base.model.prepared_losses(prepared, side, &Control::none());
        let losses = losses.map_err(refused)?;
        Ok(Evaluated { losses, seconds: (self.clock)() - started })
    }
}
