//! Finding modules: by words, tags and rank, by what they share with examples, and by their ids.
//!
//! A [`ModuleSearch`] returns a result, or the registry's files that it needs first: the caller fetches
//! those, passes them to [`ModuleSearch::take`] and calls again. A registry that lists its modules
//! itself needs none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::pages::{Postings, counts, id_term, postings, words};
use super::{
    RankCount, Registry, RegistryError, RegistryFile, RegistryIndex, RegistryModule, TagCount,
    Verifier, invalid,
};
use crate::formats::Example;

/// The shortest word that also finds longer words that start with it.
const PREFIX_CHARS: usize = 2;
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
    /// Of each shard of the index.
    shards: Vec<Option<Postings>>,
    /// Of each page.
    pages: Vec<Option<Vec<RegistryModule>>>,
}

impl ModuleSearch {
    /// A search over a registry that was checked.
    pub fn new(registry: &Registry) -> Self {
        let bases = registry.bases.iter().map(|base| base.id.clone()).collect();
        if let Some(index) = &registry.index {
            let (shards, pages) = (vec![None; index.terms.len()], vec![None; index.pages.len()]);
            return Self { bases, index: index.clone(), shards, pages };
        }
        // One page and one shard, both loaded.
        let modules = registry.modules.len() as u32;
        let postings = postings(&registry.modules);
        let (tags, ranks) = counts(&postings);
        let (pages, terms) = (Vec::new(), Vec::new());
        let index =
            RegistryIndex { modules, page_modules: modules.max(1), pages, terms, tags, ranks };
        let (shards, pages) = (vec![Some(postings)], vec![Some(registry.modules.clone())]);
        Self { bases, index, shards, pages }
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
        if let Some(page) = index.pages.iter().position(|file| file.path == path) {
            verify(&index.pages[page])?;
            let bases = self.bases.iter().map(String::as_str).collect();
            self.pages[page] = Some(index.parse_page(page, bytes, &bases)?);
        } else if let Some(shard) = index.terms.iter().position(|shard| shard.file.path == path) {
            verify(&index.terms[shard].file)?;
            self.shards[shard] = Some(index.parse_terms(bytes)?);
        } else {
            return Err(invalid("the file", "a page or shard of the index".into(), path));
        }
        Ok(())
    }

    /// The modules that match a query, best first: those whose words are rarest, in the registry's
    /// order where equal.
    pub fn search(&self, query: &ModuleQuery) -> Lookup<FoundModules> {
        let query_words: Vec<String> = words(&query.text).collect();
        let filters: Vec<String> = (query.tags.iter().map(|tag| format!("tag:{tag}")))
            .chain(query.rank.map(|rank| format!("rank:{rank}")))
            .chain(query.base.as_ref().map(|base| format!("base:{base}")))
            .collect();
        let mut needed = Needed::default();
        for filter in &filters {
            self.need_term(filter, false, &mut needed);
        }
        for word in &query_words {
            self.need_term(word, true, &mut needed);
        }
        if !needed.shards.is_empty() {
            return Lookup::Missing(self.files(&needed));
        }
        let mut scores: BTreeMap<u32, f64> = (0..self.index.modules).map(|n| (n, 0.0)).collect();
        for filter in &filters {
            let kept: BTreeSet<u32> = self.numbers(filter).iter().copied().collect();
            scores.retain(|number, _| kept.contains(number));
        }
        for word in &query_words {
            let found = self.score_word(word);
            scores.retain(|number, _| found.contains_key(number));
            for (number, score) in &mut scores {
                *score += found[number];
            }
        }
        let ranked = best_first(scores);
        let range = ranked.iter().skip(query.offset as usize).take(query.limit as usize);
        match self.entries(range.copied()) {
            Lookup::Missing(files) => Lookup::Missing(files),
            Lookup::Found(modules) => Lookup::Found(FoundModules {
                total: ranked.len() as u32,
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
        let filter = format!("base:{base}");
        let texts = examples.iter().flat_map(|example| [&example.input, &example.output]);
        let query_words: BTreeSet<String> = texts.flat_map(|text| words(text)).collect();
        let mut query_words: Vec<String> = query_words.into_iter().collect();
        query_words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
        query_words.truncate(EXAMPLE_WORDS);
        let mut needed = Needed::default();
        self.need_term(&filter, false, &mut needed);
        for word in &query_words {
            self.need_term(word, false, &mut needed);
        }
        if !needed.shards.is_empty() {
            return Lookup::Missing(self.files(&needed));
        }
        let of_base = self.numbers(&filter);
        let whole = of_base.len() <= limit;
        let mut scores: BTreeMap<u32, f64> = of_base.iter().map(|&number| (number, 0.0)).collect();
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
        let mut ranked = best_first(scores);
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
        if !needed.shards.is_empty() {
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

    /// The shard whose range contains a term.
    fn shard_of(&self, term: &str) -> usize {
        self.index.terms.partition_point(|shard| *shard.first <= *term).saturating_sub(1)
    }

    /// The shards of a term, and of the terms that start with it.
    fn shards_of(&self, term: &str, prefix: bool) -> std::ops::RangeInclusive<usize> {
        let first = self.shard_of(term);
        let starts = |shard: &&super::TermShard| shard.first.starts_with(term);
        let more = self.index.terms.iter().skip(first + 1).take_while(starts).count();
        first..=first + if prefix && is_prefix(term) { more } else { 0 }
    }

    fn need_term(&self, term: &str, prefix: bool, needed: &mut Needed) {
        let missing = |shard: &usize| self.shards[*shard].is_none();
        needed.shards.extend(self.shards_of(term, prefix).filter(missing));
    }

    fn files(&self, needed: &Needed) -> Vec<RegistryFile> {
        let shards = needed.shards.iter().map(|&shard| self.index.terms[shard].file.clone());
        shards.chain(needed.pages.iter().map(|&page| self.index.pages[page].clone())).collect()
    }

    /// The modules that have a term; none if its shard is missing.
    fn numbers(&self, term: &str) -> &[u32] {
        let shard = self.shards[self.shard_of(term)].as_ref();
        shard.and_then(|shard| shard.get(term)).map_or(&[], Vec::as_slice)
    }

    /// The score of a word that so many modules have: the rarer, the higher.
    fn rarity(&self, modules: usize) -> f64 {
        (f64::from(self.index.modules) / modules.max(1) as f64).ln()
    }

    /// The modules that have a word, or a longer one that starts with it, which counts half.
    fn score_word(&self, word: &str) -> BTreeMap<u32, f64> {
        let mut scores = BTreeMap::new();
        for shard in self.shards_of(word, true) {
            let Some(postings) = &self.shards[shard] else { continue };
            let terms = postings.range(word.to_owned()..);
            let terms = terms.take_while(|(term, _)| {
                *term == word || (is_prefix(word) && term.starts_with(word))
            });
            for (term, numbers) in terms {
                let share = if term == word { 1.0 } else { 0.5 };
                let worth = share * self.rarity(numbers.len());
                for &number in numbers {
                    let score: &mut f64 = scores.entry(number).or_default();
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
                None => {
                    needed.pages.insert(page as usize);
                }
            }
        }
        if needed.pages.is_empty() {
            Lookup::Found(modules)
        } else {
            Lookup::Missing(self.files(&needed))
        }
    }
}

/// Shards and pages that are missing.
#[derive(Default)]
struct Needed {
    shards: BTreeSet<usize>,
    pages: BTreeSet<usize>,
}

fn is_prefix(word: &str) -> bool {
    word.chars().nth(PREFIX_CHARS - 1).is_some()
}

fn best_first(scores: BTreeMap<u32, f64>) -> Vec<u32> {
    let mut ranked: Vec<(u32, f64)> = scores.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.into_iter().map(|(number, _)| number).collect()
}
