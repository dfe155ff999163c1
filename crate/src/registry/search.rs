//! Finding modules: by words, tags and rank, by what they share with examples, and by their ids.
//!
//! A [`ModuleSearch`] returns a result, or the registry's files that it needs first: the caller fetches
//! those, passes them to [`ModuleSearch::take`] and calls again. A registry that lists its modules
//! itself needs none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use serde::{Deserialize, Serialize};

use super::pages::{Postings, add_path, counts, id_term, postings, words};
use super::{
    RankCount, Registry, RegistryError, RegistryFile, RegistryIndex, RegistryModule, TagCount,
    TermShard, Verifier, invalid,
};
use crate::formats::Example;

/// The shortest word that also finds longer words that start with it.
const PREFIX_CHARS: usize = 2;
/// Shards that are looked at for longer words, after the one of the word itself: an index of many modules
/// has hundreds of shards, and the first letters of a word may be those of every tenth term.
const COMPLETION_SHARDS: usize = 6;
/// Words of the examples that are looked up, the longest first: they are the rarest, and each may
/// take another shard of the index.
const EXAMPLE_WORDS: usize = 16;

/// What to look for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", default)]
pub struct ModuleQuery {
    /// Words of the title, the task, the example, the tags or the id; each has to occur, or a longer
    /// word that starts with it.
    pub text: String,
    /// Tags; a module needs each of them.
    pub tags: Vec<String>,
    /// The rank; any where null.
    pub rank: Option<u32>,
    /// Id of the base; any where null.
    pub base: Option<String>,
    /// Number of modules to skip, best first.
    pub offset: u32,
    /// Maximum number of modules to return.
    pub limit: u32,
}

/// The result of a [`ModuleQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct FoundModules {
    /// Number of modules that match.
    pub total: u32,
    /// Whether more modules may match: those of longer words that start with a word of the query and were
    /// not looked at, because there are very many.
    pub more: bool,
    /// The modules from the query's offset on, best first.
    pub modules: Vec<RegistryModule>,
    /// The library's most frequent tags, most frequent first.
    pub tags: Vec<TagCount>,
    /// The library's ranks, ascending.
    pub ranks: Vec<RankCount>,
}

/// A module that may suit some examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Candidate {
    /// The module.
    pub module: RegistryModule,
    /// Words that it shares with the examples, rarest first.
    pub words: Vec<String>,
}

/// The result of a lookup, or the files that it needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Lookup<T> {
    /// The result.
    Found(T),
    /// Files of the registry to pass to [`ModuleSearch::take`] before calling again.
    Missing(Vec<RegistryFile>),
}

/// A search over the modules of a registry, of which pages may be missing.
#[derive(Debug, Clone)]
pub struct ModuleSearch {
    bases: BTreeSet<String>,
    index: RegistryIndex,
    /// By the first term of each, those of lists once these are loaded.
    shards: BTreeMap<String, Shard>,
    /// Whether each list of shards is loaded.
    term_lists: Vec<bool>,
    /// The files of the pages, those of lists once these are loaded.
    page_files: Vec<Option<RegistryFile>>,
    /// The paths of all files that are known, each of which is used once.
    paths: BTreeSet<String>,
    /// Of each page.
    pages: Vec<Option<Vec<RegistryModule>>>,
}

/// A shard of the index, which may be missing.
#[derive(Debug, Clone)]
struct Shard {
    /// None for the one of a registry that lists its modules itself.
    file: Option<RegistryFile>,
    postings: Option<Postings>,
}

impl From<TermShard> for (String, Shard) {
    fn from(TermShard { first, file }: TermShard) -> Self {
        (first, Shard { file: Some(file), postings: None })
    }
}

impl ModuleSearch {
    /// A search over a registry that was checked.
    pub fn new(registry: &Registry) -> Self {
        let bases = registry.bases.iter().map(|base| base.id.clone()).collect();
        if let Some(index) = registry.index.clone() {
            let shards = index.terms.iter().cloned().map(TermShard::into).collect();
            let term_lists = vec![false; index.term_lists.len()];
            let mut page_files: Vec<_> = index.pages.iter().cloned().map(Some).collect();
            page_files.resize(index.page_count(), None);
            let pages = vec![None; page_files.len()];
            let paths = index.files().map(|file| file.path.clone()).collect();
            return Self { bases, index, shards, term_lists, page_files, paths, pages };
        }
        // One page and one shard, both loaded.
        let modules = registry.modules.len() as u32;
        let postings = postings(&registry.modules);
        let (tags, ranks) = counts(&postings);
        let index = RegistryIndex {
            modules,
            page_modules: modules.max(1),
            tags,
            ranks,
            ..RegistryIndex::default()
        };
        let shards =
            BTreeMap::from([(String::new(), Shard { file: None, postings: Some(postings) })]);
        let (page_files, pages) = (vec![None], vec![Some(registry.modules.clone())]);
        let (term_lists, paths) = Default::default();
        Self { bases, index, shards, term_lists, page_files, paths, pages }
    }

    /// Whether every page is loaded.
    pub fn is_whole(&self) -> bool {
        self.pages.iter().all(Option::is_some)
    }

    /// Total number of modules.
    pub fn modules(&self) -> u32 {
        self.index.modules
    }

    /// Adds a file that was missing.
    ///
    /// # Errors
    /// A [`RegistryError`] if it is not the file that the registry names, or not valid.
    pub fn take(&mut self, path: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let verify = |file: &RegistryFile| {
            let mut verifier = Verifier::new(file);
            verifier.update(bytes)?;
            verifier.finish()
        };
        let index = &self.index;
        let list = index.page_lists.iter().position(|file| file.path == path);
        if let Some(list) = list {
            verify(&index.page_lists[list])?;
            let files = index.parse_page_list(list, bytes)?;
            let first = list * index.list_pages as usize;
            if self.page_files[first].is_none() {
                files.iter().try_for_each(|file| add_path(&mut self.paths, file))?;
            }
            for (place, file) in self.page_files[first..].iter_mut().zip(files) {
                *place = Some(file);
            }
            return Ok(());
        }
        let list = index.term_lists.iter().position(|list| list.file.path == path);
        if let Some(list) = list {
            verify(&index.term_lists[list].file)?;
            let shards = index.parse_term_list(list, bytes)?;
            if !self.term_lists[list] {
                let mut files = shards.iter().map(|shard| &shard.file);
                files.try_for_each(|file| add_path(&mut self.paths, file))?;
            }
            // What is loaded stays.
            for (first, shard) in shards.into_iter().map(TermShard::into) {
                self.shards.entry(first).or_insert(shard);
            }
            self.term_lists[list] = true;
            return Ok(());
        }
        let is_page =
            |file: &Option<RegistryFile>| file.as_ref().is_some_and(|file| file.path == path);
        if let Some(page) = self.page_files.iter().position(is_page) {
            if let Some(file) = &self.page_files[page] {
                verify(file)?;
            }
            let bases = self.bases.iter().map(String::as_str).collect();
            self.pages[page] = Some(index.parse_page(page, bytes, &bases)?);
            return Ok(());
        }
        for shard in self.shards.values_mut() {
            if let Some(file) = shard.file.as_ref().filter(|file| file.path == path) {
                verify(file)?;
                shard.postings = Some(index.parse_terms(bytes)?);
                return Ok(());
            }
        }
        Err(invalid("the file", "a page, shard or list of the index".into(), path))
    }

    /// The modules that match a query, best first: those whose words are rarest, in the registry's
    /// order where equal.
    pub fn search(&self, query: &ModuleQuery) -> Lookup<FoundModules> {
        let query_words: Vec<String> = words(&query.text).collect();
        let filters: Vec<String> = (query.tags.iter().map(|tag| format!("tag:{tag}")))
            .chain(query.rank.map(|rank| format!("rank:{rank}")))
            .chain(query.base.as_ref().and_then(|base| self.base_filter(base)))
            .collect();
        let mut needed = Needed::default();
        for filter in &filters {
            self.need_term(filter, false, &mut needed);
        }
        for word in &query_words {
            self.need_term(word, true, &mut needed);
        }
        if !needed.is_empty() {
            return Lookup::Missing(self.files(&needed));
        }
        // Of each module; those that do not match are at minus infinity.
        let mut scores = vec![0.0; self.index.modules as usize];
        for filter in &filters {
            let mut kept = vec![f64::NEG_INFINITY; scores.len()];
            self.numbers(filter).iter().for_each(|&number| kept[number as usize] = 0.0);
            scores.iter_mut().zip(kept).for_each(|(score, kept)| *score += kept);
        }
        for word in &query_words {
            let found = self.score_word(word);
            scores.iter_mut().zip(found).for_each(|(score, found)| *score += found);
        }
        let scores = (0..).zip(scores).filter(|(_, score)| score.is_finite());
        let more = query_words.iter().any(|word| self.has_more(word));
        let ranked = best_first(scores.collect());
        let range = ranked.iter().skip(query.offset as usize).take(query.limit as usize);
        match self.entries(range.copied()) {
            Lookup::Missing(files) => Lookup::Missing(files),
            Lookup::Found(modules) => Lookup::Found(FoundModules {
                total: ranked.len() as u32,
                more,
                modules,
                tags: self.index.tags.clone(),
                ranks: self.index.ranks.clone(),
            }),
        }
    }

    /// The modules of a base that share the rarest words with some examples, at most `limit` of them;
    /// where the base has no more than that, all of them.
    pub fn candidates(
        &self,
        examples: &[Example],
        base: &str,
        limit: usize,
    ) -> Lookup<Vec<Candidate>> {
        let filter = self.base_filter(base);
        let texts = examples.iter().flat_map(|example| [&example.input, &example.output]);
        let query_words: BTreeSet<String> = texts.flat_map(|text| words(text)).collect();
        let mut query_words: Vec<String> = query_words.into_iter().collect();
        query_words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
        query_words.truncate(EXAMPLE_WORDS);
        let mut needed = Needed::default();
        for term in filter.iter().chain(&query_words) {
            self.need_term(term, false, &mut needed);
        }
        if !needed.is_empty() {
            return Lookup::Missing(self.files(&needed));
        }
        let mut scores: BTreeMap<u32, f64> = match &filter {
            None => (0..self.index.modules).map(|number| (number, 0.0)).collect(),
            Some(filter) => self.numbers(filter).iter().map(|&number| (number, 0.0)).collect(),
        };
        let whole = scores.len() <= limit;
        let mut shared: BTreeMap<u32, Vec<(f64, &str)>> = BTreeMap::new();
        for word in &query_words {
            let numbers = self.numbers(word);
            let rarity = self.rarity(numbers.len());
            for &number in numbers {
                if let Some(score) = scores.get_mut(&number) {
                    *score += rarity;
                    shared.entry(number).or_default().push((rarity, word));
                }
            }
        }
        scores.retain(|_, score| whole || *score > 0.0);
        let mut ranked = best_first(scores.into_iter().collect());
        ranked.truncate(limit);
        let modules = match self.entries(ranked.iter().copied()) {
            Lookup::Missing(files) => return Lookup::Missing(files),
            Lookup::Found(modules) => modules,
        };
        let candidates = modules.into_iter().zip(ranked).map(|(module, number)| {
            let mut words = shared.remove(&number).unwrap_or_default();
            words.sort_by(|a, b| b.0.total_cmp(&a.0));
            Candidate { module, words: words.into_iter().map(|(_, word)| word.into()).collect() }
        });
        Lookup::Found(candidates.collect())
    }

    /// The modules of these ids, in their order; ids that are not in the registry are skipped.
    pub fn of_ids(&self, ids: &[String]) -> Lookup<Vec<RegistryModule>> {
        let terms: Vec<String> = ids.iter().map(|id| id_term(id)).collect();
        let mut needed = Needed::default();
        for term in &terms {
            self.need_term(term, false, &mut needed);
        }
        if !needed.is_empty() {
            return Lookup::Missing(self.files(&needed));
        }
        let numbers = terms.iter().flat_map(|term| self.numbers(term).iter().copied());
        match self.entries(numbers) {
            Lookup::Missing(files) => Lookup::Missing(files),
            Lookup::Found(found) => Lookup::Found(
                ids.iter().filter_map(|id| found.iter().find(|m| m.id == *id).cloned()).collect(),
            ),
        }
    }

    /// The term that the modules of a base have; none where it is the only base.
    fn base_filter(&self, base: &str) -> Option<String> {
        let only = self.bases.len() == 1 && self.bases.contains(base);
        (!only).then(|| format!("base:{base}"))
    }

    /// The first term of the shard whose range contains a term.
    fn shard_of(&self, term: &str) -> Option<&String> {
        let before = self.shards.range::<str, _>((Unbounded, Included(term))).next_back();
        before.or_else(|| self.shards.first_key_value()).map(|(first, _)| first)
    }

    /// The first terms of the shards after that of a word with longer words that start with it.
    fn completions<'s>(&'s self, word: &'s str) -> impl Iterator<Item = &'s String> {
        let first = self.shard_of(word).filter(|_| is_prefix(word));
        let after = first.map(|first| self.shards.range::<String, _>((Excluded(first), Unbounded)));
        let after = after.into_iter().flatten().map(|(first, _)| first);
        after.take_while(move |first| first.starts_with(word))
    }

    /// The first terms of the shards of a term, and of longer words that start with it.
    fn shards_of<'s>(&'s self, term: &'s str, prefix: bool) -> impl Iterator<Item = &'s String> {
        let completions = self.completions(term).take(if prefix { COMPLETION_SHARDS } else { 0 });
        self.shard_of(term).into_iter().chain(completions)
    }

    /// Whether some longer words that start with a word are not looked at.
    fn has_more(&self, word: &str) -> bool {
        self.completions(word).nth(COMPLETION_SHARDS).is_some()
    }

    fn need_term(&self, term: &str, prefix: bool, needed: &mut Needed) {
        let lists = &self.index.term_lists;
        if !lists.is_empty() {
            let first = lists.partition_point(|list| *list.first <= *term).saturating_sub(1);
            // A list has more shards than are looked at, so that the next one is enough.
            let next = lists.get(first + 1).filter(|next| prefix && next.first.starts_with(term));
            let last = first + usize::from(next.is_some());
            let missing = (first..=last).filter(|&list| !self.term_lists[list]);
            let before = needed.term_lists.len();
            needed.term_lists.extend(missing);
            if needed.term_lists.len() > before || !self.term_lists[first] {
                return;
            }
        }
        let missing = |first: &&String| self.shards[*first].postings.is_none();
        needed.shards.extend(self.shards_of(term, prefix).filter(missing).cloned());
    }

    fn files(&self, needed: &Needed) -> Vec<RegistryFile> {
        let lists = needed.term_lists.iter().map(|&list| self.index.term_lists[list].file.clone());
        let shards = needed.shards.iter().filter_map(|first| self.shards[first].file.clone());
        let page_lists = needed.page_lists.iter().map(|&list| self.index.page_lists[list].clone());
        let pages = needed.pages.iter().filter_map(|&page| self.page_files[page].clone());
        lists.chain(shards).chain(page_lists).chain(pages).collect()
    }

    /// The modules that have a term; none if its shard is missing.
    fn numbers(&self, term: &str) -> &[u32] {
        let postings = self.shard_of(term).and_then(|first| self.shards[first].postings.as_ref());
        postings.and_then(|postings| postings.get(term)).map_or(&[], Vec::as_slice)
    }

    /// The score of a word that so many modules have: the rarer, the higher.
    fn rarity(&self, modules: usize) -> f64 {
        (f64::from(self.index.modules) / modules.max(1) as f64).ln()
    }

    /// The score of each module that has a word, or a longer one that starts with it, which counts half;
    /// minus infinity for the others.
    fn score_word(&self, word: &str) -> Vec<f64> {
        let mut scores = vec![f64::NEG_INFINITY; self.index.modules as usize];
        for shard in self.shards_of(word, true) {
            let Some(postings) = &self.shards[shard].postings else { continue };
            let terms = postings.range(word.to_owned()..);
            let terms = terms.take_while(|(term, _)| {
                *term == word || (is_prefix(word) && term.starts_with(word))
            });
            for (term, numbers) in terms {
                let share = if term == word { 1.0 } else { 0.5 };
                let worth = share * self.rarity(numbers.len());
                for &number in numbers {
                    let score = &mut scores[number as usize];
                    *score = score.max(worth);
                }
            }
        }
        scores
    }

    /// The entries of modules by their numbers.
    fn entries(&self, numbers: impl Iterator<Item = u32>) -> Lookup<Vec<RegistryModule>> {
        let mut needed = Needed::default();
        let mut modules = Vec::new();
        for number in numbers {
            let (page, place) =
                (number / self.index.page_modules, number % self.index.page_modules);
            match &self.pages[page as usize] {
                Some(page) => modules.extend(page.get(place as usize).cloned()),
                None if self.page_files[page as usize].is_none() => {
                    needed.page_lists.insert((page / self.index.list_pages) as usize);
                }
                None => {
                    needed.pages.insert(page as usize);
                }
            }
        }
        if needed.is_empty() {
            Lookup::Found(modules)
        } else {
            Lookup::Missing(self.files(&needed))
        }
    }
}

/// Shards, pages and lists of them that are missing.
#[derive(Default)]
struct Needed {
    term_lists: BTreeSet<usize>,
    /// By their first terms.
    shards: BTreeSet<String>,
    page_lists: BTreeSet<usize>,
    pages: BTreeSet<usize>,
}

impl Needed {
    fn is_empty(&self) -> bool {
        let Self { term_lists, shards, page_lists, pages } = self;
        term_lists.is_empty() && shards.is_empty() && page_lists.is_empty() && pages.is_empty()
    }
}

fn is_prefix(word: &str) -> bool {
    word.chars().nth(PREFIX_CHARS - 1).is_some()
}

/// The numbers of scored modules, best first, in their order where equal.
fn best_first(mut ranked: Vec<(u32, f64)>) -> Vec<u32> {
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.into_iter().map(|(number, _)| number).collect()
}
