//! Retrieval over the library that ships.

use loraloom::formats::Example;
use loraloom::registry::{Lookup, ModuleSearch, Registry, Suggestion, suggestions};
use loraloom::session::{CpuBackend, Session, SessionEvent};
use pollster::block_on;

use super::{loaded, registry};

/// The 20 nearest modules, and how many steps it took.
fn nearest(
    session: &mut Session,
    search: &ModuleSearch,
    examples: &[Example],
) -> (Vec<Suggestion>, usize) {
    let Lookup::Found(candidates) = search.candidates(examples, "loraloom-demo", 64) else {
        panic!("the demo library is whole")
    };
    let texts: Vec<String> = candidates.iter().map(|candidate| candidate.text()).collect();
    let mut steps = 0;
    let mut observer = |event| {
        let SessionEvent::Step { done, total } = event else { panic!("{event:?}") };
        assert!(done <= total);
        steps += 1;
    };
    let similarities = block_on(session.retrieve(examples, &texts, &mut observer)).unwrap();
    (suggestions(candidates, &similarities, 20), steps)
}

fn session(registry: &Registry) -> Session {
    loaded::<CpuBackend>(registry, 0).0
}

#[test]
fn the_modules_that_a_task_is_made_of_are_among_the_nearest() {
    let registry = registry();
    let search = ModuleSearch::new(&registry);
    let mut session = session(&registry);
    let mut longest_first: Vec<&str> = registry.modules.iter().map(|m| &*m.id).collect();
    longest_first.sort_by_key(|id| std::cmp::Reverse(id.len()));
    let (mut found, mut wanted) = (0, 0);
    for task in &registry.tasks {
        let (suggested, _) = nearest(&mut session, &search, &task.examples);
        assert_eq!(suggested.len(), 20);
        // A task's id is made of those of the modules that it needs.
        let mut rest = task.id.clone();
        for id in &longest_first {
            if rest.contains(id) {
                rest = rest.replace(id, "");
                wanted += 1;
                found += usize::from(suggested.iter().any(|one| one.module.id == *id));
            }
        }
    }
    // 20 of the 41 modules by chance would be half of them; 52 of 61 were found.
    assert_eq!(wanted, 61);
    assert!(found >= 48, "{found} of {wanted}");
}

#[test]
fn stored_embeddings_give_the_same_suggestions_at_once() {
    let registry = registry();
    let search = ModuleSearch::new(&registry);
    let examples = &registry.tasks[0].examples;
    let mut first = session(&registry);
    let (expected, steps) = nearest(&mut first, &search, examples);
    assert!(steps > 1);
    let mut second = session(&registry);
    second.add_embeddings(&first.embeddings());
    second.add_embeddings(&[1, 2, 3]);
    assert_eq!(nearest(&mut second, &search, examples), (expected, 0));
    assert!(block_on(second.retrieve(&[], &[], &mut ())).is_err());
}
