//! Answers from the device, several tokens a step: of one input, or of a test set in batches.

use super::super::report::report;
use super::super::{Engine, answers, ready};
use super::{Failure, GpuEngine, Work, lost, refuse};
use crate::formats::Example;
use crate::lora::Composition;
use crate::model::t5::{Control, GpuDecoder};
use crate::protocol::{ErrorReport, Generated, GenerationStep, TestResult, TestStep};
use crate::session;

/// An input that is being answered on the device, with what starts it again on the CPU.
pub(super) struct Generation {
    input: String,
    composition: Option<Composition>,
    max_new_tokens: usize,
    decoder: GpuDecoder,
    tokens: Vec<u32>,
    started: f64,
}

impl GpuEngine {
    /// Starts to answer an input; see [`Engine::start_generation`].
    ///
    /// # Errors
    /// As there.
    pub async fn start_generation(
        &mut self,
        input: &str,
        composition: Option<&Composition>,
        max_new_tokens: usize,
    ) -> Result<(), ErrorReport> {
        self.engine.stop();
        loop {
            if self.model.is_none() {
                self.work = Work::Idle;
                return self.engine.start_generation(input, composition, max_new_tokens);
            }
            match self.begin(input, composition, max_new_tokens) {
                Ok(generation) => {
                    self.work = Work::Generation(Box::new(generation));
                    return Ok(());
                }
                Err(Failure::Device(fault)) => self.recover(&fault).await,
                Err(Failure::Report(report)) => return Err(report),
            }
        }
    }

    fn begin(
        &mut self,
        input: &str,
        composition: Option<&Composition>,
        max_new_tokens: usize,
    ) -> Result<Generation, Failure> {
        let started = (self.engine.clock)();
        let tokens = ready(&self.engine.base)?.tokenizer.encode(input);
        let tokens = tokens.map_err(|error| {
            report(answers::GENERATE, error.to_string(), "Shorten or correct it.")
        })?;
        let decoder = self.decoder(answers::GENERATE, &[&tokens], composition, max_new_tokens)?;
        Ok(Generation {
            input: input.to_owned(),
            composition: composition.cloned(),
            max_new_tokens,
            decoder,
            tokens: Vec::new(),
            started,
        })
    }

    fn decoder(
        &mut self,
        what: &str,
        inputs: &[&[u32]],
        composition: Option<&Composition>,
        max_new_tokens: usize,
    ) -> Result<GpuDecoder, Failure> {
        let vector = self.compose(what, composition)?;
        let Some(model) = &self.model else { return Err(lost()) };
        let modules = match (&vector, &self.loaded) {
            (Some(vector), Some(loaded)) => Some((&loaded.modules, vector.as_slice())),
            _ => None,
        };
        let decoder = model.greedy(inputs, modules, max_new_tokens).map_err(refuse(what))?;
        self.work_bytes = self.work_bytes.max(decoder.bytes());
        Ok(decoder)
    }

    /// Decodes the next tokens; see [`Engine::generation_step`].
    ///
    /// # Errors
    /// As there.
    pub async fn generation_step(&mut self) -> Result<GenerationStep, ErrorReport> {
        let Work::Generation(mut generation) = std::mem::replace(&mut self.work, Work::Idle) else {
            return self.engine.generation_step();
        };
        let Some(model) = &self.model else { return self.generate_again(*generation) };
        let decoded = match model.decode(&mut generation.decoder, &Control::none()).await {
            Ok(decoded) => decoded,
            Err(fault) => {
                self.recover(&fault).await;
                return self.generate_again(*generation);
            }
        };
        generation.tokens.extend(decoded.into_iter().map(|(_, token)| token));
        let text = ready(&self.engine.base)?.tokenizer.decode(&generation.tokens);
        let tokens = generation.tokens.len() as u32;
        let result = generation.decoder.is_finished().then(|| Generated {
            text: text.clone(),
            tokens,
            seconds: (self.engine.clock)() - generation.started,
            complete: true,
        });
        if result.is_none() {
            self.work = Work::Generation(generation);
        }
        Ok(GenerationStep { text, tokens, result })
    }

    /// Answers on the CPU, up to where the device had come.
    fn generate_again(&mut self, generation: Generation) -> Result<GenerationStep, ErrorReport> {
        let Generation { input, composition, max_new_tokens, tokens, .. } = generation;
        self.engine.start_generation(&input, composition.as_ref(), max_new_tokens)?;
        for _ in 0..tokens.len() {
            let step = self.engine.generation_step()?;
            if step.result.is_some() {
                return Ok(step);
            }
        }
        self.engine.generation_step()
    }

    /// Starts to answer a test set; see [`Engine::start_test`].
    ///
    /// # Errors
    /// As there.
    pub fn start_test(
        &mut self,
        examples: &[Example],
        composition: Option<&Composition>,
        max_new_tokens: usize,
    ) -> Result<(), ErrorReport> {
        self.work = Work::Idle;
        self.test_composition = composition.cloned();
        self.engine.start_test(examples, composition, max_new_tokens)
    }

    /// Decodes the next tokens of the items in progress; see [`Engine::test_step`]. If the device
    /// fails, the batch in progress is begun again.
    ///
    /// # Errors
    /// As there.
    pub async fn test_step(&mut self) -> Result<TestStep, ErrorReport> {
        loop {
            if self.model.is_none() {
                return self.engine.test_step();
            }
            match self.test_batch().await {
                Ok(()) => return self.engine.test_progress(),
                Err(Failure::Device(fault)) => self.recover(&fault).await,
                Err(Failure::Report(report)) => return Err(report),
            }
        }
    }

    async fn test_batch(&mut self) -> Result<(), Failure> {
        if !matches!(self.work, Work::Test(_)) {
            let (max_new_tokens, inputs) = {
                let Engine { base, work, .. } = &mut self.engine;
                let tokenizer = &ready(base)?.tokenizer;
                let session::Work::Test(test) = work else {
                    return Err(Failure::Report(answers::no_test()));
                };
                (test.max_new_tokens, test.next_inputs(tokenizer)?)
            };
            let rows: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
            let composition = self.test_composition.clone();
            let decoder =
                self.decoder(answers::TEST, &rows, composition.as_ref(), max_new_tokens)?;
            self.work = Work::Test(Box::new((decoder, vec![Vec::new(); rows.len()])));
        }
        let (Some(model), Work::Test(batch)) = (&self.model, &mut self.work) else {
            return Err(lost());
        };
        let (decoder, tokens) = &mut **batch;
        let decoded = model.decode(decoder, &Control::none()).await.map_err(Failure::Device)?;
        for (row, token) in decoded {
            tokens[row].push(token);
        }
        if decoder.is_finished() {
            let answered = std::mem::take(tokens);
            self.work = Work::Idle;
            let Engine { base, work, .. } = &mut self.engine;
            if let session::Work::Test(test) = work {
                test.take_answers(&ready(base)?.tokenizer, &answered);
            }
        }
        Ok(())
    }

    /// Ends the test with the items that are answered.
    ///
    /// # Errors
    /// A report if no test was started.
    pub fn stop_test(&mut self) -> Result<TestResult, ErrorReport> {
        self.work = Work::Idle;
        self.engine.stop_test()
    }
}
