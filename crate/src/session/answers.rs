//! Answers, one token a step: of one input, or of a test set in batches.

use super::report::report;
use super::{Engine, Work, input_report, ready};
use crate::formats::{Example, Tokenizer};
use crate::lora::Composition;
use crate::model::t5::{Control, GreedyDecoder, LoraBranches};
use crate::protocol::{ErrorReport, Generated, GenerationStep, TestAnswer, TestResult, TestStep};

/// Inputs of a test set that are decoded together.
const TEST_BATCH: usize = 32;

pub(super) const GENERATE: &str = "The input was not answered.";
pub(super) const TEST: &str = "The test did not run.";

/// An input that is being answered.
pub(super) struct Generation {
    side: Option<LoraBranches>,
    decoder: GreedyDecoder,
    tokens: Vec<u32>,
    started: f64,
}

/// A test set that is being answered.
pub(super) struct Test {
    side: Option<LoraBranches>,
    examples: Vec<Example>,
    pub(super) max_new_tokens: usize,
    /// The batch in progress: its decoder and the tokens of each of its items.
    batch: Option<(GreedyDecoder, Vec<Vec<u32>>)>,
    answers: Vec<TestAnswer>,
    started: f64,
}

/// The report of a test that nobody started.
pub(super) fn no_test() -> ErrorReport {
    report(TEST, "no test was started".into(), "Start it again.")
}

impl Test {
    fn correct(&self) -> u32 {
        self.answers.iter().filter(|answer| answer.correct).count() as u32
    }

    /// The inputs of the next batch as tokens; none when all items are answered.
    pub(super) fn next_inputs(&self, tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>, ErrorReport> {
        let first = self.answers.len();
        let items = &self.examples[first..self.examples.len().min(first + TEST_BATCH)];
        (items.iter().enumerate())
            .map(|(index, item)| {
                tokenizer.encode(&item.input).map_err(|error| {
                    let why = format!("The input of item {}: {error}.", first + index + 1);
                    report(TEST, why, "Shorten or correct that item.")
                })
            })
            .collect()
    }

    /// Takes the answers of the batch that [`Test::next_inputs`] gave.
    pub(super) fn take_answers(&mut self, tokenizer: &Tokenizer, answers: &[Vec<u32>]) {
        let first = self.answers.len();
        for (item, tokens) in self.examples[first..].iter().zip(answers) {
            let answer = tokenizer.decode(tokens);
            self.answers.push(TestAnswer {
                correct: item.is_matched_by(&answer),
                input: item.input.clone(),
                expected: item.output.clone(),
                answer,
            });
        }
    }

    fn result(&self, now: f64) -> TestResult {
        let (correct, total) = (self.correct(), self.answers.len() as u32);
        TestResult {
            exact_match: 100.0 * f64::from(correct) / f64::from(total.max(1)),
            correct,
            total,
            seconds: now - self.started,
            complete: self.answers.len() == self.examples.len(),
            answers: self.answers.clone(),
        }
    }
}

impl Engine {
    /// Starts to answer an input. Work that went on before is ended.
    ///
    /// # Errors
    /// A report naming what is wrong with the input or the composition.
    pub fn start_generation(
        &mut self,
        input: &str,
        composition: Option<&Composition>,
        max_new_tokens: usize,
    ) -> Result<(), ErrorReport> {
        let base = ready(&self.base)?;
        let side = self.branches(GENERATE, composition)?;
        let tokens = (base.tokenizer.encode(input))
            .map_err(|error| report(GENERATE, error.to_string(), "Shorten or correct it."))?;
        let started = (self.clock)();
        let decoder = (base.model)
            .greedy(&[&tokens], side.as_ref(), max_new_tokens, &Control::none())
            .map_err(|error| input_report(GENERATE, &error))?;
        let generation = Generation { side, decoder, tokens: Vec::new(), started };
        self.work = Work::Generation(Box::new(generation));
        Ok(())
    }

    /// Decodes the next token.
    ///
    /// # Errors
    /// A report if no answer was started.
    pub fn generation_step(&mut self) -> Result<GenerationStep, ErrorReport> {
        let base = ready(&self.base)?;
        let Work::Generation(generation) = &mut self.work else {
            return Err(report(GENERATE, "no answer was started".into(), "Ask again."));
        };
        let Generation { side, decoder, tokens, started } = &mut **generation;
        let decoded = (decoder.step(&base.model, side.as_ref(), &Control::none()))
            .map_err(|error| input_report(GENERATE, &error))?;
        tokens.extend(decoded.into_iter().map(|(_, token)| token));
        let text = base.tokenizer.decode(tokens);
        let count = tokens.len() as u32;
        let result = decoder.is_finished().then(|| Generated {
            text: text.clone(),
            tokens: count,
            seconds: (self.clock)() - *started,
            complete: true,
        });
        if result.is_some() {
            self.work = Work::Idle;
        }
        Ok(GenerationStep { text, tokens: count, result })
    }

    /// Starts to answer a test set. Work that went on before is ended.
    ///
    /// # Errors
    /// A report naming what is wrong with the composition.
    pub fn start_test(
        &mut self,
        examples: &[Example],
        composition: Option<&Composition>,
        max_new_tokens: usize,
    ) -> Result<(), ErrorReport> {
        ready(&self.base)?;
        if examples.is_empty() {
            return Err(report(TEST, "the test set is empty".into(), "Choose another."));
        }
        let side = self.branches(TEST, composition)?;
        self.work = Work::Test(Box::new(Test {
            side,
            examples: examples.to_vec(),
            max_new_tokens,
            batch: None,
            answers: Vec::new(),
            started: (self.clock)(),
        }));
        Ok(())
    }

    /// Decodes the next token of every item of the batch in progress.
    ///
    /// # Errors
    /// A report if no test was started, or naming an item that the model refuses.
    pub fn test_step(&mut self) -> Result<TestStep, ErrorReport> {
        let base = ready(&self.base)?;
        let Work::Test(test) = &mut self.work else { return Err(no_test()) };
        if test.batch.is_none() && test.answers.len() < test.examples.len() {
            let inputs = test.next_inputs(&base.tokenizer)?;
            let rows: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
            let decoder = (base.model)
                .greedy(&rows, test.side.as_ref(), test.max_new_tokens, &Control::none())
                .map_err(|error| input_report(TEST, &error))?;
            test.batch = Some((decoder, vec![Vec::new(); rows.len()]));
        }
        if let Some((decoder, tokens)) = &mut test.batch {
            let decoded = (decoder.step(&base.model, test.side.as_ref(), &Control::none()))
                .map_err(|error| input_report(TEST, &error))?;
            for (row, token) in decoded {
                tokens[row].push(token);
            }
            if decoder.is_finished() {
                let answers = std::mem::take(tokens);
                test.batch = None;
                test.take_answers(&base.tokenizer, &answers);
            }
        }
        self.test_progress()
    }

    /// How far the test is; its end if every item is answered.
    pub(super) fn test_progress(&mut self) -> Result<TestStep, ErrorReport> {
        let now = (self.clock)();
        let test = self.running_test()?;
        let finished = test.answers.len() == test.examples.len();
        let step = TestStep {
            done: test.answers.len() as u32,
            total: test.examples.len() as u32,
            correct: test.correct(),
            result: finished.then(|| test.result(now)),
        };
        if finished {
            self.work = Work::Idle;
        }
        Ok(step)
    }

    fn running_test(&mut self) -> Result<&mut Test, ErrorReport> {
        match &mut self.work {
            Work::Test(test) => Ok(test),
            _ => Err(no_test()),
        }
    }

    /// Ends the test with the items that are answered.
    ///
    /// # Errors
    /// A report if no test was started.
    pub fn stop_test(&mut self) -> Result<TestResult, ErrorReport> {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Test(test) => Ok(test.result((self.clock)())),
            _ => Err(no_test()),
        }
    }
}
