//! Pages for static hosts: a document with the tags that link previews read, and addresses in it.

use crate::error::CliError;

/// A tag in a page's head: the attribute that names it, its name and its content, which is escaped here.
pub type Tag = (&'static str, &'static str, String);

/// A page with a title, a description and more tags. `body` is HTML, the other texts are not escaped yet.
pub fn document(title: &str, description: &str, more: Vec<Tag>, body: &str) -> String {
    let mut tags: Vec<Tag> = vec![
        ("name", "description", description.into()),
        ("property", "og:type", "website".into()),
        ("property", "og:site_name", "LoraLoom".into()),
        ("property", "og:title", title.into()),
        ("property", "og:description", description.into()),
        ("name", "twitter:title", title.into()),
        ("name", "twitter:description", description.into()),
    ];
    tags.extend(more);
    let tags: String = (tags.into_iter())
        .map(|(kind, name, content)| {
            format!("<meta {kind}=\"{name}\" content=\"{}\">\n", escape(&content))
        })
        .collect();
    let title = escape(title);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{tags}<style>
body {{ max-width: 40rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color-scheme: light dark }}
svg {{ display: block; width: 100%; border-radius: 8px }}
</style>
</head>
<body>
{body}</body>
</html>
"#
    )
}

/// A text inside an element or an attribute in quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            one if one.is_control() => escaped.push(' '),
            one => escaped.push(one),
        }
    }
    escaped
}

/// An address of the web without its fragment.
pub fn web_address(option: &'static str, text: &str) -> Result<String, CliError> {
    let address = text.split('#').next().unwrap_or_default();
    let is_web = ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme));
    if is_web && !address.chars().any(|one| one.is_whitespace() || one.is_control()) {
        return Ok(address.to_owned());
    }
    Err(CliError::Value {
        option,
        expected: "an address that begins with https:// or http://",
        found: text.to_owned(),
    })
}
