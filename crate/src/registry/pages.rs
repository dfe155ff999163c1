//! Registries of many modules: their entries in pages, and an index of words in shards, so that a
//! search fetches a few small files and never the whole.
//!
//! The index maps terms to the numbers of the modules that have them, in ascending order of the terms,
//! cut into shards of about equal length. A term is a word of a module's texts, or what a module is
//! filtered by: `base:ID`, `rank:N`, `tag:TAG`, and `#` with the first eight digits of its id's
//! SHA-256. A shard is a JSON object of terms with ascending numbers, each but the first as the
//! difference from the one before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Registry, RegistryError, RegistryFile, RegistryModule, invalid, not_json};
use crate::formats::sha256_hex;

/// Modules of a page: some twenty kilobytes.
pub const PAGE_MODULES: usize = 32;
/// Number of modules from which a registry is written as pages.
pub const MANY_MODULES: usize = 500;
/// Maximum number of modules of a registry.
const MAX_MODULES: u32 = 1 << 20;
/// Length that a shard of the index is cut at.
const SHARD_BYTES: usize = 12 << 10;
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RegistryIndex {
    /// Modules in all.
    pub modules: u32,
    /// Modules of each page but the last.
    pub page_modules: u32,
    /// JSON lists of modules.
    pub pages: Vec<RegistryFile>,
    /// The index of terms.
    pub terms: Vec<TermShard>,
    /// The most frequent tags, most frequent first.
    pub tags: Vec<TagCount>,
    /// All ranks, ascending.
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
        let pages = self.modules.div_ceil(self.page_modules) as usize;
        if self.pages.len() != pages {
            let expected = format!("{pages} for {} modules", self.modules);
            return Err(invalid("the pages of the index", expected, self.pages.len()));
        }
        for (number, page) in self.pages.iter().enumerate() {
            check_beside(&format!("page {}", number + 1), page)?;
        }
        if self.terms.is_empty() {
            return Err(invalid("the terms of the index", "at least one shard".into(), "none"));
        }
        for (number, shard) in self.terms.iter().enumerate() {
            check_beside(&format!("shard {} of the terms", number + 1), &shard.file)?;
        }
        match self.terms.windows(2).find(|pair| pair[0].first >= pair[1].first) {
            None => Ok(()),
            Some(pair) => {
                let expected = format!("after {:?}", pair[0].first);
                Err(invalid("the first term of a shard", expected, &pair[1].first))
            }
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
        let mut postings: Postings = serde_json::from_slice(bytes).map_err(not_json)?;
        for (term, numbers) in &mut postings {
            let mut last = 0;
            for (place, number) in numbers.iter_mut().enumerate() {
                let found = last + u64::from(*number);
                if found >= u64::from(self.modules) || (place > 0 && *number == 0) {
                    let what = format!("the modules of the term {term:?}");
                    let expected = format!("ascending and below {}", self.modules);
                    return Err(invalid(&what, expected, found));
                }
                last = found;
                *number = found as u32;
            }
        }
        Ok(postings)
    }
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
    file.check(what)
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
    let pages = (modules.chunks(page_modules.max(1)).enumerate())
        .map(|(number, page)| put(format!("pages/{number}.json"), json(&page)))
        .collect();
    let postings = postings(&modules);
    let (tags, ranks) = counts(&postings);
    let mut shards: Vec<BTreeMap<&str, Vec<u32>>> = Vec::new();
    let mut bytes = SHARD_BYTES;
    for (term, numbers) in &postings {
        if bytes >= SHARD_BYTES {
            shards.push(BTreeMap::new());
            bytes = 0;
        }
        let mut last = 0;
        let steps: Vec<u32> =
            numbers.iter().map(|&number| number - std::mem::replace(&mut last, number)).collect();
        bytes += term.len() + steps.iter().map(|step| step.to_string().len() + 1).sum::<usize>();
        if let Some(shard) = shards.last_mut() {
            shard.insert(term, steps);
        }
    }
    let terms = (shards.iter().enumerate())
        .map(|(number, shard)| TermShard {
            first: shard.keys().next().copied().unwrap_or_default().into(),
            file: put(format!("terms/{number}.json"), json(shard)),
        })
        .collect();
    let index = RegistryIndex {
        modules: modules.len() as u32,
        page_modules: page_modules.max(1) as u32,
        pages,
        terms,
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
        for (number, page) in index.pages.iter().enumerate() {
            self.modules.extend(index.parse_page(number, &read(page)?, &bases)?);
        }
        self.check()?;
        let mut found = Postings::new();
        for shard in &index.terms {
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
