//! Addresses as people type and copy them: ids and pages of a hub, folders of static hosts, registries.
//! The page, the npm package and the command line resolve them here, and nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::formats::excerpt;

/// The hub that ids without an address belong to.
pub const DEFAULT_HUB: &str = "https://huggingface.co";
/// Other hosts of [`DEFAULT_HUB`].
const HUB_HOSTS: [&str; 4] = ["huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co"];
/// The revision where none is given.
const DEFAULT_REVISION: &str = "main";
/// The file of a registry.
const REGISTRY_FILE: &str = "registry.json";
/// Endings of files of weights.
const WEIGHTS: [&str; 3] = [".safetensors", ".gguf", ".bin"];
/// Endings of the files that lie beside weights: an address of one is that of its folder.
const BESIDE_WEIGHTS: [&str; 5] = [".json", ".model", ".txt", ".md", ".html"];
/// The parts of a hub's addresses between a repository and a revision.
const FOLDER_PAGES: [&str; 3] = ["tree", "commit", "commits"];
const FILE_PAGES: [&str; 5] = ["blob", "resolve", "raw", "blame", "edit"];
/// Repositories of a hub that hold no model.
const OTHER_REPOSITORIES: [&str; 2] = ["datasets", "spaces"];
/// The longest address.
const MAX_ADDRESS_BYTES: usize = 2048;

/// Why an address cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is neither an id nor an address of a model or adapter.
    #[error(
        "expected an id such as google/flan-t5-small, or an address that starts with https://, found \
         “{found}”"
    )]
    Source {
        /// The text.
        found: String,
    },
    /// The text is not the address of a hub.
    #[error("expected the address of a hub, such as {DEFAULT_HUB}, found “{found}”")]
    Hub {
        /// The text.
        found: String,
    },
    /// The text is not the address of a registry.
    #[error(
        "expected an address that starts with https://, of a {REGISTRY_FILE} or its folder, found “{found}”"
    )]
    Registry {
        /// The text.
        found: String,
    },
}

/// The addresses that a program can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schemes {
    /// `https:` and `http:`.
    Web,
    /// Those, and `file:`, as in Node.
    WebAndFiles,
}

/// The folder of a model or adapter that an address names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RemoteFolder {
    /// In a repository of a hub.
    Hub(HubFolder),
    /// On a static host.
    Folder(HostFolder),
}

/// A folder in a repository of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct HubFolder {
    /// Address of the hub, without `/` at its end.
    pub host: String,
    /// Owner and name; some old repositories have no owner.
    pub repo: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// Path of the folder in the repository, with `/` between its parts; none for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub folder: Option<String>,
    /// The file of weights, if one is named.
    pub file: Option<String>,
}

/// A folder of a static host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct HostFolder {
    /// Its address, which ends with `/`.
    pub url: String,
    /// The query of its files' addresses, with its `?`, such as a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub query: Option<String>,
    /// The file of weights, if one is named.
    pub file: Option<String>,
}

impl fmt::Display for HubFolder {
    /// `OWNER/NAME/FOLDER@REVISION`, without what is the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(folder) = &self.folder {
            write!(f, "/{folder}")?;
        }
        if self.revision != DEFAULT_REVISION {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

impl RemoteFolder {
    /// Resolves what a person typed or copied:
    ///
    /// - `google/flan-t5-small`, `OWNER/NAME/FOLDER`, `OWNER/NAME/FOLDER/FILE.gguf`, each with
    ///   `@REVISION` after it or after the name;
    /// - the address of a page of the hub, with or without `https://`: of a repository, a revision, a
    ///   folder or a file;
    /// - `hub:OWNER/NAME@REVISION/FILE`, as registries have it;
    /// - any other `https://…`, and `file:///…` where it can be read: a folder, or a file in it.
    ///
    /// `hub` is the address of the hub of ids, as [`hub_address`] returns it.
    ///
    /// # Errors
    /// [`AddressError::Source`] for anything else.
    pub fn parse(text: &str, hub: &str, schemes: Schemes) -> Result<Self, AddressError> {
        let text = text.trim();
        resolve(text, hub, schemes).ok_or_else(|| AddressError::Source { found: excerpt(text) })
    }
}

/// The address of a hub, without `/` at its end; [`DEFAULT_HUB`] for an empty text.
///
/// # Errors
/// [`AddressError::Hub`] for a text that is no address.
pub fn hub_address(text: &str) -> Result<String, AddressError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(DEFAULT_HUB.into());
    }
    let url =
        Url::parse(text, Schemes::Web).ok_or_else(|| AddressError::Hub { found: excerpt(text) })?;
    if url.is_default_hub() {
        return Ok(DEFAULT_HUB.into());
    }
    Ok(format!("{}{}", url.origin, url.path.trim_end_matches('/')))
}

/// The address of a registry's file, by that address, that of its folder, or that of a hub's page.
///
/// # Errors
/// [`AddressError::Registry`] for a text that is no address.
pub fn registry_address(text: &str, schemes: Schemes) -> Result<String, AddressError> {
    let text = text.trim();
    let url =
        Url::parse(text, schemes).ok_or_else(|| AddressError::Registry { found: excerpt(text) })?;
    if let Some(page) = url.below(DEFAULT_HUB).and_then(|path| hub_page(&path)) {
        let HubPage { repo, revision, path } = page;
        let file = match path.last() {
            Some(last) if last.ends_with(".json") => join(&path),
            _ => join(&[&path[..], &[REGISTRY_FILE.to_owned()]].concat()),
        };
        let (revision, file) = (encoded(&revision, false), encoded(&file, true));
        return Ok(format!("{DEFAULT_HUB}/{repo}/resolve/{revision}/{file}"));
    }
    let path = match url.path.ends_with(".json") {
        true => url.path,
        false => format!("{}/{REGISTRY_FILE}", url.path.trim_end_matches('/')),
    };
    Ok(format!("{}{path}{}", url.origin, url.query))
}

/// The address of a file whose path is relative to that of a registry.
pub fn file_beside(registry: &str, path: &str) -> String {
    let (registry, query) = registry.split_at(registry.find(['?', '#']).unwrap_or(registry.len()));
    let folder = registry.rfind('/').map_or("", |end| &registry[..=end]);
    let query = query.split('#').next().unwrap_or_default();
    format!("{folder}{path}{query}")
}

/// A repository, revision and path of a hub.
struct HubPage {
    repo: String,
    revision: String,
    /// Folders, and perhaps a file.
    path: Vec<String>,
}

impl HubPage {
    /// The folder in the repository; its last part is a file if that is how it ends.
    fn into_folder(self, host: &str) -> HubFolder {
        let Self { repo, revision, mut path } = self;
        let last = path.last().map_or("", String::as_str);
        let (weights, beside) = (ends_with(last, &WEIGHTS), ends_with(last, &BESIDE_WEIGHTS));
        let file = if weights || beside { path.pop() } else { None };
        HubFolder {
            host: host.into(),
            repo,
            revision,
            folder: (!path.is_empty()).then(|| join(&path)),
            file: file.filter(|_| weights),
        }
    }
}

fn resolve(text: &str, hub: &str, schemes: Schemes) -> Option<RemoteFolder> {
    if text.len() > MAX_ADDRESS_BYTES || text.contains(char::is_control) {
        return None;
    }
    if let Some(url) = Url::parse(text, schemes) {
        // The configured hub first: it may be a path of a host of its own.
        for host in [hub, DEFAULT_HUB] {
            if let Some(path) = url.below(host) {
                return Some(RemoteFolder::Hub(hub_page(&path)?.into_folder(host)));
            }
        }
        return Some(RemoteFolder::Folder(url.into_folder()));
    }
    if text.starts_with('/') || (text.contains("://") && !text.starts_with("hf://")) {
        return None;
    }
    let short = ["hub:", "hf://models/", "hf://"].iter().find_map(|start| text.strip_prefix(start));
    let short = short.unwrap_or(text).trim_end_matches('/');
    let host = short.split('/').next().unwrap_or_default();
    if HUB_HOSTS.contains(&&*host.to_ascii_lowercase()) {
        let path = short[host.len()..].split(['?', '#']).next().unwrap_or_default();
        return Some(RemoteFolder::Hub(hub_page(path)?.into_folder(DEFAULT_HUB)));
    }
    Some(RemoteFolder::Hub(hub_id(short)?.into_folder(hub)))
}

/// Reads `OWNER/NAME`, with a path and a revision in either order.
fn hub_id(text: &str) -> Option<HubPage> {
    let (before, after) = match text.split_once('@') {
        None => (text, None),
        Some((before, after)) => (before, Some(after)),
    };
    let mut page = match hub_page(before) {
        Some(page) => page,
        None => {
            let parts = parts(before, false)?;
            let (repo, path) = parts.split_at_checked(2)?;
            HubPage {
                repo: repository(repo)?,
                revision: DEFAULT_REVISION.into(),
                path: path.to_vec(),
            }
        }
    };
    let one_file = page.path.is_empty() && !page.repo.contains('/');
    if one_file && (ends_with(&page.repo, &WEIGHTS) || ends_with(&page.repo, &BESIDE_WEIGHTS)) {
        return None;
    }
    if let Some(after) = after {
        let rest = parts(after, true)?;
        // A branch's name may have slashes; where a file follows it, the branch is its first part.
        let last = rest.last()?;
        let has_file = rest.len() > 1
            && page.path.is_empty()
            && (ends_with(last, &WEIGHTS) || ends_with(last, &BESIDE_WEIGHTS));
        let (revision, path) =
            if has_file { split_revision(&rest) } else { (join(&rest), &[][..]) };
        page.revision = revision;
        page.path.extend_from_slice(path);
    }
    is_revision(&page.revision).then_some(page)
}

/// Reads the path of a page of a hub: `/OWNER/NAME`, `/OWNER/NAME/tree/REVISION/FOLDER`, …
fn hub_page(path: &str) -> Option<HubPage> {
    let parts = parts(path, true)?;
    let is_page = |part: &String| {
        FOLDER_PAGES.contains(&part.as_str()) || FILE_PAGES.contains(&part.as_str())
    };
    // `t5-small` and others have no owner.
    let length = if parts.len() == 1 || is_page(&parts[1]) { 1 } else { 2 };
    let (repo, rest) = parts.split_at_checked(length)?;
    let repo = repository(repo)?;
    let (revision, path) = match rest {
        [] => (DEFAULT_REVISION.into(), &[][..]),
        [page] if is_page(page) => (DEFAULT_REVISION.into(), &[][..]),
        [page, rest @ ..] if is_page(page) => split_revision(rest),
        _ => return None,
    };
    is_revision(&revision).then(|| HubPage { repo, revision, path: path.to_vec() })
}

/// The revision at the start of a path that is not empty, and the rest.
fn split_revision(parts: &[String]) -> (String, &[String]) {
    let special =
        parts.len() >= 3 && parts[0] == "refs" && (parts[1] == "pr" || parts[1] == "convert");
    let (revision, path) = parts.split_at(if special { 3 } else { 1 });
    (join(revision), path)
}

/// The name of a repository, of one part or two.
fn repository(parts: &[String]) -> Option<String> {
    let valid = |part: &String| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let other = parts.len() > 1 && OTHER_REPOSITORIES.contains(&parts[0].as_str());
    (parts.iter().all(valid) && !other).then(|| join(parts))
}

/// Whether a text can be the name of a branch or tag.
fn is_revision(text: &str) -> bool {
    let reserved = |c: char| c.is_control() || c.is_whitespace() || "\\:*?[~^@".contains(c);
    !text.contains(reserved)
}

/// The parts of a path without its percent escapes, if `escaped`; a slash within a part stays in it.
fn parts(path: &str, escaped: bool) -> Option<Vec<String>> {
    let path = path.trim_matches('/');
    let decode = |part: &str| if escaped { decoded(part) } else { part.to_owned() };
    let parts: Vec<String> = path.split('/').map(decode).collect();
    let valid = |part: &String| {
        let safe = |part: &str| !matches!(part, "" | "." | "..");
        let reserved = |c: char| c.is_control() || c.is_whitespace() || "\\:*\"<>|?#@".contains(c);
        part.split('/').all(safe) && (escaped || !part.contains(reserved))
    };
    parts.iter().all(valid).then_some(parts)
}

fn join(parts: &[String]) -> String {
    parts.join("/")
}

fn ends_with(name: &str, endings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// An absolute address of HTTP, or of a file.
struct Url {
    /// Scheme and host, in lower case; a file has no host.
    origin: String,
    /// With percent escapes.
    path: String,
    /// With its `?`, or empty.
    query: String,
}

impl Url {
    fn parse(text: &str, schemes: Schemes) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_file = scheme == "file" && schemes == Schemes::WebAndFiles;
        let known = is_file || scheme == "https" || scheme == "http";
        if !known || text.len() > MAX_ADDRESS_BYTES {
            return None;
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // Names and passwords are not sent: browsers refuse such addresses.
        let reserved = |c: char| c.is_control() || c.is_whitespace() || "@\\%<>\"|^`{}".contains(c);
        if host.is_empty() != is_file || host.starts_with(':') || host.contains(reserved) {
            return None;
        }
        let query = if query == "?" { "" } else { query };
        Some(Self {
            origin: format!("{scheme}://{}", host.to_ascii_lowercase()),
            path: encoded(path, true),
            query: encoded(query, true),
        })
    }

    fn is_default_hub(&self) -> bool {
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        HUB_HOSTS.contains(&host)
    }

    /// The path below a hub; `None` for another host's.
    fn below(&self, hub: &str) -> Option<String> {
        if hub == DEFAULT_HUB {
            return self.is_default_hub().then(|| self.path.clone());
        }
        let address = format!("{}{}", self.origin, self.path);
        let path = address.strip_prefix(hub)?;
        (path.is_empty() || path.starts_with('/')).then(|| path.to_owned())
    }

    fn into_folder(self) -> HostFolder {
        let Self { origin, path, query } = self;
        let (folder, last) = path.rsplit_once('/').unwrap_or_default();
        let weights = ends_with(last, &WEIGHTS);
        let folder = match weights || ends_with(last, &BESIDE_WEIGHTS) {
            true => folder,
            false => path.trim_end_matches('/'),
        };
        HostFolder {
            url: format!("{origin}{folder}/"),
            query: (!query.is_empty()).then_some(query),
            file: weights.then(|| decoded(last)),
        }
    }
}

/// A text without percent escapes; those that are not valid stay.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        match escape(rest) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &rest[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte of a percent escape at the start.
fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'%', digits @ ..] = bytes else { return None };
    let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
    let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// A text with escapes where an address needs them; those that are there stay. A slash is escaped
/// unless `path`.
fn encoded(text: &str, path: bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let kept = byte.is_ascii_alphanumeric()
            || b"-._~!$&'()*+,;=:@?[]".contains(&byte)
            || (byte == b'/' && path)
            || (byte == b'%' && escape(&text.as_bytes()[index..]).is_some());
        if kept {
            encoded.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from(HEX[usize::from(half)]);
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = DEFAULT_HUB;

    fn on_hub(repo: &str, revision: &str, folder: &str, file: &str) -> RemoteFolder {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        RemoteFolder::Hub(HubFolder {
            host: HUB.into(),
            repo: repo.into(),
            revision: revision.into(),
            folder: text(folder),
            file: text(file),
        })
    }

    #[test]
    fn ids_and_pages_of_a_hub_give_repository_revision_folder_and_file() {
        for (text, repo, revision, folder, file) in [
            ("google/flan-t5-small", "google/flan-t5-small", "main", "", ""),
            (" lorahub/flan_t5_large-ag_news ", "lorahub/flan_t5_large-ag_news", "main", "", ""),
            ("o/n/", "o/n", "main", "", ""),
            ("t5-small", "t5-small", "main", "", ""),
            ("t5-small@v1", "t5-small", "v1", "", ""),
            ("o/n@v1.0", "o/n", "v1.0", "", ""),
            ("o/n@feature/x", "o/n", "feature/x", "", ""),
            ("o/n@feature%2Fx", "o/n", "feature/x", "", ""),
            ("o/n@refs/pr/3", "o/n", "refs/pr/3", "", ""),
            ("o/n@refs/pr/3/", "o/n", "refs/pr/3", "", ""),
            ("o/n/checkpoint-500", "o/n", "main", "checkpoint-500", ""),
            ("o/n/runs/checkpoint-500/", "o/n", "main", "runs/checkpoint-500", ""),
            ("o/n/checkpoint-500@v2", "o/n", "v2", "checkpoint-500", ""),
            ("o/n/checkpoint-500@refs/pr/3", "o/n", "refs/pr/3", "checkpoint-500", ""),
            ("o/n/model-q8_0.gguf", "o/n", "main", "", "model-q8_0.gguf"),
            ("o/n/sub/model.GGUF@v2", "o/n", "v2", "sub", "model.GGUF"),
            ("o/n@v2/sub/model.gguf", "o/n", "v2", "sub", "model.gguf"),
            ("o/n@refs/pr/3/sub/model.bin", "o/n", "refs/pr/3", "sub", "model.bin"),
            ("o/n/config.json", "o/n", "main", "", ""),
            ("o/n/tree/main/checkpoint-500", "o/n", "main", "checkpoint-500", ""),
            ("hub:o/n@1a2b/model.safetensors", "o/n", "1a2b", "", "model.safetensors"),
            ("hub:o/n@1a2b/sub/adapter_model.bin", "o/n", "1a2b", "sub", "adapter_model.bin"),
            ("hub:o/n@1a2b/sub/adapter_config.json", "o/n", "1a2b", "sub", ""),
            ("hf://o/n", "o/n", "main", "", ""),
            ("hf://models/o/n@v1/sub/model.bin", "o/n", "v1", "sub", "model.bin"),
            ("hf.co/o/n", "o/n", "main", "", ""),
            ("HF.co/o/n/", "o/n", "main", "", ""),
            ("huggingface.co/o/n", "o/n", "main", "", ""),
            ("www.huggingface.co/o/n/tree/v1", "o/n", "v1", "", ""),
            ("hf.co/o/n?library=peft", "o/n", "main", "", ""),
            ("https://huggingface.co/o/n", "o/n", "main", "", ""),
            ("https://www.huggingface.co/o/n", "o/n", "main", "", ""),
            ("http://hf.co/o/n/", "o/n", "main", "", ""),
            ("HTTPS://HuggingFace.co/o/N", "o/N", "main", "", ""),
            ("https://huggingface.co/t5-small", "t5-small", "main", "", ""),
            ("https://huggingface.co/t5-small/tree/main", "t5-small", "main", "", ""),
            ("https://huggingface.co/o/n?library=transformers", "o/n", "main", "", ""),
            ("https://huggingface.co/o/n#usage", "o/n", "main", "", ""),
            ("https://huggingface.co/o/n/tree/main", "o/n", "main", "", ""),
            ("https://huggingface.co/o/n/tree/main/", "o/n", "main", "", ""),
            ("https://huggingface.co/o/n/tree", "o/n", "main", "", ""),
            (
                "https://huggingface.co/o/n/tree/main/checkpoint-500",
                "o/n",
                "main",
                "checkpoint-500",
                "",
            ),
            ("https://huggingface.co/o/n/tree/main/a/b%20c", "o/n", "main", "a/b c", ""),
            ("https://huggingface.co/o/n/tree/refs%2Fpr%2F3", "o/n", "refs/pr/3", "", ""),
            ("https://huggingface.co/o/n/tree/refs/pr/3/sub", "o/n", "refs/pr/3", "sub", ""),
            ("https://huggingface.co/o/n/tree/feature%2Fx/sub", "o/n", "feature/x", "sub", ""),
            ("https://huggingface.co/o/n/commit/1a2b3c", "o/n", "1a2b3c", "", ""),
            ("https://huggingface.co/o/n/commits/v1", "o/n", "v1", "", ""),
            (
                "https://huggingface.co/o/n/blob/main/checkpoint-500/adapter_model.safetensors",
                "o/n",
                "main",
                "checkpoint-500",
                "adapter_model.safetensors",
            ),
            (
                "https://huggingface.co/o/n/resolve/main/small.gguf?download=true",
                "o/n",
                "main",
                "",
                "small.gguf",
            ),
            ("https://huggingface.co/o/n/blob/main/README.md", "o/n", "main", "", ""),
            (
                "https://huggingface.co/o/n/raw/main/sub/adapter_config.json",
                "o/n",
                "main",
                "sub",
                "",
            ),
            (
                "https://huggingface.co/o/n/blob/main/100%/model.bin",
                "o/n",
                "main",
                "100%",
                "model.bin",
            ),
        ] {
            let expected = Ok(on_hub(repo, revision, folder, file));
            assert_eq!(RemoteFolder::parse(text, HUB, Schemes::Web), expected, "{text}");
        }
    }

    #[test]
    fn other_addresses_are_folders_of_static_hosts() {
        for (text, url, query, file) in [
            ("https://host.test/models/t5", "https://host.test/models/t5/", "", ""),
            ("https://host.test/models/t5///", "https://host.test/models/t5/", "", ""),
            ("https://host.test", "https://host.test/", "", ""),
            ("http://localhost:8080/t5", "http://localhost:8080/t5/", "", ""),
            ("http://[::1]:8080/t5", "http://[::1]:8080/t5/", "", ""),
            ("https://Host.TEST/T5", "https://host.test/T5/", "", ""),
            ("https://host.test/models/t5.gguf", "https://host.test/models/", "", "t5.gguf"),
            ("https://host.test/t5/config.json", "https://host.test/t5/", "", ""),
            ("https://host.test/t5/index.html", "https://host.test/t5/", "", ""),
            ("https://host.test/t5?token=a/b", "https://host.test/t5/", "?token=a/b", ""),
            ("https://host.test/a.bin?sig=1&x=2#y", "https://host.test/", "?sig=1&x=2", "a.bin"),
            ("https://host.test/t5/?", "https://host.test/t5/", "", ""),
            ("https://host.test/100%/t5", "https://host.test/100%25/t5/", "", ""),
            ("https://host.test/%7Eme/my%20t5", "https://host.test/%7Eme/my%20t5/", "", ""),
            ("https://host.test/my t5/ä", "https://host.test/my%20t5/%C3%A4/", "", ""),
            ("https://host.test/my%20q8.gguf", "https://host.test/", "", "my q8.gguf"),
            ("https://huggingface.co.test/o/n", "https://huggingface.co.test/o/n/", "", ""),
        ] {
            let text_of = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let expected = RemoteFolder::Folder(HostFolder {
                url: url.into(),
                query: text_of(query),
                file: text_of(file),
            });
            assert_eq!(RemoteFolder::parse(text, HUB, Schemes::Web), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_configured_hub_takes_ids_and_its_own_pages() {
        let parse = |text: &str, hub: &str| match RemoteFolder::parse(text, hub, Schemes::Web) {
            Ok(RemoteFolder::Hub(HubFolder { host, repo, revision, .. })) => {
                format!("{host} {repo} {revision}")
            }
            other => format!("{other:?}"),
        };
        for (text, hub, expected) in [
            ("o/n", "https://hub.test", "https://hub.test o/n main"),
            ("https://hub.test/o/n/tree/v1", "https://hub.test", "https://hub.test o/n v1"),
            (
                "https://proxy.test/hf/o/n",
                "https://proxy.test/hf",
                "https://proxy.test/hf o/n main",
            ),
            ("http://localhost:90/o/n", "http://localhost:90", "http://localhost:90 o/n main"),
            ("https://huggingface.co/o/n", "https://hub.test", "https://huggingface.co o/n main"),
            ("hf.co/o/n", "https://hub.test", "https://huggingface.co o/n main"),
        ] {
            assert_eq!(parse(text, hub), expected, "{text}");
        }
        let other = parse("https://hub.test.example/o/n", "https://hub.test");
        assert!(other.contains("Folder"), "{other}");
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("o/{}", "n".repeat(MAX_ADDRESS_BYTES));
        for text in [
            "",
            "/",
            "two words/here",
            "two words",
            "../../etc",
            "./model",
            "/models/t5",
            "~/models/t5",
            "C:\\models\\t5",
            "models\\t5",
            "javascript:alert(1)",
            "ftp://host.test/t5",
            "file:///models/t5",
            "https://",
            "https:///t5",
            "https://?token=1",
            "https://:80/t5",
            "https://user:secret@host.test/t5",
            "https://ho st/t5",
            "o/n/../m",
            "o/n@",
            "o/n@a@b",
            "o//n",
            "o/n?x",
            "model.gguf",
            "examples.json",
            "https://huggingface.co",
            "https://huggingface.co/",
            "https://huggingface.co/datasets/o/n",
            "https://huggingface.co/spaces/o/n",
            "datasets/squad",
            "o/n@a b",
            "https://huggingface.co/o/n/discussions/3",
            "https://huggingface.co/o/%2e%2e/n",
            "a\u{7}/b",
            &long,
        ] {
            let found = RemoteFolder::parse(text, HUB, Schemes::Web);
            assert!(matches!(found, Err(AddressError::Source { .. })), "{text}: {found:?}");
        }
    }

    #[test]
    fn hubs_and_registries_have_one_form() {
        for (text, expected) in [
            ("", HUB),
            (" https://huggingface.co/ ", HUB),
            ("http://hf.co", HUB),
            ("https://hub.test//", "https://hub.test"),
            ("http://localhost:8080/hf/", "http://localhost:8080/hf"),
        ] {
            assert_eq!(hub_address(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["https://", "hub.test", "://", "ftp://hub.test"] {
            assert!(matches!(hub_address(text), Err(AddressError::Hub { .. })), "{text}");
        }
        for (text, expected) in [
            ("https://host.test/a/registry.json", "https://host.test/a/registry.json"),
            ("https://host.test/a/other.json?v=2", "https://host.test/a/other.json?v=2"),
            ("https://host.test/a", "https://host.test/a/registry.json"),
            ("https://host.test/a/?key=1", "https://host.test/a/registry.json?key=1"),
            ("https://host.test", "https://host.test/registry.json"),
            ("https://hf.co/o/n", "https://huggingface.co/o/n/resolve/main/registry.json"),
            (
                "https://huggingface.co/o/n/blob/feature%2Fx/a/library.json",
                "https://huggingface.co/o/n/resolve/feature%2Fx/a/library.json",
            ),
            (
                "https://huggingface.co/o/n/tree/main/a",
                "https://huggingface.co/o/n/resolve/main/a/registry.json",
            ),
        ] {
            assert_eq!(registry_address(text, Schemes::Web).as_deref(), Ok(expected), "{text}");
        }
        for text in ["https://", "", "library", "ftp://host.test/registry.json"] {
            let found = registry_address(text, Schemes::Web);
            assert!(matches!(found, Err(AddressError::Registry { .. })), "{text}: {found:?}");
        }
    }

    #[test]
    fn addresses_of_files_are_read_where_they_can_be() {
        for (text, url, file) in [
            ("file:///models/t5", "file:///models/t5/", None),
            (" FILE:///models/t5// ", "file:///models/t5/", None),
            ("file:///a/my%20t5/ä", "file:///a/my%20t5/%C3%A4/", None),
            ("file:///a/m%20n.gguf", "file:///a/", Some("m n.gguf")),
            ("file:///a/t5/config.json", "file:///a/t5/", None),
            ("file:///C:/models/t5", "file:///C:/models/t5/", None),
        ] {
            let file = file.map(String::from);
            let expected = RemoteFolder::Folder(HostFolder { url: url.into(), query: None, file });
            let found = RemoteFolder::parse(text, HUB, Schemes::WebAndFiles);
            assert_eq!(found, Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("file:///a/library", "file:///a/library/registry.json"),
            ("file:///a/library/", "file:///a/library/registry.json"),
            ("file:///a/other.json", "file:///a/other.json"),
        ] {
            let found = registry_address(text, Schemes::WebAndFiles);
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
            let web = registry_address(text, Schemes::Web);
            assert!(matches!(web, Err(AddressError::Registry { .. })), "{text}: {web:?}");
        }
        for text in ["file://host/models/t5", "file://localhost/t5", "https://", "file:/a"] {
            let found = RemoteFolder::parse(text, HUB, Schemes::WebAndFiles);
            assert!(found.is_err(), "{text}: {found:?}");
        }
        // What the web has is read as before.
        for text in ["https://host.test/t5", "o/n@v1", "hf.co/o/n"] {
            let [web, both] = [Schemes::Web, Schemes::WebAndFiles]
                .map(|schemes| RemoteFolder::parse(text, HUB, schemes).unwrap());
            assert_eq!(web, both);
        }
        assert!(hub_address("file:///hub").is_err());
    }

    #[test]
    fn files_beside_a_registry_keep_its_query() {
        for (registry, expected) in [
            ("https://host.test/a/registry.json", "https://host.test/a/m/w.bin"),
            ("https://host.test/a/registry.json?key=1/2#x", "https://host.test/a/m/w.bin?key=1/2"),
        ] {
            assert_eq!(file_beside(registry, "m/w.bin"), expected);
        }
    }
}
