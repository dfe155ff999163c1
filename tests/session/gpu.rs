//! A session on the GPU, on the demo library that ships. Where the machine has no GPU, not even one in
//! software, these tests say so and pass.

use std::sync::Arc;

use loraloom::kernels::gpu::{Gpu, GpuError};
use loraloom::learn::{LearnOptions, LearnResult, Optimizer};
use loraloom::lora::{self, Composition, Merge, WeightedModule};
use loraloom::model::{Control, Model, Precision};
use loraloom::session::{
    CpuBackend, FailoverBackend, GpuMemory, GpuStatus, Observer, Session, SessionEvent,
};
use pollster::block_on;

use super::{Base, loaded, registry, run_test, skills, test_set};

type GpuSession = Session<FailoverBackend>;

/// A session with the demo base and its first modules on the GPU.
fn on_device(modules: usize) -> Option<(GpuSession, Vec<String>, GpuStatus)> {
    if let Err(GpuError::NoAdapter { reason }) = block_on(Gpu::open()) {
        eprintln!("skipped: {reason}");
        return None;
    }
    let (mut session, ids) = loaded::<FailoverBackend>(&registry(), modules);
    let status = block_on(session.open_gpu()).unwrap().unwrap();
    // The check against the CPU has passed.
    assert!(status.active && status.reason.is_empty(), "{status:?}");
    Some((session, ids, status))
}

fn options() -> LearnOptions {
    LearnOptions { budget: 6, ..LearnOptions::default() }
}

/// A search whose points come several at a time, over more modules than are learned with.
fn batched(merge: Merge) -> LearnOptions {
    let optimizer = Optimizer::RidgeTrustRegion;
    LearnOptions { budget: 15, optimizer, merge, modules: 3, ..LearnOptions::default() }
}

/// Destroys the device after so many steps, and keeps the GPU's last status.
struct Losing {
    gpu: Option<Arc<Gpu>>,
    after: usize,
    steps: usize,
    status: Option<GpuStatus>,
}

impl Losing {
    /// Never, where `after` is none.
    fn new(session: &GpuSession, after: Option<usize>) -> Self {
        let device = session.backend().and_then(|backend| backend.device());
        let gpu = after.and(device).map(|device| Arc::clone(device.gpu()));
        assert!(gpu.is_some() || after.is_none());
        Self { gpu, after: after.unwrap_or(0), steps: 0, status: None }
    }
}

impl Observer for Losing {
    fn on_event(&mut self, event: SessionEvent) {
        if let SessionEvent::Gpu { status } = event {
            self.status = Some(status);
        }
    }

    async fn next_turn(&mut self) -> bool {
        if self.steps == self.after
            && let Some(gpu) = self.gpu.take()
        {
            gpu.destroy();
        }
        self.steps += 1;
        false
    }
}

fn losses(result: &LearnResult) -> Vec<f64> {
    result.history.iter().map(|evaluation| evaluation.loss).collect()
}

#[test]
fn learning_on_the_device_follows_the_cpus_and_survives_its_loss() {
    let Some((mut session, ids, opened)) = on_device(3) else { return };
    let (mut cpu, _) = loaded::<CpuBackend>(&registry(), 3);
    let examples = &registry().tasks[0].examples;
    let expected = block_on(cpu.learn(examples, &ids, options(), &[], &mut ())).unwrap();

    let mut status = opened.clone();
    for lose in [None, Some(2)] {
        let mut observer = Losing::new(&session, lose);
        let found = block_on(session.learn(examples, &ids, options(), &[], &mut observer)).unwrap();
        assert_eq!(losses(&found), losses(&expected));
        status = observer.status.unwrap();
    }
    let checked = opened.memory;
    let GpuMemory { weights_bytes, embedding_bytes, modules_bytes, work_bytes } = status.memory;
    assert_eq!((checked.weights_bytes, checked.modules_bytes), (weights_bytes, 0.0));
    assert!(embedding_bytes > 0.0 && modules_bytes > 0.0);
    // The largest so far: the check's or the evaluations'.
    assert!(checked.work_bytes > 0.0 && work_bytes >= checked.work_bytes);
    assert!(status.active && status.reason.contains("reopened"), "{status:?}");
}

#[test]
fn populations_of_a_batched_search_have_the_losses_of_the_cpu_one_at_a_time() {
    let Some((mut session, ids, _)) = on_device(4) else { return };
    let (mut cpu, _) = loaded::<CpuBackend>(&registry(), 4);
    let examples = &registry().tasks[0].examples;
    for merge in [Merge::Lorahub, Merge::Delta] {
        let expected = block_on(cpu.learn(examples, &ids, batched(merge), &[], &mut ())).unwrap();
        for lose in [None, Some(7)] {
            let mut observer = Losing::new(&session, lose);
            let found = session.learn(examples, &ids, batched(merge), &[], &mut observer);
            let found = block_on(found).unwrap();
            assert_eq!(losses(&found), losses(&expected));
            assert_eq!(found.modules, expected.modules);
            assert_eq!(found.optimizer, Optimizer::RidgeTrustRegion);
        }
    }
}

#[test]
fn answers_of_the_device_are_the_cpus_and_survive_its_loss() {
    let registry = registry();
    let Some((mut session, ids, _)) = on_device(2) else { return };
    let (mut cpu, _) = loaded::<CpuBackend>(&registry, 2);
    let modules = ids
        .iter()
        .zip([0.8, -0.3])
        .map(|(id, weight)| WeightedModule { id: id.clone(), weight: f32::into(weight) })
        .collect();
    let composition = Composition { modules, merge: LearnOptions::default().merge };
    let items = &test_set(&registry, 0)[..60];
    for with in [None, Some(&composition)] {
        let expected = run_test(&mut cpu, items, with);
        let mut observer = Losing::new(&session, with.map(|_| 2));
        let found = block_on(session.test(items, with, 16, &mut observer)).unwrap();
        assert_eq!(found.answers, expected.answers);

        let input = &items[0].input;
        let expected = block_on(cpu.generate(input, with, 16, &mut ())).unwrap();
        let mut observer = Losing::new(&session, with.map(|_| 1));
        let found = block_on(session.generate(input, with, 16, &mut observer)).unwrap();
        assert_eq!((found.text, found.tokens), (expected.text, expected.tokens));
        let score = block_on(session.score(&items[..3], with)).unwrap();
        let expected = block_on(cpu.score(&items[..3], with)).unwrap();
        assert_eq!(score, expected);
    }
}

/// Every item of every task, each with the modules of the skills that the task needs: half the tasks
/// with each merge. `ITEMS` takes fewer of each task.
#[test]
#[ignore = "takes a GPU; one in software takes many minutes"]
fn losses_and_greedy_tokens_of_the_librarys_test_sets_are_the_cpus() {
    const BATCH: usize = 40;
    const NEW_TOKENS: usize = 24;
    let limit = std::env::var("ITEMS").map_or(usize::MAX, |items| items.parse().unwrap());
    let gpu = match block_on(Gpu::open()) {
        Ok(gpu) => Arc::new(gpu),
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let registry = registry();
    let base = Base::new(&registry);
    let cpu = base.model(Precision::Int8);
    let model = block_on(cpu.load_gpu(gpu)).unwrap();
    let control = Control::none();
    let (mut items, mut same_tokens, mut same_bits, mut difference) = (0, 0, 0, 0.0f32);
    for task in 0..registry.tasks.len() {
        let adapters = skills(&registry, task);
        let merge = [Merge::Delta, Merge::Lorahub][task % 2];
        let mut composition = lora::AdapterSet::new(&base.config, &adapters, merge).unwrap();
        let coefficients = vec![[1.0; 4]; adapters.len()];
        let modules = composition.upload(&*model).unwrap();
        let branches = composition.branches(&coefficients, cpu.precision()).unwrap();
        let test = test_set(&registry, task);
        let batch = base.tokenized(&test[..limit.min(test.len())]);
        for batch in batch.chunks(BATCH) {
            let expected = cpu.losses(batch, Some(branches), &control).unwrap();
            let evaluation = model.prepare(batch, Some(&modules), 1).unwrap();
            let found = block_on(evaluation.losses(&[&coefficients], &control)).unwrap();
            for (found, expected) in found[0].iter().zip(&expected) {
                same_bits += usize::from(found.loss.to_bits() == expected.loss.to_bits());
                difference = difference.max((found.loss / expected.loss - 1.0).abs());
            }
            let inputs: Vec<&[u32]> = batch.iter().map(|item| &*item.input).collect();
            let silent = &mut |_, _| ();
            let expected =
                cpu.generate(&inputs, Some(branches), NEW_TOKENS, &control, silent).unwrap();
            let composed = Some((&modules, &*coefficients));
            let found = model.generate(&inputs, composed, NEW_TOKENS, &control, silent);
            let found = block_on(found).unwrap();
            same_tokens += found.iter().zip(&expected).filter(|(a, b)| a == b).count();
            items += batch.len();
        }
        let id = &registry.tasks[task].id;
        eprintln!("{id}: so far the same tokens for {same_tokens} of {items} items");
    }
    let (name, driver) = (model.gpu().name(), model.gpu().driver());
    eprintln!(
        "{name}, {driver}: the same tokens for {same_tokens} of {items} items, the same bits of \
         {same_bits} losses, with differences up to {difference:.1e}"
    );
    assert!(items > 0 && same_tokens * 100 >= items * 99);
    assert!(difference < 1e-3);
}
