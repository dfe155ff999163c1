//! Pages of compositions for link previews.

use std::io::Read;
use std::path::Path;

use loraloom::recipe::decode;
use serde_json::{Value, json as object};

use crate::{error, folder, json, path, text};

const SITE: &str = "https://example.org/loom/";

/// Writes a recipe of two modules of the demo library.
pub fn recipe(folder: &Path, name: &str, changed: &[(&str, Value)]) -> String {
    let hash = "0123456789abcdef";
    let mut recipe = object!({
        "registry": "./library/registry.json",
        "base": { "id": "base", "hash": hash },
        "modules": [
            { "id": "french", "hash": hash, "weight": -0.75 },
            { "id": "pick-job", "hash": hash, "weight": {
                "encoder": 1.0, "decoderSelfAttention": 1.5,
                "decoderCrossAttention": 1.0, "decoderFeedForward": 1.5,
            } },
            { "id": "german", "hash": hash, "weight": 0.0 },
        ],
        "merge": "delta",
        "precision": "int8",
        "title": "Find the job, in French",
        "instruction": null,
        "examples": [{ "input": "sea, lawyer", "output": "avocat" }],
    });
    for (field, value) in changed {
        recipe[*field] = value.clone();
    }
    let file = folder.join(name);
    std::fs::write(&file, recipe.to_string()).unwrap();
    text(&file)
}

fn read(page: &Value) -> String {
    std::fs::read_to_string(page.as_str().unwrap()).unwrap()
}

/// The content of a tag of a page; none if it has none or two of that name.
fn tag<'p>(page: &'p str, name: &str) -> Option<&'p str> {
    let (_, rest) = page.split_once(&format!("=\"{name}\" content=\""))?;
    let (content, rest) = rest.split_once("\">\n")?;
    (!rest.contains(&format!("=\"{name}\" "))).then_some(content)
}

#[test]
fn a_page_has_the_task_the_verdict_the_mix_and_the_link() {
    let folder = folder("share");
    let out = folder.join("pages");
    let composed = folder.join("composed.json");
    let expected = object!({ "mean": 0.88, "low": 0.7, "high": 1.0 });
    let assessment = object!({
        "verdict": "works", "probability": 0.9, "expected": expected, "calibrated": true,
        "probabilities": [0.9], "answers": [], "contradicting": [],
    });
    let whole = object!({ "weights": [], "loss": 0.1, "assessment": assessment });
    std::fs::write(&composed, whole.to_string()).unwrap();
    let recipe = recipe(&folder, "recipe.json", &[]);
    let registry = text(&path("www/site/public/library"));
    let (out, composed) = (text(&out), text(&composed));
    let found = json(&[
        "share",
        &recipe,
        "--site",
        SITE,
        "--out",
        &out,
        "--at",
        "https://example.org/shared/",
        "--registry",
        &registry,
        "--composed",
        &composed,
    ]);
    let page = &found["pages"][0];
    let html = read(&page["page"]);
    assert!(page["page"].as_str().unwrap().ends_with("/find-the-job-in-french.html"));
    for name in ["description", "og:description", "twitter:description"] {
        assert_eq!(
            tag(&html, name),
            Some(
                "“sea, lawyer” → “avocat”. Works: about 88 of 100 new inputs right. The mix: Find \
                 the job 1.25, Answer in French −0.75."
            )
        );
    }
    for name in ["og:title", "twitter:title"] {
        assert_eq!(tag(&html, name), Some("Find the job, in French"));
    }
    let at = "https://example.org/shared/find-the-job-in-french";
    assert_eq!(tag(&html, "og:url"), Some(&*format!("{at}.html")));
    assert_eq!(tag(&html, "og:image"), Some(&*format!("{at}.png")));
    assert_eq!(tag(&html, "twitter:card"), Some("summary_large_image"));
    assert!(html.contains("<svg "));

    let link = page["link"].as_str().unwrap();
    assert!(html.contains(&format!("<a href=\"{link}\">")));
    let decoded = decode(link.strip_prefix(&format!("{SITE}#")).unwrap()).unwrap();
    assert_eq!(decoded.title, "Find the job, in French");
    // The same link is a recipe.
    let again = json(&["share", link, "--site", SITE, "--out", &out]);
    let html = read(&again["pages"][0]["page"]);
    assert_eq!(tag(&html, "og:image"), None);
    assert_eq!(tag(&html, "twitter:card"), Some("summary"));
    assert!(tag(&html, "description").unwrap().ends_with("The mix: pick-job 1.25, french −0.75."));
}

#[test]
fn texts_of_a_recipe_are_escaped() {
    let folder = folder("share-escaped");
    let title = "</title><script>alert('1')</script> & \"more\"\n<b>";
    let examples = object!([{ "input": "<img src=x>", "output": "\"><i>" }]);
    let changed = [
        ("title", Value::from(title)),
        ("instruction", "a\" onload=\"b".into()),
        ("examples", examples),
    ];
    let recipe = recipe(&folder, "recipe.json", &changed);
    let out = text(&folder.join("pages"));
    let site = format!("{SITE}?registry=https://other.org/registry.json&a='b'\"#old");
    let found = json(&["share", &recipe, "--site", &site, "--out", &out]);
    let html = read(&found["pages"][0]["page"]);
    assert_eq!(html.matches("<script>").count(), 1, "the page's own");
    for raw in ["<img", "<i>", "<b>", "onload=\"", "alert('", "#old", "a='"] {
        assert!(!html.contains(raw), "{raw}");
    }
    assert_eq!(
        tag(&html, "og:title"),
        Some(
            "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;more&quot; &lt;b&gt;"
        )
    );
    assert!(html.contains("registry.json&amp;a=&#39;b&#39;&quot;#"));
}

#[test]
fn the_picture_is_a_png_with_the_colors_of_its_threads() {
    let folder = folder("share-picture");
    let recipe = recipe(&folder, "recipe.json", &[]);
    let out = text(&folder.join("pages"));
    let found = json(&["share", &recipe, "--site", SITE, "--out", &out]);
    let png = std::fs::read(found["pages"][0]["image"].as_str().unwrap()).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let mut chunks = Vec::new();
    let mut rest = &png[8..];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (kind, contents) = (&rest[4..8], &rest[8..8 + length]);
        let mut crc = flate2::Crc::new();
        crc.update(&rest[4..8 + length]);
        assert_eq!(crc.sum().to_be_bytes(), rest[8 + length..12 + length]);
        chunks.push((kind, contents));
        rest = &rest[12 + length..];
    }
    let kinds: Vec<&[u8]> = chunks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [b"IHDR", b"PLTE", b"IDAT", b"IEND"]);
    assert_eq!(chunks[0].1[..8], [0, 0, 4, 176, 0, 0, 2, 118]);
    let mut lines = Vec::new();
    flate2::read::ZlibDecoder::new(chunks[2].1).read_to_end(&mut lines).unwrap();
    assert_eq!(lines.len(), 630 * 1201);
    assert!(lines.iter().step_by(1201).all(|filter| *filter == 0));
    for color in 0..4 {
        assert!(lines.contains(&color), "the ground, the warp and both kinds of threads");
    }
    assert!(png.len() < 20_000, "{}", png.len());
}

#[test]
fn pages_of_one_title_have_names_of_their_own_and_wrong_options_are_refused() {
    let folder = folder("share-names");
    let one = recipe(&folder, "one.json", &[]);
    let two = recipe(&folder, "two.json", &[("title", "仕事".into())]);
    let out = text(&folder.join("pages"));
    let found = json(&["share", &one, &one, &two, "--site", SITE, "--out", &out]);
    let names: Vec<&str> = (found["pages"].as_array().unwrap().iter())
        .map(|page| page["page"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["find-the-job-in-french.html", "find-the-job-in-french-2.html", "mix.html"]);
    let refused = |site: &str| error(&["share", &one, "--site", site, "--out", &out]);
    assert!(refused("javascript:alert(1)").contains("https://"));
    assert!(refused("example.org").contains("--site"));
    let composed = ["share", &one, &two, "--site", SITE, "--out", &out, "--composed", &one];
    assert!(error(&composed).contains("one recipe"));
}
