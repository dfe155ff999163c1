//! The layers of the crate use only those below them; unit tests in files of their own may use any.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The layers, from the lowest to the highest.
const LAYERS: [&str; 11] = [
    "choices", "formats", "kernels", "model", "lora", "learn", "session", "registry", "recipe",
    "bench", "bindings",
];

fn level(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

/// All Rust files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules at the root of the crate that a file's code uses: `a` and `b` of `crate::a::Item` and
/// of `use crate::{a::Item, b}`.
fn used_modules(source: &str) -> BTreeSet<String> {
    let code: String = source.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut used = BTreeSet::new();
    for (index, _) in code.match_indices("crate::") {
        let path = &code[index + "crate::".len()..];
        let Some(group) = path.strip_prefix('{') else {
            used.insert(name(path));
            continue;
        };
        let mut depth = 0;
        let mut first = true;
        for (index, character) in group.char_indices() {
            if depth == 0 && std::mem::take(&mut first) {
                used.insert(name(&group[index..]));
            }
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => first = depth == 0,
                _ => {}
            }
        }
    }
    used
}

#[test]
fn paths_are_found_in_groups_in_items_and_not_in_comments() {
    let source = "use crate::{formats::{Dtype, Tokenizer}, learn, lora::Merge};\n\
                  pub(crate) use crate::model; // crate::session\n\
                  fn f(x: crate::kernels::X) {}";
    let found = used_modules(source);
    assert!(found.iter().eq(["formats", "kernels", "learn", "lora", "model"]), "{found:?}");
}

#[test]
fn no_layer_uses_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crate/src");
    let mut arrows = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for path in files(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        if inside.ends_with("tests.rs") {
            continue;
        }
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let layer = first.trim_end_matches(".rs");
        let Some(from) = level(layer) else { continue };
        seen.insert(from);
        for used in used_modules(&std::fs::read_to_string(&path).unwrap()) {
            if level(&used).is_some_and(|to| to > from) {
                arrows.insert(format!("{}: crate::{used}", inside.display()));
            }
        }
    }
    assert_eq!(seen.len(), LAYERS.len(), "a layer has no file");
    assert!(arrows.is_empty(), "{arrows:#?}");
}
