//! The page of a module in a registry: what its card says, and a link that opens a composition with it.

use loraloom::formats::Example;
use loraloom::lora::{Composition, Merge, WeightedModule};
use loraloom::model::Precision;
use loraloom::recipe::{LoadedHashes, Recipe, RecipeDraft, RecipeLibrary, encode};
use loraloom::registry::{ModuleResult, Registry, RegistryModule};

use crate::error::CliError;
use crate::html::{document, escape};

/// The page, whose link opens the module at weight 1 on the site at that address.
pub fn module_page(
    registry: &Registry,
    module: &RegistryModule,
    site: &str,
) -> Result<String, CliError> {
    let link = format!("{site}#{}", encode(&alone(registry, module)?)?);
    let RegistryModule { title, task, rank, targets, files, license, tags, .. } = module;
    let base = registry.base(&module.base).map_or(&*module.base, |base| &base.title);
    let mut rows = vec![
        ("Base", base.to_owned()),
        ("Rank", rank.to_string()),
        ("Changes", targets.join(", ")),
        ("License", license.clone()),
        ("Size", format!("{:.1} MB", files.weights.bytes as f64 / 1e6)),
        ("SHA-256", files.weights.sha256.clone()),
    ];
    if !tags.is_empty() {
        rows.insert(3, ("Tags", tags.join(", ")));
    }
    if let Some(ModuleResult { exact_match, base_exact_match }) = module.result {
        let score = format!("{exact_match:.1} % exact match, {base_exact_match:.1} % without it");
        rows.insert(0, ("On its own task", score));
    }
    let rows: String = (rows.iter())
        .map(|(name, value)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escape(value)))
        .collect();
    let example = module.example.as_ref().map_or(String::new(), |Example { input, output }| {
        format!("<p><q>{}</q> → <q>{}</q></p>\n", escape(input), escape(output))
    });
    // The address of a file of the page's own folder.
    let name = |path: &str| escape(path.rsplit('/').next().unwrap_or_default());
    let (config, weights) = (name(&files.config.path), name(&files.weights.path));
    let body = format!(
        r#"<h1>{title}</h1>
<p>{task}</p>
{example}<table>
{rows}</table>
<p><a href="{link}">Try it in a composition</a></p>
<p><a href="{config}">{config}</a>, <a href="{weights}">{weights}</a></p>
"#,
        title = escape(title),
        task = escape(task),
        link = escape(&link),
    );
    let card = vec![("name", "twitter:card", "summary".to_owned())];
    Ok(document(title, task, card, &body))
}

/// A composition of the module alone.
fn alone(registry: &Registry, module: &RegistryModule) -> Result<Recipe, CliError> {
    let weighted = WeightedModule { id: module.id.clone(), weight: 1.0.into() };
    let draft = RecipeDraft {
        registry: "registry.json".into(),
        base: module.base.clone(),
        composition: Composition { modules: vec![weighted], merge: Merge::Delta },
        scales: None,
        precision: Precision::default(),
        title: module.title.clone(),
        instruction: None,
        examples: module.example.iter().cloned().collect(),
    };
    let Registry { bases, modules, .. } = registry;
    let loaded = LoadedHashes::default();
    Ok(Recipe::new(draft, RecipeLibrary { bases, modules, loaded: &loaded })?)
}
