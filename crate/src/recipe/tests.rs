//! Tests of recipes and of the links that hold them.

use super::*;
use crate::lora::{Composition, ModuleWeight, WeightedModule};
use crate::random::Random;
use crate::registry::{Registry, RegistryFile, RegistryModule};

/// A link of version 1 that was published: it must be read for ever.
const PUBLISHED: &str = include_str!("../../../tests/formats/recipe/version_1.txt");
const PUBLISHED_RECIPE: &str = include_str!("../../../tests/formats/recipe/version_1.json");

impl Random {
    fn text(&mut self, alphabet: &str, least: usize, most: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let length = least + self.below(most - least + 1);
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    fn hash(&mut self) -> String {
        let digits = self.text("0123456789abcdef", 64, 64);
        digits[..8 + 2 * self.below(29)].into()
    }

    /// One weight, or in some recipes one for each group of layers.
    fn module_weight(&mut self) -> ModuleWeight {
        match self.below(6) {
            0 => [self.weight(), self.weight(), self.weight(), self.weight()].into(),
            _ => self.weight().into(),
        }
    }

    fn scales(&mut self) -> TunedScales {
        let values = (0..self.below(300)).map(|_| self.below(15) as i8 - 7).collect();
        TunedScales { step: 0.001 + self.below(100) as f32 / 1000.0, values }
    }

    fn weight(&mut self) -> f32 {
        let weight = f32::from_bits(self.next() as u32);
        if weight.is_finite() { weight } else { 0.0 }
    }

    fn recipe(&mut self) -> Recipe {
        const ID: &str = "abcXYZ019._-/";
        const TEXT: &str = "ab \n\"\\é水😀\u{0}";
        let starts: Vec<String> = (0..3).map(|_| self.text(ID, 0, 30)).collect();
        let modules = (0..self.below(25))
            .map(|index| RecipeModule {
                id: format!("{}.{index}", starts[self.below(3)]),
                hash: self.hash(),
                weight: self.module_weight(),
            })
            .collect();
        let example = |random: &mut Self| Example {
            input: random.text(TEXT, 0, 300) + "?",
            output: random.text(TEXT, 0, 20) + "!",
        };
        Recipe {
            registry: "https://é/".to_owned() + &self.text(ID, 1, 60),
            base: RecipeBase { id: self.text(ID, 1, 256), hash: self.hash() },
            modules,
            merge: [Merge::Lorahub, Merge::Delta][self.below(2)],
            scales: (self.below(4) == 0).then(|| self.scales()),
            files: (self.below(2) == 0)
                .then(|| format!("{:016x}{:016x}", self.next(), self.next())),
            precision: [Precision::F32, Precision::Int8][self.below(2)],
            title: self.text(TEXT, 0, 100),
            instruction: (self.below(2) == 1).then(|| self.text(TEXT, 0, 200)),
            examples: (0..self.below(6)).map(|_| example(self)).collect(),
        }
    }
}

/// A recipe as the demo makes them, with ids as long as those of the published LoraHub modules.
fn published_modules() -> Recipe {
    let tasks = [
        "wiki_hop_original_choose_best_object_interrogative_1",
        "duorc_SelfRC_generate_question_by_answer",
        "wiqa_what_might_be_the_first_step_of_the_process",
        "ropes_prompt_bottom_no_hint",
        "social_i_qa_Check_if_a_random_answer_is_valid_or_not",
    ];
    let modules = (0..20)
        .map(|index| RecipeModule {
            id: format!("lorahub/flan_t5_large-{}_{index}", tasks[index % tasks.len()]),
            hash: format!("{:012x}", (0x9e37_79b9_7f4a * (index as u64 + 1)) & 0xffff_ffff_ffff),
            weight: ((index as f32 - 9.5) * 0.123_456_79).into(),
        })
        .collect();
    Recipe {
        registry: "https://someone.github.io/a-library-of-modules/library/registry.json".into(),
        base: RecipeBase { id: "google/flan-t5-large".into(), hash: "0123456789ab".into() },
        modules,
        merge: Merge::Delta,
        scales: None,
        files: None,
        precision: Precision::Int8,
        title: "Tell which of two events came first".into(),
        instruction: None,
        examples: Vec::new(),
    }
}

fn message(fragment: &str) -> String {
    decode(fragment).unwrap_err().to_string()
}

#[test]
fn a_recipe_survives_its_link() {
    let mut random = Random(11);
    for _ in 0..500 {
        let recipe = random.recipe();
        let link = encode(&recipe).unwrap();
        let read = decode(&link).unwrap();
        assert_eq!(read, recipe);
        // Equality holds for zeros of both signs; the bits have to be the same.
        let bits = |r: &Recipe| {
            let weights = r.modules.iter().map(|m| m.weight.groups().map(f32::to_bits));
            weights.collect::<Vec<_>>()
        };
        assert_eq!(bits(&read), bits(&recipe));
        assert!(link.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(decode(&format!(" #{link}\n")).unwrap(), recipe);
    }
}

#[test]
fn a_recipe_survives_json() {
    let recipe = Random(5).recipe();
    let json = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
}

#[test]
fn a_published_link_is_still_read() {
    let recipe: Recipe = serde_json::from_str(PUBLISHED_RECIPE).unwrap();
    assert_eq!(decode(PUBLISHED).unwrap(), recipe);
}

#[test]
fn twenty_published_modules_take_less_than_2000_characters() {
    let length = encode(&published_modules()).unwrap().len();
    assert!(length < 2000, "{length}");
}

#[test]
fn a_link_that_was_cut_short_says_so() {
    let link = encode(&published_modules()).unwrap();
    for length in 0..link.len() {
        let message = message(&link[..length]);
        assert!(message.contains("cut short"), "{length}: {message}");
    }
    let message = message(&format!("{link}{link}"));
    assert!(message.contains("without what follows"), "{message}");
}

#[test]
fn a_changed_character_is_noticed_wherever_it_is() {
    const CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut recipe = published_modules();
    recipe.modules.truncate(2);
    let link = encode(&recipe).unwrap();
    for place in 0..link.len() {
        for &character in CHARACTERS {
            let mut changed = link.clone().into_bytes();
            changed[place] = character;
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == link || decode(&changed).is_err(), "{place}: {changed}");
        }
    }
    let message = message(&link.replacen('A', "%", 1));
    assert!(message.contains("'%' at character"), "{message}");
}

#[test]
fn a_newer_version_is_told_from_a_broken_link() {
    let link = encode(&published_modules()).unwrap();
    // The first two characters hold the first byte; 5 instead of 1.
    let newer = format!("BQ{}", &link[2..]);
    assert_eq!(decode(&newer).unwrap_err(), RecipeError::Version { found: 5 });
    assert!(message(&newer).contains("newer program"));
}

#[test]
fn a_link_that_a_program_damaged_is_repaired_where_the_checksum_fits() {
    let mut recipe = published_modules();
    // A link with two hyphens in a row, which some programs make a dash of.
    let link = (0..)
        .map(|number| {
            recipe.title = format!("Title {number}");
            encode(&recipe).unwrap()
        })
        .find(|link| link.contains("--") && !link.contains("---"))
        .unwrap();
    let (start, end) = link.split_at(link.len() / 2);
    let escaped: String = link.replace('-', "%2D").replace('_', "%5F");
    for damaged in [
        format!("https://example.org/loraloom/#{link}"),
        format!("https://example.org/loraloom/%23{link}"),
        format!("https://example.org/loraloom/%2523{link}"),
        format!("%23{link}"),
        format!("<{link}>"),
        format!("({link})."),
        format!("{link},"),
        format!("{link}="),
        format!("{link}%3D"),
        format!("“{link}”"),
        format!("{link} is the link"),
        format!("{start}\n{end}"),
        format!("{start}=\r\n{end}"),
        format!("> {start}\n> {end}"),
        format!("{start}\u{200b}{end}"),
        format!("{start} {end}"),
        link.replace("--", "—"),
        link.replace("--", "–"),
        link.replace('-', "‑"),
        escaped,
    ] {
        assert_eq!(decode(&damaged).unwrap(), recipe, "{damaged}");
    }
}

#[test]
fn a_link_in_small_letters_was_changed_and_is_of_no_newer_version() {
    let link = encode(&published_modules()).unwrap().to_ascii_lowercase();
    assert_eq!(decode(&link), Err(RecipeError::Changed));
    assert_eq!(
        decode(&format!("{link}.")),
        Err(RecipeError::Character { position: link.len() + 1, found: '.' })
    );
}

#[test]
fn bytes_at_random_with_a_right_checksum_are_refused_without_a_panic() {
    let mut random = Random(3);
    let whole = published_modules();
    for round in 0..20_000u32 {
        let version = 1 + (round % 4) as u8;
        let mut contents = link::write(&whole, version);
        for _ in 0..1 + random.below(4) {
            let place = random.below(contents.len().min(120));
            contents[place] = random.next() as u8;
        }
        contents.truncate(random.below(contents.len() * 2));
        if let Ok(recipe) = decode(&link::seal(version, &contents)) {
            recipe.validate().unwrap();
        }
    }
}

#[test]
fn what_a_recipe_may_not_hold_is_named() {
    let change = |change: &dyn Fn(&mut Recipe)| {
        let mut recipe = published_modules();
        change(&mut recipe);
        encode(&recipe).unwrap_err().to_string()
    };
    let example = |input: &str| Example { input: input.into(), output: "b".into() };
    for (found, part) in [
        (
            change(&|r| r.modules[2].weight = f32::NAN.into()),
            "the weight of module 3 should be a finite",
        ),
        (
            change(&|r| r.scales = Some(TunedScales { step: 0.0, values: vec![1] })),
            "every scale should be from −7 to 7",
        ),
        (
            change(&|r| r.modules[0].weight = [1.0, f32::INFINITY, 1.0, 1.0].into()),
            "the weight of module 1",
        ),
        (change(&|r| r.modules[1].id = r.modules[0].id.clone()), "the id of module 2"),
        (change(&|r| r.modules[1].id = "a b".into()), "the id of module 2"),
        (change(&|r| r.modules[1].hash = "0123ABCD".into()), "the hash of module 2"),
        (change(&|r| r.base.hash = "012345678".into()), "the hash of the base"),
        (change(&|r| r.base.id = String::new()), "the id of the base"),
        (change(&|r| r.registry = "a\nb".into()), "the registry"),
        (change(&|r| r.title = "a".repeat(1025)), "the title should be at most 1024 bytes"),
        (change(&|r| r.instruction = Some("a".repeat(17 << 10))), "the instruction"),
        (change(&|r| r.examples = vec![example("a"), example(" ")]), "the input of example 2"),
        (change(&|r| r.examples = vec![example("a"); 101]), "the number of examples"),
        (change(&|r| r.examples = vec![example(&"a".repeat(16_000)); 5]), "leave out examples"),
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
}

/// The demo's registry, which has a base and modules with hashes.
fn demo() -> Registry {
    Registry::parse(include_bytes!("../../../www/site/public/library/registry.json")).unwrap()
}

fn library<'a>(registry: &'a Registry, loaded: &'a LoadedHashes) -> RecipeLibrary<'a> {
    RecipeLibrary { bases: &registry.bases, modules: &registry.modules, loaded }
}

/// Weights 1, 0 and −0.5 of the demo's first three modules.
fn draft(registry: &Registry) -> RecipeDraft {
    let weighted = registry.modules.iter().zip([1.0, 0.0, -0.5]);
    RecipeDraft {
        registry: "https://host.test/registry.json".into(),
        base: registry.bases[0].id.clone(),
        composition: Composition {
            modules: weighted
                .map(|(module, weight)| WeightedModule {
                    id: module.id.clone(),
                    weight: f32::into(weight),
                })
                .collect(),
            merge: Merge::Delta,
        },
        scales: None,
        precision: Precision::Int8,
        title: "A task".into(),
        instruction: None,
        examples: Vec::new(),
    }
}

#[test]
fn a_recipe_is_built_of_the_modules_that_take_part_with_the_hash_of_what_is_loaded() {
    let registry = demo();
    let mut loaded = LoadedHashes::default();
    let recipe = Recipe::new(draft(&registry), library(&registry, &loaded)).unwrap();
    let [first, _, third, ..] = &registry.modules[..] else { panic!() };
    let of = |module: &RegistryModule| module.files.weights.sha256[..12].to_owned();
    let found: Vec<_> = recipe.modules.iter().map(|m| (&m.id, m.hash.clone(), m.weight)).collect();
    assert_eq!(found, [(&first.id, of(first), 1.0.into()), (&third.id, of(third), (-0.5).into())]);
    assert_eq!(recipe.base.hash, registry.bases[0].files.weights.sha256[..12]);
    assert_eq!(recipe.check(library(&registry, &loaded)), Ok(()));

    loaded.modules.insert(first.id.clone(), "5".repeat(64));
    let other = Recipe::new(draft(&registry), library(&registry, &loaded)).unwrap();
    assert_eq!(other.modules[0].hash, "555555555555");
    let error = recipe.check(library(&registry, &loaded)).unwrap_err();
    let RecipeError::OtherVersion { kind: EntryKind::Module, id, .. } = error else { panic!() };
    assert_eq!(id, first.id);
}

/// What the weights' hashes do not bind: `lora_alpha`, the tokenizer, the number of heads.
#[test]
fn a_recipe_binds_every_file_of_its_base_and_modules() {
    let (registry, loaded) = (demo(), LoadedHashes::default());
    let recipe = Recipe::new(draft(&registry), library(&registry, &loaded)).unwrap();
    assert_eq!(recipe.files.as_ref().map(String::len), Some(32));
    let read = decode(&encode(&recipe).unwrap()).unwrap();
    assert_eq!(read, recipe);
    let changes: [fn(&mut Registry) -> &mut RegistryFile; 5] = [
        |registry| &mut registry.bases[0].files.config,
        |registry| &mut registry.bases[0].files.tokenizer,
        |registry| &mut registry.modules[0].files.config,
        |registry| &mut registry.modules[2].files.config,
        // Of weight 0, so that it takes no part.
        |registry| &mut registry.modules[1].files.config,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut registry = demo();
        change(&mut registry).sha256 = "5".repeat(64);
        let checked = read.check(library(&registry, &loaded));
        match number {
            4 => assert_eq!(checked, Ok(())),
            _ => assert!(matches!(checked, Err(RecipeError::OtherFiles { .. })), "{number}"),
        }
        // A link of an earlier version does not say.
        let earlier = Recipe { files: None, ..read.clone() };
        assert_eq!(earlier.check(library(&registry, &loaded)), Ok(()));
        // What is not known passes before it is loaded, and what is loaded counts.
        change(&mut registry).sha256.clear();
        assert_eq!(read.check(library(&registry, &loaded)), Ok(()));
        let mut loaded = LoadedHashes::default();
        loaded.base_files.insert(registry.bases[0].id.clone(), "5".repeat(64));
        let modules = registry.modules.iter().map(|module| (module.id.clone(), "6".repeat(64)));
        loaded.module_files = modules.collect();
        let checked = read.check(library(&registry, &loaded));
        assert!(matches!(checked, Err(RecipeError::OtherFiles { .. })), "{checked:?}");
    }
}

#[test]
fn a_recipe_of_what_the_registry_lacks_is_neither_built_nor_accepted() {
    let (mut registry, loaded) = (demo(), LoadedHashes::default());
    let draft = draft(&registry);
    let recipe = Recipe::new(draft.clone(), library(&registry, &loaded)).unwrap();
    let third = registry.modules.remove(2).id;
    let missing = RecipeError::Missing { kind: EntryKind::Module, id: third };
    assert_eq!(recipe.check(library(&registry, &loaded)), Err(missing.clone()));
    assert_eq!(Recipe::new(draft.clone(), library(&registry, &loaded)), Err(missing));

    // A hub's file may have no hash: it passes before it is loaded, and is in no recipe.
    let first = registry.modules[0].id.clone();
    registry.modules[0].files.weights.sha256.clear();
    let error = Recipe::new(draft.clone(), library(&registry, &loaded)).unwrap_err();
    assert_eq!(error, RecipeError::NoHash { kind: EntryKind::Module, id: first });
    registry.modules.push(demo().modules[2].clone());
    assert_eq!(recipe.check(library(&registry, &loaded)), Ok(()));

    let base = registry.bases.remove(0).id;
    let missing = RecipeError::Missing { kind: EntryKind::Base, id: base };
    assert_eq!(recipe.check(library(&registry, &loaded)), Err(missing.clone()));
    assert_eq!(Recipe::new(draft, library(&registry, &loaded)), Err(missing));
}
