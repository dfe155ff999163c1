//! A session that fails over from a device to the CPU: the device is the CPU with faults.

use std::cell::RefCell;

use loraloom::formats::Example;
use loraloom::kernels::gpu::GpuError;
use loraloom::lora::ModuleWeight;
use loraloom::model::{Encoded, ModelError, Precision, TokenizedExample};
use loraloom::session::{
    Backend, BackendError, BaseBytes, BaseLabel, Clock, CpuBackend, Device, Evaluated,
    FailoverBackend, GpuMemory, GpuStatus, ModuleSet, Observer, Session, SessionEvent,
};
use pollster::block_on;

thread_local! {
    /// Calls that a [`FakeDevice`] still makes before each of these faults.
    static FAULTS: RefCell<Vec<(usize, GpuError)>> = const { RefCell::new(Vec::new()) };
}

type Batch = <CpuBackend as Backend>::Batch;
type Decoder = <CpuBackend as Backend>::Decoder;

/// The CPU, with faults.
struct FakeDevice(CpuBackend);

fn lost() -> GpuError {
    GpuError::Lost { reason: "unplugged".into() }
}

fn fail_when_due() -> Result<(), BackendError> {
    FAULTS.with_borrow_mut(|faults| match faults.first_mut() {
        Some((0, _)) => Err(ModelError::Gpu(faults.remove(0).1).into()),
        Some((calls, _)) => {
            *calls -= 1;
            Ok(())
        }
        None => Ok(()),
    })
}

impl Device for FakeDevice {
    async fn open(cpu: &CpuBackend) -> Result<Self, ModelError> {
        Ok(Self(cpu.clone()))
    }

    fn close(self) {}

    fn name(&self) -> &str {
        "fake"
    }

    fn memory(&self) -> GpuMemory {
        GpuMemory::default()
    }
}

impl Backend for FakeDevice {
    type Batch = Batch;
    type Decoder = Decoder;

    fn batch(&self, examples: Vec<TokenizedExample>) -> Batch {
        self.0.batch(examples)
    }

    async fn losses(
        &mut self,
        batch: &mut Batch,
        modules: &ModuleSet,
        points: &[Vec<ModuleWeight>],
        clock: Clock,
    ) -> Result<Evaluated, BackendError> {
        fail_when_due()?;
        self.0.losses(batch, modules, points, clock).await
    }

    async fn encode(&mut self, inputs: &[&[u32]]) -> Result<Encoded, BackendError> {
        self.0.encode(inputs).await
    }

    async fn decoder(
        &mut self,
        modules: ModuleSet,
        weights: Vec<ModuleWeight>,
        max_new_tokens: usize,
    ) -> Result<Decoder, BackendError> {
        self.0.decoder(modules, weights, max_new_tokens).await
    }

    async fn start(
        &mut self,
        decoder: &mut Decoder,
        inputs: &[Vec<u32>],
    ) -> Result<(), BackendError> {
        fail_when_due()?;
        self.0.start(decoder, inputs).await
    }

    async fn step(
        &mut self,
        decoder: &mut Decoder,
        rows: &mut [Vec<u32>],
    ) -> Result<bool, BackendError> {
        fail_when_due()?;
        self.0.step(decoder, rows).await
    }
}

#[derive(Default)]
struct Events(Vec<SessionEvent>);

impl Events {
    /// Each text that differs from the one before.
    fn texts(&self) -> Vec<&str> {
        let texts = self.0.iter().filter_map(|event| match event {
            SessionEvent::Token { text } => Some(text.as_str()),
            _ => None,
        });
        let mut texts: Vec<&str> = texts.collect();
        texts.dedup();
        texts
    }

    fn status(&self) -> Option<&GpuStatus> {
        self.0.iter().rev().find_map(|event| match event {
            SessionEvent::Gpu { status } => Some(status),
            _ => None,
        })
    }
}

impl Observer for Events {
    fn on_event(&mut self, event: SessionEvent) {
        self.0.push(event);
    }
}

fn session() -> Session<FailoverBackend<FakeDevice>> {
    let read = |file: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/models/narrow-tied/");
        std::fs::read(folder.to_owned() + file).unwrap()
    };
    let (config, tokenizer) = (read("config.json"), read("tokenizer.json"));
    let weights = read("model.safetensors");
    let files = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
    let mut session = Session::new(|| 0.0);
    session.load_base(BaseLabel::default(), files, Precision::F32).unwrap();
    assert!(block_on(session.open_gpu()).unwrap().unwrap().active);
    session
}

#[test]
fn a_lost_device_is_reopened_twice_and_then_the_cpu_takes_over() {
    let mut session = session();
    let generate = |session: &mut Session<_>, faults: Vec<(usize, GpuError)>| {
        FAULTS.set(faults);
        let mut events = Events::default();
        let input = "Answer the question: is the river green or cold?";
        let generated = block_on(session.generate(input, None, 8, &mut events)).unwrap();
        (generated, events)
    };
    let (expected, calm) = generate(&mut session, Vec::new());
    assert!(expected.tokens > 3 && calm.status().is_none());
    for (faults, active) in [(vec![(0, lost()), (2, lost())], true), (vec![(3, lost())], false)] {
        let (found, events) = generate(&mut session, faults);
        assert_eq!(found, expected);
        // The text stays as it is while the decoding catches up.
        assert_eq!(events.texts(), calm.texts());
        assert_eq!(events.status().map(|status| status.active), Some(active));
    }
}

#[test]
fn a_device_that_fails_for_another_reason_is_not_reopened() {
    let mut session = session();
    let examples = [Example { input: "the river".into(), output: "cold".into() }];
    let expected = block_on(session.score(&examples, None)).unwrap();
    FAULTS.set(vec![(0, GpuError::OutOfMemory)]);
    assert_eq!(block_on(session.score(&examples, None)).unwrap(), expected);
    assert!(session.backend().is_some_and(|backend| backend.device().is_none()));
    // An input that the model rejects is no fault of the device.
    assert!(block_on(session.open_gpu()).unwrap().unwrap().active);
    let long = "river ".repeat(5000);
    assert!(block_on(session.generate(&long, None, 8, &mut ())).is_err());
    assert!(session.backend().is_some_and(|backend| backend.device().is_some()));
}
