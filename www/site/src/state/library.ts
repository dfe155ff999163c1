// The library of modules: searching it, and the shortlist of modules to fetch from a large one.

import { computed, effect, signal } from "@preact/signals";
import type { Example, FoundModules, RegistryFile, RegistryModule, Suggestion } from "loraloom";
import { text } from "../text.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { readSaved, saveOnChange } from "./saved.js";
import {
  base,
  downloadOptions,
  ensureBase,
  hubUrl,
  libraryModules,
  loom,
  registry,
  registryBase,
  registryUrl,
  withLoading,
} from "./session.js";

/** The largest library that is fetched whole. */
const FETCH_LIMIT = { modules: 60, bytes: 150e6 };
/** Modules of a large library shown at first, and added by "Show more". */
const PAGE_SIZE = 24;

/** Milliseconds without a keystroke before a large library is searched. */
const DEBOUNCE_MS = 150;

/** A module to fetch, and why. */
interface ShortlistEntry {
  module: RegistryModule;
  reason: string;
}

/** The search of the library's modules. */
export const query = signal({ text: "", tag: "", rank: null as number | null });
/** How many of the found modules are shown. */
export const shown = signal(PAGE_SIZE);
/** The modules found; null before the library is read. */
export const found = signal<FoundModules | null>(null);
/** The modules to fetch from a large library. */
export const shortlist = signal<ShortlistEntry[]>(readSaved(`shortlist ${registryUrl}`) ?? []);
saveOnChange(`shortlist ${registryUrl}`, () => shortlist.value);
/** How many descriptions were compared so far; null where none are being compared. */
export const suggestProgress = signal<{ done: number; total: number } | null>(null);
/** The error of searching or suggesting. */
export const searchError = signal<ErrorText | null>(null);

/** The examples, as JSON, that the shortlist was suggested for; null where it was edited by hand. */
const suggestedFor = signal<string | null>(readSaved(`suggested for ${registryUrl}`));
saveOnChange(`suggested for ${registryUrl}`, () => suggestedFor.value);
/** Entries of modules, by id, of a library whose registry does not list them. */
const entries = signal(new Map<string, RegistryModule>());

/** The size of a file, or an estimate. */
export const fileBytes = ({ bytes, about_bytes }: RegistryFile) => bytes || (about_bytes ?? 0);

/** The address that a file of the library is beside: its registry's, or the hub's. */
export const addressOfFile = (path: string) => (path.startsWith("hub:") ? hubUrl : registryUrl);

/** Bytes to fetch for a module; 0 where unknown. */
export const moduleBytes = ({ files }: RegistryModule) =>
  fileBytes(files.config) + fileBytes(files.weights);

/** Bytes to fetch for modules. */
export const bytesOf = (modules: RegistryModule[]) =>
  modules.reduce((sum, module) => sum + moduleBytes(module), 0);

/** Bytes to fetch for the library's base. */
export const baseBytes = computed(() => {
  const files = registryBase.value?.files;
  return files
    ? fileBytes(files.config) + fileBytes(files.tokenizer) + fileBytes(files.weights)
    : 0;
});

/** The number of modules in the library. */
export const moduleCount = computed(
  () => registry.value?.index?.modules ?? libraryModules.value.length,
);

/** Whether only a shortlist of the library is fetched. */
export const isLarge = computed(
  () =>
    moduleCount.value > FETCH_LIMIT.modules ||
    libraryModules.value.length < moduleCount.value ||
    bytesOf(libraryModules.value) > FETCH_LIMIT.bytes,
);

/** The modules that learning loads: all of a small library, the shortlist of a large one. */
export const modulesToLoad = computed(() =>
  isLarge.value ? shortlist.value.map(({ module }) => module) : libraryModules.value,
);

/** The entry of a module, where it was read. */
export function entryOf(id: string): RegistryModule | undefined {
  return libraryModules.value.find((one) => one.id === id) ?? entries.value.get(id);
}

/** The title of a module, or its id. */
export const titleOf = (id: string) => entryOf(id)?.title ?? id;

/** Caches entries for {@link entryOf}. */
function cacheEntries(modules: RegistryModule[]): void {
  if (modules.every(({ id }) => entries.value.has(id))) return;
  entries.value = new Map([...entries.value, ...modules.map((one) => [one.id, one] as const)]);
}
cacheEntries(shortlist.value.map(({ module }) => module));

/** Fetches the entries of the modules that a link names. */
export async function fetchEntries(ids: string[]): Promise<void> {
  cacheEntries((await loom.value?.entries(ids).catch(() => [])) ?? []);
}

let latest = 0;
effect(() => {
  const number = ++latest;
  const engine = loom.value;
  const { text: searched, tag, rank } = query.value;
  const limit = isLarge.value ? shown.value : moduleCount.value;
  const baseId = base.value?.id ?? registryBase.value?.id ?? null;
  const delay = isLarge.value && searched ? DEBOUNCE_MS : 0;
  setTimeout(async () => {
    if (number !== latest || !engine) return;
    const tags = tag ? [tag] : [];
    try {
      const result = await engine.search({ text: searched, tags, rank, base: baseId, limit });
      if (number !== latest) return;
      found.value = { ...result, modules: namedFirst(result.modules, searched) };
      searchError.value = null;
      cacheEntries(result.modules);
    } catch (error) {
      if (number === latest) searchError.value = toErrorText(error);
    }
  }, delay);
});

/** Modules with a searched word in their title first, then those with a word that begins so. */
function namedFirst(modules: RegistryModule[], searched: string): RegistryModule[] {
  const words = searched.toLowerCase().split(/\s+/).filter(Boolean);
  const rank = ({ title }: RegistryModule) => {
    const inTitle = title.toLowerCase().split(/[^\p{L}\p{N}]+/u);
    if (words.every((word) => inTitle.includes(word))) return 0;
    return words.every((word) => inTitle.some((one) => one.startsWith(word))) ? 1 : 2;
  };
  return words.length ? [...modules].sort((a, b) => rank(a) - rank(b)) : modules;
}

/** Changes the search. */
export function searchBy(changed: Partial<typeof query.value>): void {
  shown.value = PAGE_SIZE;
  query.value = { ...query.value, ...changed };
}

/** Shows more of the found modules. */
export function showMore(): void {
  shown.value += PAGE_SIZE;
}

function setShortlist(entries: ShortlistEntry[], examples: string | null): void {
  shortlist.value = entries;
  suggestedFor.value = examples;
}

/** Adds a module to the shortlist. */
export function addToShortlist(module: RegistryModule): void {
  if (shortlist.value.some((one) => one.module.id === module.id)) return;
  setShortlist([...shortlist.value, { module, reason: text.library.addedByYou }], null);
}

/** Removes a module from the shortlist. */
export function removeFromShortlist(id: string): void {
  setShortlist(
    shortlist.value.filter(({ module }) => module.id !== id),
    null,
  );
}

/** Clears the shortlist; the next run suggests a new one. */
export function clearShortlist(): void {
  setShortlist([], null);
}

/** Whether learning from these examples starts with suggesting modules. */
export function needsShortlist(examples: Example[]): boolean {
  const outdated = suggestedFor.value !== null && suggestedFor.value !== JSON.stringify(examples);
  return isLarge.value && (outdated || !shortlist.value.length);
}

function reasonOf({ similarity, words }: Suggestion): string {
  return text.library.similar(similarity, words.slice(0, 3));
}

/** Fills the shortlist with the modules most similar to the examples; resolves with whether there are any. */
export async function suggestModules(examples: Example[], limit: number): Promise<boolean> {
  searchError.value = null;
  if (!(await ensureBase())) return false;
  const suggested = await withLoading(
    text.stages.finding,
    async () =>
      loom.value?.suggest({
        examples,
        limit,
        ...downloadOptions(),
        onStep: (counts) => {
          suggestProgress.value = counts;
        },
      }),
    searchError,
  );
  suggestProgress.value = null;
  if (!suggested) return false;
  cacheEntries(suggested.map(({ module }) => module));
  setShortlist(
    suggested.map((one) => ({ module: one.module, reason: reasonOf(one) })),
    JSON.stringify(examples),
  );
  if (!suggested.length) {
    searchError.value = text.errors.noSuggestions;
  }
  return suggested.length > 0;
}
