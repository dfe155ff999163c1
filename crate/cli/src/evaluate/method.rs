//! The methods that are compared, and what each finds and answers on one draw.

use std::time::Instant;

use clap::ValueEnum;
use loraloom::learn::{Assessment, Effort, LearnOptions, Optimizer, Selection, TuneOptions};
use loraloom::lora::{Composition, Merge, TunedPart, WeightedModule};
use loraloom::session::{Session, SessionError};
use pollster::block_on;
use serde::{Deserialize, Serialize};

use super::runs::{Run, RunKey};
use super::tasks::{Draw, Protocol};
use crate::error::CliError;

/// A way to answer a task from a few examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The base alone.
    ZeroShot,
    /// The base alone, with the examples before every input.
    InContext,
    /// The module with the lowest loss of the examples.
    BestSingle,
    /// All modules with equal weights that add up to 1.
    Uniform,
    /// LoraHub as published.
    Lorahub,
    /// COBYLA over the 20 modules with the lowest losses alone.
    Cobyla,
    /// CMA-ES over the same.
    CmaEs,
    /// Greedy selection over the same.
    Greedy,
    /// A linear trust region over the same.
    RidgeTrustRegion,
    /// The default settings of this program.
    Default,
    /// The same, where gradients choose the modules that are tried.
    ByGradients,
    /// The default settings, then tuned on the examples.
    ComposedTuned,
    /// The same, then one scale for each rank tuned.
    ScalesTuned,
}

impl Method {
    /// The methods of the published experiment.
    pub const PUBLISHED: [Self; 5] =
        [Self::ZeroShot, Self::InContext, Self::BestSingle, Self::Lorahub, Self::Default];

    /// The settings of a method that searches.
    pub fn options(self) -> Option<LearnOptions> {
        let published = LearnOptions::as_published();
        let preselected = |optimizer| LearnOptions {
            budget: 80,
            optimizer,
            bound: published.bound,
            regularization: published.regularization,
            ..LearnOptions::default()
        };
        match self {
            Self::Lorahub => Some(published.clone()),
            Self::Cobyla => Some(preselected(Optimizer::Cobyla)),
            Self::CmaEs => Some(preselected(Optimizer::CmaEs)),
            Self::Greedy => Some(preselected(Optimizer::Greedy)),
            Self::RidgeTrustRegion => Some(preselected(Optimizer::RidgeTrustRegion)),
            Self::Default | Self::ComposedTuned | Self::ScalesTuned => {
                Some(LearnOptions::default())
            }
            Self::ByGradients => Some(LearnOptions {
                optimizer: Optimizer::ForwardGradient,
                ..LearnOptions::default()
            }),
            Self::ZeroShot | Self::InContext | Self::BestSingle | Self::Uniform => None,
        }
    }

    /// Whether it tunes.
    pub fn tunes(self) -> bool {
        matches!(self, Self::ComposedTuned | Self::ScalesTuned)
    }

    /// Whether it has modules.
    pub fn composes(self) -> bool {
        !matches!(self, Self::ZeroShot | Self::InContext)
    }

    /// Whether it has the modules that a draw of the published experiment names: all the others have
    /// every module, or none, and their result does not depend on the draw.
    pub fn of_drawn_modules(self) -> bool {
        self.composes() && !self.tunes() && self != Self::Default
    }
}

/// A module that methods may use.
pub struct Candidate {
    pub id: String,
    /// What describes it.
    pub text: String,
}

/// All methods on one draw; what several of them need is computed once and counted for each.
pub struct Runner<'a> {
    session: &'a mut Session,
    modules: &'a [Candidate],
    draw: &'a Draw,
    max_new_tokens: usize,
    /// Every module, the most similar to the examples first.
    ranked: Option<Vec<String>>,
    /// The last composition found by the default settings, with its budget.
    composed: Option<(u32, Learned)>,
    /// Id of the module that tuning makes.
    pub tuned_id: String,
}

impl<'a> Runner<'a> {
    pub fn new(
        session: &'a mut Session,
        modules: &'a [Candidate],
        draw: &'a Draw,
        max_new_tokens: usize,
    ) -> Self {
        let tuned_id = "tuned".to_owned();
        Self { session, modules, draw, max_new_tokens, ranked: None, composed: None, tuned_id }
    }

    /// Makes a run.
    pub fn run(&mut self, key: RunKey, settings: String) -> Result<Run, CliError> {
        let learned = self.learn(key.method, key.budget, key.effort)?;
        let started = Instant::now();
        let inputs = &self.draw.inputs;
        let prompts: Vec<String> = match key.method {
            Method::InContext => inputs.in_context.clone(),
            _ => inputs.items.iter().map(|item| item.input.clone()).collect(),
        };
        let composition = Some(&learned.composition);
        let limit = self.max_new_tokens;
        let answers = block_on(self.session.answers(&prompts, composition, limit, &mut ()))?;
        let seconds = learned.seconds + started.elapsed().as_secs_f64();
        let tokenizer = self.session.tokenizer().ok_or(SessionError::NotLoaded)?;
        let matched = answers.iter().zip(&inputs.items);
        let matched = matched.filter(|(answer, item)| match self.draw.protocol {
            Protocol::Registry => tokenizer.is_match(item, &answer.text),
            Protocol::Published { .. } => item.is_matched_by(&answer.text),
        });
        let matched = matched.count();
        let mut tokens = 0;
        for prompt in &prompts {
            tokens += tokenizer.encode(prompt)?.len();
        }
        let items = inputs.items.len() as f64;
        let score = block_on(self.session.score(&inputs.examples, composition))?;
        let assessment = learned.assessment.unwrap_or_else(|| Assessment::new(&score.examples));
        Ok(Run {
            key,
            settings,
            exact_match: 100.0 * matched as f64 / items,
            seconds,
            learn_seconds: learned.seconds,
            loss: score.loss,
            assessment,
            before_tuning: learned.before_tuning,
            weights: learned.composition.modules,
            evaluations: learned.evaluations,
            prompt_tokens: tokens as f64 / items,
        })
    }

    /// The modules of a method, in the order in which they are looked at.
    fn modules_of(&mut self, method: Method) -> Result<Vec<String>, CliError> {
        match &self.draw.protocol {
            Protocol::Published { drawn } if method.of_drawn_modules() => Ok(drawn.clone()),
            Protocol::Published { .. } => self.ranked(),
            Protocol::Registry => Ok(self.modules.iter().map(|module| module.id.clone()).collect()),
        }
    }

    /// Every module, the most similar to the examples first.
    fn ranked(&mut self) -> Result<Vec<String>, CliError> {
        if let Some(ranked) = &self.ranked {
            return Ok(ranked.clone());
        }
        let texts: Vec<String> = self.modules.iter().map(|module| module.text.clone()).collect();
        let examples = &self.draw.inputs.examples;
        let similarities = block_on(self.session.retrieve(examples, &texts, &mut ()))?;
        let mut ranked: Vec<(&Candidate, f32)> = self.modules.iter().zip(similarities).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let ranked: Vec<String> = ranked.into_iter().map(|(module, _)| module.id.clone()).collect();
        Ok(self.ranked.insert(ranked).clone())
    }

    /// The composition of a method.
    pub fn learn(
        &mut self,
        method: Method,
        budget: Option<u32>,
        effort: Option<Effort>,
    ) -> Result<Learned, CliError> {
        if !method.composes() {
            return Ok(Learned::of(Vec::new()));
        }
        let modules = self.modules_of(method)?;
        if modules.is_empty() {
            return Err(CliError::NoModules);
        }
        let Some(options) = method.options() else {
            return match method {
                Method::BestSingle => self.best_single(&modules),
                _ => {
                    let weight = (1.0 / modules.len() as f32).into();
                    let weighted = |id| WeightedModule { id, weight };
                    Ok(Learned::of(modules.into_iter().map(weighted).collect()))
                }
            };
        };
        let budget = budget.unwrap_or(options.budget);
        let selection = match &self.draw.protocol {
            // They are drawn already.
            Protocol::Published { .. } if options.selection == Selection::Random => Selection::All,
            _ => options.selection,
        };
        let options = LearnOptions { seed: self.draw.seed, budget, selection, ..options };
        let part = match method {
            Method::ComposedTuned => TunedPart::LoraB,
            Method::ScalesTuned => TunedPart::Scales,
            _ => return self.compose(&modules, options),
        };
        let composed = match self.composed.take().filter(|(of, _)| *of == budget) {
            Some((_, composed)) => composed,
            None => self.compose(&modules, options)?,
        };
        self.composed = Some((budget, composed.clone()));
        self.tune(composed, TuneOptions::of(part, effort.unwrap_or_default()))
    }

    fn compose(&mut self, modules: &[String], options: LearnOptions) -> Result<Learned, CliError> {
        let examples = &self.draw.inputs.examples;
        let result = block_on(self.session.learn(examples, modules, options, &[], &mut ()))?;
        Ok(Learned {
            composition: Composition { modules: result.modules, merge: result.merge },
            seconds: result.seconds,
            evaluations: result.evaluations,
            assessment: result.assessment,
            before_tuning: None,
        })
    }

    /// Tunes a composition; the base alone stays as it is. Steps count as the evaluations that take
    /// their time.
    fn tune(&mut self, composed: Learned, options: TuneOptions) -> Result<Learned, CliError> {
        if composed.composition.modules.iter().all(|module| module.weight.is_zero()) {
            return Ok(Learned { before_tuning: composed.assessment.clone(), ..composed });
        }
        let examples = &self.draw.inputs.examples;
        let composition = &composed.composition;
        let tuned =
            block_on(self.session.tune(examples, composition, options, &self.tuned_id, &mut ()))?;
        Ok(Learned {
            composition: tuned.composition,
            evaluations: composed.evaluations * (1.0 + tuned.seconds / composed.seconds),
            seconds: composed.seconds + tuned.seconds,
            assessment: Some(tuned.assessment),
            before_tuning: composed.assessment,
        })
    }

    /// The module whose loss alone is the lowest.
    fn best_single(&mut self, modules: &[String]) -> Result<Learned, CliError> {
        let started = Instant::now();
        let mut best: Option<(f64, Vec<WeightedModule>)> = None;
        for id in modules {
            let modules = vec![WeightedModule { id: id.clone(), weight: 1.0.into() }];
            let composition = Composition { modules: modules.clone(), merge: Merge::Delta };
            let score = self.session.score(&self.draw.inputs.examples, Some(&composition));
            let loss = block_on(score)?.loss;
            if best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
                best = Some((loss, modules));
            }
        }
        Ok(Learned {
            seconds: started.elapsed().as_secs_f64(),
            evaluations: modules.len() as f64,
            ..Learned::of(best.map(|(_, modules)| modules).unwrap_or_default())
        })
    }
}

/// A method's composition, and what finding it took.
#[derive(Clone)]
pub struct Learned {
    pub composition: Composition,
    seconds: f64,
    evaluations: f64,
    assessment: Option<Assessment>,
    before_tuning: Option<Assessment>,
}

impl Learned {
    /// Modules with weights that took no evaluation.
    fn of(modules: Vec<WeightedModule>) -> Self {
        let composition = Composition { modules, merge: Merge::Delta };
        Self { composition, seconds: 0.0, evaluations: 0.0, assessment: None, before_tuning: None }
    }
}
