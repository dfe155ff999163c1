// The library of modules: what is found in it, and of a large one the modules to fetch, each with the
// reason why it is among them.

import { computed, effect, signal } from "@preact/signals";
import type {
  ErrorReport,
  Example,
  FoundModules,
  RegistryFile,
  RegistryModule,
  Suggestion,
} from "loraloom";
import {
  asReport,
  base,
  downloads,
  ensureBase,
  keep,
  libraryModules,
  loading,
  loom,
  recall,
  registry,
  registryBase,
  registryUrl,
} from "./session.js";

/** A library of more modules, or of more bytes, is not fetched whole. */
const MOST_FETCHED = { modules: 60, bytes: 150e6 };
/** Modules of a large library that are shown at first, and that each further press shows more. */
const SHOWN = 24;

/** How long to wait for the next letter before a large library is searched. */
const TYPING_MS = 150;

/** A module to fetch, and why. */
export interface Choice {
  module: RegistryModule;
  reason: string;
}

/** What the library's modules are searched by. */
export const query = signal({ text: "", tag: "", rank: null as number | null });
/** How many of the modules found are shown. */
export const shown = signal(SHOWN);
/** What was found; null before the library is read. */
export const found = signal<FoundModules | null>(null);
/** The modules to fetch from a large library. */
export const shortlist = signal<Choice[]>(recall(`shortlist ${registryUrl}`) ?? []);
keep(`shortlist ${registryUrl}`, () => shortlist.value);
/** Descriptions read so far, while modules are looked for. */
export const finding = signal<{ done: number; total: number } | null>(null);
/** What is wrong with looking for modules. */
export const findError = signal<ErrorReport | null>(null);

/** The examples that the shortlist was made for; null where a person changed it. */
let madeFor: string | null = recall(`made for ${registryUrl}`);
/** Entries of modules that were met, by their ids. */
const entries = signal(new Map<string, RegistryModule>());
let stopping = new AbortController();

/** The length of a file, or about that. */
const fileBytes = ({ bytes, about_bytes }: RegistryFile) => bytes || (about_bytes ?? 0);

/** Bytes to fetch for a module; 0 where nobody knows. */
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

/** The library's modules, in pages or not. */
export const moduleCount = computed(
  () => registry.value?.index?.modules ?? libraryModules.value.length,
);

/** Whether only a shortlist of the library is fetched. */
export const isLarge = computed(
  () =>
    moduleCount.value > MOST_FETCHED.modules ||
    libraryModules.value.length < moduleCount.value ||
    bytesOf(libraryModules.value) > MOST_FETCHED.bytes,
);

/** The modules that learning needs: those chosen from a large library, all of a small one. */
export const wanted = computed(() =>
  isLarge.value ? shortlist.value.map(({ module }) => module) : libraryModules.value,
);

/** The entry of a module, if it was met. */
export function entryOf(id: string): RegistryModule | undefined {
  return libraryModules.value.find((one) => one.id === id) ?? entries.value.get(id);
}

/** The title of a module, or its id. */
export const titleOf = (id: string) => entryOf(id)?.title ?? id;

/** Remembers entries, so that their titles are known. */
export function meet(modules: RegistryModule[]): void {
  if (modules.every(({ id }) => entries.value.has(id))) return;
  entries.value = new Map([...entries.value, ...modules.map((one) => [one.id, one] as const)]);
}
meet(shortlist.value.map(({ module }) => module));

/** Asks for the modules that a link names. */
export async function meetIds(ids: string[]): Promise<void> {
  meet((await loom.value?.entries(ids).catch(() => [])) ?? []);
}

let latest = 0;
effect(() => {
  const asked = ++latest;
  const engine = loom.value;
  const { text, tag, rank } = query.value;
  const limit = isLarge.value ? shown.value : moduleCount.value;
  const fits = base.value?.id ?? registryBase.value?.id ?? null;
  const waiting = isLarge.value && text ? TYPING_MS : 0;
  setTimeout(async () => {
    if (asked !== latest || !engine) return;
    const tags = tag ? [tag] : [];
    try {
      const result = await engine.search({ text, tags, rank, base: fits, limit });
      if (asked !== latest) return;
      found.value = result;
      findError.value = null;
      meet(result.modules);
    } catch (error) {
      if (asked === latest) findError.value = asReport(error);
    }
  }, waiting);
});

/** Changes what is searched by. */
export function searchBy(changed: Partial<typeof query.value>): void {
  shown.value = SHOWN;
  query.value = { ...query.value, ...changed };
}

/** Shows more of what was found. */
export function showMore(): void {
  shown.value += SHOWN;
}

function changeShortlist(choices: Choice[], examples: string | null): void {
  shortlist.value = choices;
  madeFor = examples;
  try {
    sessionStorage.setItem(`loraloom.made for ${registryUrl}`, JSON.stringify(examples));
  } catch {
    // A reload then keeps the list as it is.
  }
}

/** Adds a module to the shortlist. */
export function choose(module: RegistryModule): void {
  if (shortlist.value.some((one) => one.module.id === module.id)) return;
  changeShortlist([...shortlist.value, { module, reason: "added by you" }], null);
}

/** Takes a module off the shortlist. */
export function unchoose(id: string): void {
  changeShortlist(
    shortlist.value.filter(({ module }) => module.id !== id),
    null,
  );
}

/** Empties the shortlist; the next search fills it again. */
export function clearShortlist(): void {
  changeShortlist([], null);
}

/** Whether learning from these examples starts with looking for modules. */
export function needsShortlist(examples: Example[]): boolean {
  const outdated = madeFor !== null && madeFor !== JSON.stringify(examples);
  return isLarge.value && (outdated || !shortlist.value.length);
}

function reasonOf({ similarity, words }: Suggestion): string {
  const shared = words.slice(0, 3).map((word) => `“${word}”`);
  const nearness = `similarity ${similarity.toFixed(2).replace("-", "−")}`;
  return shared.length ? `${nearness}, shares ${shared.join(", ")}` : nearness;
}

/** Fills the shortlist with the modules nearest to the examples; answers whether there are any. */
export async function suggestModules(examples: Example[], most: number): Promise<boolean> {
  findError.value = null;
  if (!(await ensureBase())) return false;
  stopping = new AbortController();
  const suggested = await loading(
    "Looking for modules",
    async () =>
      loom.value?.suggest({
        examples,
        most,
        ...downloads(),
        signal: AbortSignal.any([stopping.signal, downloads().signal]),
        onRead: (counts) => {
          finding.value = counts;
        },
      }),
    findError,
  );
  finding.value = null;
  if (!suggested) return false;
  meet(suggested.map(({ module }) => module));
  changeShortlist(
    suggested.map((one) => ({ module: one.module, reason: reasonOf(one) })),
    JSON.stringify(examples),
  );
  if (!suggested.length) {
    findError.value = {
      what: "No modules were found for these examples.",
      why: "No module of this library has a word of the examples in its description.",
      next: "Search the library below, and add modules yourself.",
    };
  }
  return suggested.length > 0;
}

/** Stops looking for modules. */
export function stopFinding(): void {
  stopping.abort();
}
