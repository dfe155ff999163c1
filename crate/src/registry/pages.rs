//! Registries of many modules: their entries in pages, and an index of words in shards, so that a
//! search fetches a few small files and never the whole.
//!
//! The index maps terms to the numbers of the modules that have them, in ascending order of the terms,
//! cut into shards of about equal length. A term is a word of a module's texts, or what a module is
//! filtered by: `base:ID`, `rank:N`, `tag:TAG`, and `#` with the first eight digits of its id's
//! SHA-256. A shard is a JSON object of terms with ascending numbers, each but the first as the
//! difference from the one before; for a term that many modules have, with one bit for each module in
//! base64 instead, the first module in the lowest bit of the first byte.
//!
//! The files of pages and shards are listed in `registry.json`, with their lengths and hashes. Where
//! there are many, that would be most of what it takes to open a registry: they are in lists then,
//! which are files too.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Registry, RegistryError, RegistryFile, RegistryModule, invalid, not_json};
use crate::formats::budget::at_most;
use crate::formats::sha256_hex;

/// Modules of a page: some five kilobytes, so that twenty results on twenty pages are a hundred.
pub const PAGE_MODULES: usize = 8;
/// Number of modules from which a registry is written as pages.
pub const MANY_MODULES: usize = 500;
/// Maximum number of modules of a registry.
const MAX_MODULES: u32 = 1 << 20;
/// Length of a shard of the index, about, unless it has a single term.
const SHARD_BYTES: usize = 12 << 10;
/// Files that `registry.json` lists itself; where there are more, they are in lists.
const LISTED_FILES: usize = 128;
/// Limit on the pages, shards, tags or ranks that one file lists.
const MAX_FILES: usize = 1 << 17;
/// Limit on the length of a page, shard or list of them, which is read whole.
const MAX_BESIDE_BYTES: u64 = 8 << 20;
/// Pages and shards of a list.
const LIST_PAGES: usize = 32;
const LIST_SHARDS: usize = 64;
/// Tags that are listed, the most frequent first.
const LISTED_TAGS: usize = 100;
/// The longest word that is indexed.
const MAX_WORD_BYTES: usize = 32;

/// How many modules have a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TagCount {
    /// The tag.
    pub tag: String,
    /// Modules that have it.
    pub modules: u32,
}

/// How many modules have a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RankCount {
    /// The rank.
    pub rank: u32,
    /// Modules that have it.
    pub modules: u32,
}

/// A shard of the index of terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TermShard {
    /// Its first term; the next shard's first one comes after its last.
    pub first: String,
    /// Where it is.
    pub file: RegistryFile,
}

/// The pages and the index of a registry that does not list its modules itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RegistryIndex {
    /// Modules in all.
    pub modules: u32,
    /// Modules of each page but the last.
    pub page_modules: u32,
    /// JSON lists of modules; none where `page_lists` list them.
    #[serde(deserialize_with = "at_most::<MAX_FILES, _, _>")]
    pub pages: Vec<RegistryFile>,
    /// The index of terms; empty where `term_lists` list its shards.
    #[serde(deserialize_with = "at_most::<MAX_FILES, _, _>")]
    pub terms: Vec<TermShard>,
    /// Pages of each list but the last; 0 where the pages are not in lists.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "typescript", ts(as = "Option<u32>", optional))]
    pub list_pages: u32,
    /// JSON lists of the pages' files.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "at_most::<MAX_FILES, _, _>"
    )]
    #[cfg_attr(feature = "typescript", ts(as = "Option<Vec<RegistryFile>>", optional))]
    pub page_lists: Vec<RegistryFile>,
    /// JSON lists of shards, each with the first term of its first shard.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "at_most::<MAX_FILES, _, _>"
    )]
    #[cfg_attr(feature = "typescript", ts(as = "Option<Vec<TermShard>>", optional))]
    pub term_lists: Vec<TermShard>,
    /// The most frequent tags, most frequent first.
    #[serde(deserialize_with = "at_most::<MAX_FILES, _, _>")]
    pub tags: Vec<TagCount>,
    /// All ranks, ascending.
    #[serde(deserialize_with = "at_most::<MAX_FILES, _, _>")]
    pub ranks: Vec<RankCount>,
}

/// Pages and shards by their paths beside `registry.json`.
pub type IndexFiles = Vec<(String, Vec<u8>)>;

/// Numbers of the modules that have a term, ascending.
pub(super) type Postings = BTreeMap<String, Vec<u32>>;

impl RegistryIndex {
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        if self.modules == 0 || self.modules > MAX_MODULES {
            let expected = format!("from 1 to {MAX_MODULES}");
            return Err(invalid("the modules of the index", expected, self.modules));
        }
        if self.page_modules == 0 {
            return Err(invalid("the page_modules of the index", "positive".into(), 0));
        }
        let pages = self.page_count();
        let (files, count) = match &self.page_lists[..] {
            [] => (&self.pages, pages),
            _ if !self.pages.is_empty() => {
                let what = "the pages of the index";
                return Err(invalid(what, "in it or in lists, not both".into(), self.pages.len()));
            }
            _ if self.list_pages == 0 => {
                return Err(invalid("the list_pages of the index", "positive".into(), 0));
            }
            _ => (&self.page_lists, pages.div_ceil(self.list_pages as usize)),
        };
        if files.len() != count {
            let expected = format!("{count} for {} modules", self.modules);
            return Err(invalid("the pages of the index", expected, files.len()));
        }
        for (number, page) in files.iter().enumerate() {
            check_beside(&format!("page {}", number + 1), page)?;
        }
        match (self.terms.is_empty(), self.term_lists.is_empty()) {
            (true, true) => {
                Err(invalid("the terms of the index", "at least one shard".into(), "none"))
            }
            (false, false) => {
                let what = "the terms of the index";
                Err(invalid(what, "in it or in lists, not both".into(), self.terms.len()))
            }
            _ => check_shards(self.terms.iter().chain(&self.term_lists)),
        }?;
        let mut paths = BTreeSet::new();
        self.files().try_for_each(|file| add_path(&mut paths, file))
    }

    /// The files of pages, shards, and lists of them.
    pub(super) fn files(&self) -> impl Iterator<Item = &RegistryFile> {
        let shards = self.terms.iter().chain(&self.term_lists).map(|shard| &shard.file);
        self.pages.iter().chain(&self.page_lists).chain(shards)
    }

    /// Number of pages.
    pub(super) fn page_count(&self) -> usize {
        self.modules.div_ceil(self.page_modules) as usize
    }

    /// Reads list `list` of pages.
    pub(super) fn parse_page_list(
        &self,
        list: usize,
        bytes: &[u8],
    ) -> Result<Vec<RegistryFile>, RegistryError> {
        let files: Vec<RegistryFile> = serde_json::from_slice(bytes).map_err(not_json)?;
        let first = list * self.list_pages as usize;
        let count = (self.page_count() - first).min(self.list_pages as usize);
        if files.len() != count {
            let what = format!("the length of list {} of the pages", list + 1);
            return Err(invalid(&what, format!("{count} pages"), files.len()));
        }
        for (number, page) in files.iter().enumerate() {
            check_beside(&format!("page {}", first + number + 1), page)?;
        }
        Ok(files)
    }

    /// Reads list `list` of shards.
    pub(super) fn parse_term_list(
        &self,
        list: usize,
        bytes: &[u8],
    ) -> Result<Vec<TermShard>, RegistryError> {
        let shards: Vec<TermShard> = serde_json::from_slice(bytes).map_err(not_json)?;
        check_shards(&shards)?;
        let listed = &self.term_lists[list];
        let first = shards.first().map(|shard| &shard.first);
        if first != Some(&listed.first) {
            let what = format!("the first term of {}", listed.file.path);
            let found = first.cloned().unwrap_or_default();
            return Err(invalid(&what, listed.first.clone(), found));
        }
        match (shards.last(), self.term_lists.get(list + 1)) {
            (Some(last), Some(next)) if last.first >= next.first => {
                let what = format!("the last shard of {}", listed.file.path);
                Err(invalid(&what, format!("before {:?}", next.first), &last.first))
            }
            _ => Ok(shards),
        }
    }

    /// Modules of page `page`.
    fn len_of_page(&self, page: usize) -> usize {
        let first = page * self.page_modules as usize;
        (self.modules as usize - first).min(self.page_modules as usize)
    }

    /// Reads a page.
    pub(super) fn parse_page(
        &self,
        page: usize,
        bytes: &[u8],
        bases: &BTreeSet<&str>,
    ) -> Result<Vec<RegistryModule>, RegistryError> {
        let modules: Vec<RegistryModule> = serde_json::from_slice(bytes).map_err(not_json)?;
        if modules.len() != self.len_of_page(page) {
            let what = format!("the length of page {}", page + 1);
            let expected = format!("{} modules", self.len_of_page(page));
            return Err(invalid(&what, expected, modules.len()));
        }
        modules.iter().try_for_each(|module| module.check(bases))?;
        Ok(modules)
    }

    /// Reads a shard of the index of terms.
    pub(super) fn parse_terms(&self, bytes: &[u8]) -> Result<Postings, RegistryError> {
        let stored: BTreeMap<String, Stored> = serde_json::from_slice(bytes).map_err(not_json)?;
        let numbers = |(term, stored): (String, Stored)| {
            let numbers = stored.numbers(self.modules).map_err(|found| {
                let what = format!("the modules of the term {term:?}");
                invalid(&what, format!("ascending and below {}", self.modules), found)
            })?;
            Ok((term, numbers))
        };
        stored.into_iter().map(numbers).collect()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The modules of a term as a shard has them.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    /// The first number, and the difference of each other from the one before.
    Steps(Vec<u32>),
    /// One bit for each module, in base64.
    Bits(String),
}

impl Stored {
    /// The shorter way to write ascending numbers below `modules`.
    fn new(numbers: &[u32], modules: u32) -> Self {
        let mut last = 0;
        let steps: Vec<u32> =
            numbers.iter().map(|&number| number - std::mem::replace(&mut last, number)).collect();
        let steps = Self::Steps(steps);
        let bytes = (modules as usize).div_ceil(8);
        if steps.bytes() <= bytes.div_ceil(3) * 4 {
            return steps;
        }
        let mut bits = vec![0u8; bytes];
        for &number in numbers {
            bits[number as usize / 8] |= 1 << (number % 8);
        }
        Self::Bits(STANDARD.encode(bits))
    }

    /// About how long it is in JSON.
    fn bytes(&self) -> usize {
        match self {
            Self::Steps(steps) => steps.iter().map(|step| step.to_string().len() + 1).sum(),
            Self::Bits(bits) => bits.len(),
        }
    }

    /// The numbers; or what is not below `modules`, or not ascending.
    fn numbers(self, modules: u32) -> Result<Vec<u32>, String> {
        match self {
            Self::Steps(mut numbers) => {
                let mut last = 0;
                for (place, number) in numbers.iter_mut().enumerate() {
                    let found = last + u64::from(*number);
                    if found >= u64::from(modules) || (place > 0 && *number == 0) {
                        return Err(found.to_string());
                    }
                    last = found;
                    *number = found as u32;
                }
                Ok(numbers)
            }
            Self::Bits(text) => {
                let expected = (modules as usize).div_ceil(8);
                let bytes = STANDARD.decode(&text).ok().filter(|bytes| bytes.len() == expected);
                let bytes = bytes.ok_or_else(|| format!("{} characters", text.len()))?;
                let is_set = |number: &u32| bytes[*number as usize / 8] >> (number % 8) & 1 == 1;
                match (modules..bytes.len() as u32 * 8).find(is_set) {
                    Some(beyond) => Err(beyond.to_string()),
                    None => Ok((0..modules).filter(is_set).collect()),
                }
            }
        }
    }
}

/// Checks the files of shards, and that their terms ascend.
fn check_shards<'s>(shards: impl IntoIterator<Item = &'s TermShard>) -> Result<(), RegistryError> {
    let mut last: Option<&str> = None;
    for (number, shard) in shards.into_iter().enumerate() {
        check_beside(&format!("shard {} of the terms", number + 1), &shard.file)?;
        if let Some(last) = last.filter(|last| *last >= &*shard.first) {
            let expected = format!("after {last:?}");
            return Err(invalid("the first term of a shard", expected, &shard.first));
        }
        last = Some(&shard.first);
    }
    Ok(())
}

/// Checks the entry of a file that has to be beside the registry.
fn check_beside(what: &str, file: &RegistryFile) -> Result<(), RegistryError> {
    if file.on_hub().is_some() {
        return Err(invalid(
            &format!("the path of {what}"),
            "beside the registry".into(),
            &file.path,
        ));
    }
    if file.bytes > MAX_BESIDE_BYTES {
        let expected = format!("at most {MAX_BESIDE_BYTES}");
        return Err(invalid(&format!("the bytes of {what}"), expected, file.bytes));
    }
    file.check(what)
}

/// Adds the path of a page, shard or list to those that are known. A search asks for files by their paths, without
/// end if two of them had one.
///
/// # Errors
/// [`RegistryError::Invalid`] for a path that is known.
pub(super) fn add_path(
    paths: &mut BTreeSet<String>,
    file: &RegistryFile,
) -> Result<(), RegistryError> {
    if paths.insert(file.path.clone()) {
        return Ok(());
    }
    let what = "the path of each file of the index";
    Err(invalid(what, "used once".into(), format!("{} twice", file.path)))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// The words of a text, in lower case.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty() && word.len() <= MAX_WORD_BYTES)
        .map(str::to_lowercase)
}

/// The term of a module's id.
pub(super) fn id_term(id: &str) -> String {
    format!("#{}", &sha256_hex(id.as_bytes())[..8])
}

/// The terms of one module.
fn terms(module: &RegistryModule) -> BTreeSet<String> {
    let RegistryModule { id, title, task, example, base, rank, tags, .. } = module;
    let mut terms: BTreeSet<String> =
        [id, title, task].into_iter().flat_map(|t| words(t)).collect();
    if let Some(example) = example {
        terms.extend(words(&example.input).chain(words(&example.output)));
    }
    terms.extend([id_term(id), format!("base:{base}"), format!("rank:{rank}")]);
    for tag in tags {
        terms.extend(words(tag));
        terms.insert(format!("tag:{tag}"));
    }
    terms
}

/// The index of all terms of modules.
pub(super) fn postings(modules: &[RegistryModule]) -> Postings {
    let mut postings = Postings::new();
    for (number, module) in (0..).zip(modules) {
        for term in terms(module) {
            postings.entry(term).or_default().push(number);
        }
    }
    postings
}

/// How often each tag and rank occurs, by the index of all terms.
pub(super) fn counts(postings: &Postings) -> (Vec<TagCount>, Vec<RankCount>) {
    let of = |prefix: &'static str| {
        let terms = postings.range(prefix.to_owned()..).map_while(move |(term, numbers)| {
            Some((term.strip_prefix(prefix)?.to_owned(), numbers.len() as u32))
        });
        terms.collect::<Vec<_>>()
    };
    let mut tags: Vec<TagCount> =
        of("tag:").into_iter().map(|(tag, modules)| TagCount { tag, modules }).collect();
    tags.sort_by(|a, b| b.modules.cmp(&a.modules).then_with(|| a.tag.cmp(&b.tag)));
    tags.truncate(LISTED_TAGS);
    let mut ranks: Vec<RankCount> = (of("rank:").into_iter())
        .filter_map(|(rank, modules)| Some(RankCount { rank: rank.parse().ok()?, modules }))
        .collect();
    ranks.sort_by_key(|count| count.rank);
    (tags, ranks)
}

/// Moves the modules of a registry into pages with an index, and returns the files to write beside
/// `registry.json`, by their paths. Modules of similar tags and titles share pages, so that a search
/// reads few of them.
///
/// # Errors
/// [`RegistryError::Invalid`] for a registry that is none, or has no modules.
pub fn into_pages(
    registry: &Registry,
    page_modules: usize,
) -> Result<(Registry, IndexFiles), RegistryError> {
    registry.check()?;
    let mut modules = registry.modules.clone();
    modules.sort_by(|a, b| (&a.tags, &a.title, &a.id).cmp(&(&b.tags, &b.title, &b.id)));
    let mut files = Vec::new();
    let mut put = |path: String, bytes: Vec<u8>| {
        let file = RegistryFile::of_contents(path.clone(), &bytes);
        files.push((path, bytes));
        file
    };
    let mut pages: Vec<RegistryFile> = (modules.chunks(page_modules.max(1)).enumerate())
        .map(|(number, page)| put(format!("pages/{number}.json"), json(&page)))
        .collect();
    let postings = postings(&modules);
    let (tags, ranks) = counts(&postings);
    let count = modules.len() as u32;
    let mut shards: Vec<BTreeMap<&str, Stored>> = Vec::new();
    let mut bytes = 0;
    for (term, numbers) in &postings {
        let stored = Stored::new(numbers, count);
        let added = term.len() + stored.bytes();
        match shards.last_mut() {
            Some(shard) if bytes + added <= SHARD_BYTES => {
                bytes += added;
                shard.insert(term, stored);
            }
            _ => {
                bytes = added;
                shards.push(BTreeMap::from([(term.as_str(), stored)]));
            }
        }
    }
    let mut terms: Vec<TermShard> = (shards.iter().enumerate())
        .map(|(number, shard)| TermShard {
            first: shard.keys().next().copied().unwrap_or_default().into(),
            file: put(format!("terms/{number}.json"), json(shard)),
        })
        .collect();
    let (mut list_pages, mut page_lists, mut term_lists) = (0, Vec::new(), Vec::new());
    if pages.len() + terms.len() > LISTED_FILES {
        list_pages = LIST_PAGES as u32;
        for (number, list) in pages.chunks(LIST_PAGES).enumerate() {
            page_lists.push(put(format!("pages/list-{number}.json"), json(&list)));
        }
        for (number, list) in terms.chunks(LIST_SHARDS).enumerate() {
            let file = put(format!("terms/list-{number}.json"), json(&list));
            term_lists.push(TermShard { first: list[0].first.clone(), file });
        }
        (pages, terms) = (Vec::new(), Vec::new());
    }
    let index = RegistryIndex {
        modules: count,
        page_modules: page_modules.max(1) as u32,
        pages,
        terms,
        list_pages,
        page_lists,
        term_lists,
        tags,
        ranks,
    };
    index.check()?;
    let paged = Registry { modules: Vec::new(), index: Some(index), ..registry.clone() };
    Ok((paged, files))
}

impl Registry {
    /// The registry with every module in its list, read from its pages if it has any. The index of
    /// terms is read too, and has to be that of the modules.
    ///
    /// # Errors
    /// The error of `read`, or a [`RegistryError`] if a page or the index is not valid.
    pub fn listed<E: From<RegistryError>>(
        mut self,
        mut read: impl FnMut(&RegistryFile) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let Some(index) = self.index.take() else { return Ok(self) };
        let bases = self.bases.iter().map(|base| base.id.as_str()).collect();
        let mut pages = index.pages.clone();
        for (number, list) in index.page_lists.iter().enumerate() {
            pages.extend(index.parse_page_list(number, &read(list)?)?);
        }
        for (number, page) in pages.iter().enumerate() {
            self.modules.extend(index.parse_page(number, &read(page)?, &bases)?);
        }
        self.check()?;
        let mut shards = index.terms.clone();
        for (number, list) in index.term_lists.iter().enumerate() {
            shards.extend(index.parse_term_list(number, &read(&list.file)?)?);
        }
        let mut found = Postings::new();
        for shard in &shards {
            let postings = index.parse_terms(&read(&shard.file)?)?;
            if postings.keys().next() != Some(&shard.first) {
                let what = format!("the first term of {}", shard.file.path);
                let first = postings.keys().next().cloned().unwrap_or_default();
                return Err(invalid(&what, shard.first.clone(), first).into());
            }
            found.extend(postings);
        }
        let expected = postings(&self.modules);
        match expected.iter().find(|(term, numbers)| found.get(*term) != Some(numbers)) {
            None if found.len() == expected.len() => Ok(self),
            None => {
                let what = "the terms of the index";
                Err(invalid(what, format!("{} of them", expected.len()), found.len()).into())
            }
            Some((term, numbers)) => {
                let what = format!("the modules of the term {term:?}");
                let found = found.get(term).map_or(0, Vec::len);
                let expected = format!("the {} that have it", numbers.len());
                Err(invalid(&what, expected, format!("{found} or others")).into())
            }
        }
    }
}
