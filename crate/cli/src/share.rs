//! `loraloom share`: a page for each composition, whose title and picture link previews show.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use loraloom::learn::{Assessment, Verdict};
use loraloom::recipe::{Recipe, encode};
use serde::{Deserialize, Serialize};

use crate::arguments::read_recipe;
use crate::error::{CliError, create_folder, read, write};
use crate::html::{document, escape, web_address};
use crate::library::Library;
use crate::output::{Output, note};
use crate::weave::{HEIGHT, WIDTH, Weave};

/// Most modules that a description names, and most characters of a text in it.
const NAMED_MODULES: usize = 5;
const MAX_CHARACTERS: usize = 160;

/// Write a page for each composition, for a static host: it opens the composition on a site, and chats and
/// social networks show its title, task and picture.
#[derive(Args)]
pub struct Share {
    /// Recipes: files that compose or the page wrote, or links.
    #[arg(value_name = "FILE|LINK", required = true)]
    recipes: Vec<String>,
    /// Address of the site that opens links, with ?registry=… where its library is not the site's own.
    #[arg(long, value_name = "URL")]
    site: String,
    /// Folder to write the pages and pictures into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Address at which the folder will be served. Without it the pages have no og:image and og:url, which
    /// are whole addresses.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    /// Registry of the modules, for their titles: registry.json, its folder or its address.
    #[arg(long, value_name = "FILE|URL")]
    registry: Option<PathBuf>,
    /// What compose --json printed of the recipe, for whether it works.
    #[arg(long, value_name = "FILE")]
    composed: Option<PathBuf>,
}

/// A page that was written.
#[derive(Serialize)]
struct Page {
    title: String,
    page: PathBuf,
    image: PathBuf,
    link: String,
}

/// The part of compose's result that is read.
#[derive(Deserialize)]
struct Composed {
    assessment: Option<Assessment>,
}

impl Share {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let site = web_address("--site", &self.site)?;
        let at = self.at.as_deref().map(|at| web_address("--at", at)).transpose()?;
        if self.composed.is_some() && self.recipes.len() > 1 {
            return Err(CliError::Value {
                option: "--composed",
                expected: "given for one recipe",
                found: format!("{} recipes", self.recipes.len()),
            });
        }
        let library = self.registry.as_deref().map(Library::open).transpose()?;
        let assessment = self.composed.as_deref().map(read_assessment).transpose()?.flatten();
        create_folder(&self.out)?;
        let mut names = BTreeSet::new();
        let mut pages = Vec::new();
        for recipe in &self.recipes {
            let recipe = read_recipe(recipe)?;
            let link = format!("{site}#{}", encode(&recipe)?);
            let name = unused_name(&recipe.title, &mut names);
            let (page, image) =
                (self.out.join(format!("{name}.html")), self.out.join(format!("{name}.png")));
            let title = |id: &str| {
                let entry = library.as_ref().and_then(|library| library.registry.module(id));
                entry.map_or_else(|| id.to_owned(), |entry| entry.title.clone())
            };
            let drawing = Weave::new(&recipe.modules);
            let html = Html {
                title: title_of(&recipe),
                description: description(&recipe, assessment.as_ref(), title),
                drawing: drawing.svg(),
                at: at.as_deref().map(|at| format!("{}/{name}", at.trim_end_matches('/'))),
                link: &link,
            };
            write(&page, html.render())?;
            write(&image, drawing.png())?;
            pages.push(Page { title: html.title.to_owned(), page, image, link });
        }
        if at.is_none() {
            note("the pages have no og:image and og:url: give the folder's address with --at");
        }
        output.result(&serde_json::json!({ "pages": pages }), || {
            let line = |page: &Page| format!("{}  {}", page.page.display(), page.title);
            pages.iter().map(line).collect::<Vec<_>>().join("\n")
        })
    }
}

fn read_assessment(path: &Path) -> Result<Option<Assessment>, CliError> {
    let composed: Composed =
        serde_json::from_slice(&read(path)?).map_err(CliError::in_file(path))?;
    Ok(composed.assessment)
}

fn title_of(recipe: &Recipe) -> &str {
    match recipe.title.trim() {
        "" => "A mix of LoRA modules",
        title => title,
    }
}

/// A file name of a title's letters and digits that no other page has.
fn unused_name(title: &str, names: &mut BTreeSet<String>) -> String {
    let lower = title.to_ascii_lowercase();
    let words =
        lower.split(|one: char| !one.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: String = words.collect::<Vec<_>>().join("-").chars().take(60).collect();
    let name = if words.is_empty() { "mix".to_owned() } else { words };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut free = std::iter::once(name.clone()).chain(numbered);
    let found = free.find(|name| !names.contains(name)).unwrap_or(name);
    names.insert(found.clone());
    found
}

/// The task, whether the composition works for it, and its modules.
fn description(
    recipe: &Recipe,
    assessment: Option<&Assessment>,
    title: impl Fn(&str) -> String,
) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(recipe.instruction.as_deref().map(|text| cut(text.trim())));
    parts.retain(|part| !part.is_empty());
    parts.extend(recipe.examples.first().map(|example| {
        format!("“{}” → “{}”.", cut(example.input.trim()), cut(example.output.trim()))
    }));
    parts.extend(assessment.map(|assessment| {
        let share = (100.0 * assessment.expected.mean).round();
        let words = match assessment.verdict {
            Verdict::Works => "Works",
            Verdict::Partly => "Works partly",
            Verdict::Unlikely => "Does not work well",
        };
        format!("{words}: about {share} of 100 new inputs right.")
    }));
    let mut modules: Vec<(f32, String)> = (recipe.modules.iter())
        .filter(|module| !module.weight.is_zero())
        .map(|module| {
            let groups = module.weight.groups();
            let mean = groups.iter().sum::<f32>() / groups.len() as f32;
            let weight = format!("{mean:.2}").replace('-', "−");
            (mean, format!("{} {weight}", title(&module.id)))
        })
        .collect();
    modules.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    let more = modules.len().saturating_sub(NAMED_MODULES);
    modules.truncate(NAMED_MODULES);
    let mut named: Vec<String> = modules.into_iter().map(|(_, text)| text).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    if !named.is_empty() {
        parts.push(format!("The mix: {}.", named.join(", ")));
    }
    parts.join(" ")
}

/// The first characters of a text.
fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(MAX_CHARACTERS - 1).chain(['…']).collect()
}

/// A page, whose texts are not escaped yet.
struct Html<'h> {
    title: &'h str,
    description: String,
    /// SVG.
    drawing: String,
    /// The page's own address without its ending, where that is known.
    at: Option<String>,
    link: &'h str,
}

impl Html<'_> {
    fn render(&self) -> String {
        let mut tags = Vec::new();
        let card = if let Some(at) = &self.at {
            let (image, alt) = (format!("{at}.png"), "The mix as woven threads");
            tags.extend([
                ("property", "og:url", format!("{at}.html")),
                ("property", "og:image", image.clone()),
                ("property", "og:image:type", "image/png".to_owned()),
                ("property", "og:image:width", WIDTH.to_string()),
                ("property", "og:image:height", HEIGHT.to_string()),
                ("property", "og:image:alt", alt.to_owned()),
                ("name", "twitter:image", image),
            ]);
            "summary_large_image"
        } else {
            "summary"
        };
        tags.push(("name", "twitter:card", card.to_owned()));
        let (title, description) = (escape(self.title), escape(&self.description));
        let (drawing, link) = (self.drawing.trim_end(), escape(self.link));
        // Previewers do not run scripts, so that they stay here, where the tags are.
        let body = format!(
            r#"<h1>{title}</h1>
<p>{description}</p>
{drawing}
<p><a href="{link}">Open this mix in LoraLoom</a></p>
<script>location.replace(document.querySelector("a").href)</script>
"#
        );
        document(self.title, &self.description, tags, &body)
    }
}
