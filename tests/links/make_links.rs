//! Writes `links.json`: links of ten compositions over the demo library, with the bits of the losses
//! and the greedy answers that the commit named there gives for them.
//!
//! Links that were published must restore the same bits forever, so this program runs at that commit,
//! not at the present one, and only to add links:
//!
//! ```sh
//! git worktree add ../then 77a386d
//! mkdir ../then/crate/examples && cp tests/links/make_links.rs ../then/crate/examples
//! (cd ../then && cargo run --example make_links) > tests/links/links.json
//! ```

use loraloom::engine::{BaseBytes, BaseLabel, Engine};
use loraloom::formats::{Example, ExamplesFormat, parse_examples};
use loraloom::learn::{LearnOptions, Objective, Optimizer, Selection};
use loraloom::lora::Merge;
use loraloom::protocol::Composition;
use loraloom::recipe::{Recipe, RecipeBase, RecipeModule, encode};
use loraloom::registry::Registry;
use loraloom::t5::Precision;
use serde_json::{Value, json};

const COMMIT: &str = "77a386d";
const LIBRARY: &str = "www/site/public/library/";
/// Examples that a composition is learned from, and those after them that are scored and answered.
const SHOTS: usize = 5;
const SCORED: usize = 4;
const MAX_NEW_TOKENS: usize = 24;

struct Plan {
    task: &'static str,
    title: &'static str,
    precision: Precision,
    /// Empty for all modules.
    modules: &'static [&'static str],
    options: LearnOptions,
    instruction: Option<&'static str>,
    with_examples: bool,
}

fn plans() -> Vec<Plan> {
    use Merge::{Delta, Lorahub};
    use Optimizer::{CmaEs, Cobyla, Greedy, RidgeTrustRegion};
    let options = |optimizer, merge, budget| LearnOptions {
        optimizer,
        merge,
        budget,
        ..LearnOptions::default()
    };
    let plan = |task, precision, modules, options| Plan {
        task,
        title: task,
        precision,
        modules,
        options,
        instruction: None,
        with_examples: false,
    };
    vec![
        plan("pick-job-french", Precision::Int8, &[], LearnOptions::default()),
        plan(
            "pick-food-french-question",
            Precision::F32,
            &["french"],
            LearnOptions { selection: Selection::ByHand, ..options(Cobyla, Delta, 6) },
        ),
        Plan {
            title: "Half, with a smile 🙂",
            ..plan(
                "half-smile",
                Precision::Int8,
                &[],
                LearnOptions { seed: 7, ..LearnOptions::as_published() },
            )
        },
        plan(
            "pick-colour-german",
            Precision::F32,
            &[],
            LearnOptions { modules: 12, ..options(CmaEs, Lorahub, 40) },
        ),
        plan(
            "smallest-number-words",
            Precision::Int8,
            &[],
            LearnOptions { modules: 8, ..options(Greedy, Delta, 30) },
        ),
        Plan {
            instruction: Some("Name the day after, in brackets."),
            with_examples: true,
            ..plan("next-day-brackets", Precision::F32, &[], options(RidgeTrustRegion, Delta, 40))
        },
        Plan {
            with_examples: true,
            ..plan(
                "pick-household-spanish",
                Precision::Int8,
                &[],
                LearnOptions { modules: 16, ..options(RidgeTrustRegion, Lorahub, 48) },
            )
        },
        Plan {
            title: "Das größte Tier, 水",
            instruction: Some("Which of these is the largest?"),
            ..plan(
                "largest-french",
                Precision::F32,
                &["largest", "french", "number-words"],
                LearnOptions { selection: Selection::ByHand, ..options(Cobyla, Delta, 20) },
            )
        },
        plan(
            "weekend-true-false",
            Precision::Int8,
            &[],
            LearnOptions {
                selection: Selection::Random,
                modules: 5,
                objective: Objective::Reference,
                bound: 0.5,
                seed: 3,
                ..options(CmaEs, Delta, 30)
            },
        ),
        Plan {
            instruction: Some("Say what category it is, with a smile."),
            with_examples: true,
            ..plan(
                "category-smile",
                Precision::F32,
                &["category", "smile"],
                LearnOptions { selection: Selection::ByHand, ..options(Greedy, Lorahub, 12) },
            )
        },
    ]
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(format!("{LIBRARY}{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn engine(registry: &Registry, precision: Precision) -> Engine {
    let files = &registry.bases[0].files;
    let [config, tokenizer, weights] =
        [&files.config, &files.tokenizer, &files.weights].map(|file| read(&file.path));
    let mut engine = Engine::new(|| 0.0);
    let bytes = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
    engine.load_base(BaseLabel::default(), bytes, precision).unwrap();
    for module in &registry.modules {
        let (config, weights) = (read(&module.files.config.path), read(&module.files.weights.path));
        engine.add_module(&module.id, &config, weights).unwrap();
    }
    engine
}

fn link(registry: &Registry, plan: Plan) -> Value {
    let mut engine = engine(registry, plan.precision);
    let task = String::from_utf8(read(&format!("tasks/{}.jsonl", plan.task))).unwrap();
    let examples = parse_examples(&task, ExamplesFormat::Auto).unwrap();
    let (shots, scored) = (&examples[..SHOTS], &examples[SHOTS..SHOTS + SCORED]);

    let all = || registry.modules.iter().map(|module| module.id.clone()).collect();
    let candidates: Vec<String> = match plan.modules {
        [] => all(),
        chosen => chosen.iter().map(|id| (*id).to_owned()).collect(),
    };
    let (optimizer, merge) = (plan.options.optimizer, plan.options.merge);
    engine.start_learning(shots, &candidates, plan.options).unwrap();
    let result = loop {
        if let Some(result) = engine.learning_step().unwrap().result {
            break result;
        }
    };
    let modules: Vec<_> = result.modules.into_iter().filter(|m| m.weight != 0.0).collect();
    let short = |sha256: &str| sha256[..12].to_owned();
    let recipe = Recipe {
        registry: "library/registry.json".into(),
        base: RecipeBase {
            id: registry.bases[0].id.clone(),
            hash: short(&registry.bases[0].files.weights.sha256),
        },
        modules: (modules.iter())
            .map(|module| RecipeModule {
                id: module.id.clone(),
                hash: short(&registry.module(&module.id).unwrap().files.weights.sha256),
                weight: module.weight,
            })
            .collect(),
        merge,
        precision: plan.precision,
        title: plan.title.into(),
        instruction: plan.instruction.map(Into::into),
        examples: if plan.with_examples { shots.to_vec() } else { Vec::new() },
    };
    let composition = Composition { modules, merge };
    let score = engine.score(scored, Some(&composition)).unwrap();
    let mut answer = |example: &Example| {
        engine.start_generation(&example.input, Some(&composition), MAX_NEW_TOKENS).unwrap();
        loop {
            if let Some(result) = engine.generation_step().unwrap().result {
                break result.text;
            }
        }
    };
    let items: Vec<Value> = (scored.iter().zip(&score.examples))
        .map(|(example, loss)| {
            json!({
                "input": example.input,
                "output": example.output,
                "lossBits": format!("{:08x}", loss.loss.to_bits()),
                "answer": answer(example),
            })
        })
        .collect();
    json!({
        "task": plan.task,
        "optimizer": optimizer,
        "modules": recipe.modules.len(),
        "negativeWeights": recipe.modules.iter().filter(|module| module.weight < 0.0).count(),
        "merge": merge,
        "precision": plan.precision,
        "fragment": encode(&recipe).unwrap(),
        "meanLossBits": format!("{:016x}", score.loss.to_bits()),
        "items": items,
    })
}

fn main() {
    let registry = Registry::parse(&read("registry.json")).unwrap();
    let links: Vec<Value> = plans().into_iter().map(|plan| link(&registry, plan)).collect();
    let file = json!({ "commit": COMMIT, "maxNewTokens": MAX_NEW_TOKENS, "links": links });
    println!("{}", serde_json::to_string_pretty(&file).unwrap());
}
