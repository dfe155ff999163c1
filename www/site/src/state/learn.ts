// Learning: which modules, with which options, and what came of it.

import { computed, signal } from "@preact/signals";
import {
  type Composition,
  type ErrorReport,
  type Evaluation,
  filesSource,
  type LearnOptions,
  type LearnResult,
  type ModuleInfo,
  type ModuleLoss,
  parseSource,
  type Source,
} from "loraloom";
import { Paced } from "../paced.js";
import { entryOf, needsShortlist, suggestModules, wanted } from "./library.js";
import {
  asReport,
  downloads,
  ensureBase,
  hubUrl,
  keep,
  loading,
  loom,
  readMemory,
  recall,
} from "./session.js";
import { filledExamples } from "./task.js";

/** Options that differ from the engine's defaults. */
export const changedOptions = signal<Partial<LearnOptions>>(recall("options") ?? {});
keep("options", () => changedOptions.value);
/** All options of the next run. */
export const options = computed<LearnOptions | null>(() =>
  loom.value ? { ...loom.value.defaults, ...changedOptions.value } : null,
);

/** Ids ticked for the selection by hand. */
export const ticked = signal<string[]>(recall("ticked") ?? []);
keep("ticked", () => ticked.value);
/** Modules added from this computer. */
export const localModules = signal<ModuleInfo[]>([]);
/** What is wrong with a module. */
export const moduleError = signal<ErrorReport | null>(null);

/** Whether learning runs. */
export const learning = signal(false);
/** Every evaluation so far. */
export const evaluations = signal<Evaluation[]>([]);
/** The modules chosen by this run, with the loss of each alone. */
export const selected = signal<ModuleLoss[]>([]);
/** The evaluations that the run will make at most: of each module alone, and of mixes. */
export const planned = signal({ select: 0, search: 0 });
/** What the last run came to. */
export const learned = signal<LearnResult | null>(null);
/** What is wrong with learning. */
export const learnError = signal<ErrorReport | null>(null);
/** The composition to answer with: learned here or restored from a link. */
export const composition = signal<Composition | null>(null);
/** The loss of the composition without each module. */
export const withoutModule = signal<ModuleLoss[]>([]);
/** The loss of the whole composition, to compare those with: without the penalty on the weights. */
export const wholeLoss = signal<number | null>(null);
/** How many modules were left out so far, while that is being measured. */
export const leavingOut = signal<{ done: number; total: number } | null>(null);

/** The weights of the best point seen. */
export const bestWeights = computed(() => {
  if (learned.value) return learned.value.modules;
  const search = evaluations.value.filter(({ phase }) => phase === "search");
  const best = search.reduce<Evaluation | null>(
    (found, one) => (found && found.loss <= one.loss ? found : one),
    null,
  );
  return best?.weights ?? composition.value?.modules ?? [];
});

let stopping = new AbortController();

/** The modules that the next run may choose from. */
export function candidates(): string[] {
  const all = [...wanted.value.map(({ id }) => id), ...localModules.value.map(({ id }) => id)];
  return options.value?.selection === "by-hand"
    ? all.filter((id) => ticked.value.includes(id))
    : all;
}

/** Learns from the table's examples; answers whether there is a composition to use. */
export async function learn(): Promise<boolean> {
  const engine = loom.value;
  const examples = filledExamples();
  if (!examples) return false;
  if (learning.value && engine) {
    // The engine refuses a second run in its own words; the first one goes on.
    await engine.learn({ examples, modules: candidates() }).catch((error) => {
      learnError.value = asReport(error);
    });
    return false;
  }
  learnError.value = null;
  if (!(await ensureBase())) return false;
  const most = options.value?.modules ?? 0;
  if (needsShortlist(examples) && !(await suggestModules(examples, most))) return false;
  const ids = candidates();
  if (!ids.length) {
    learnError.value = {
      what: "There are no modules to learn with.",
      why: "The selection is by hand, and no module is ticked.",
      next: "Tick some modules in the library, or choose another selection.",
    };
    return false;
  }
  const inLibrary = ids.filter((id) => !localModules.value.some((one) => one.id === id));
  const loaded = await loading("Loading the modules", async () =>
    loom.value?.loadModules(inLibrary, downloads()),
  );
  if (!loaded) return false;

  stopping = new AbortController();
  evaluations.value = [];
  selected.value = [];
  learned.value = null;
  withoutModule.value = [];
  const chosen = options.value as LearnOptions;
  planned.value = {
    select: chosen.selection === "single-loss" ? ids.length : 0,
    search: chosen.budget,
  };
  learning.value = true;
  const show = new Paced<Evaluation>((more) => {
    evaluations.value = [...evaluations.value, ...more];
  });
  try {
    const result = await loom.value?.learn({
      examples,
      modules: ids,
      options: chosen,
      signal: stopping.signal,
      onEvaluation: (evaluation) => show.add(evaluation),
      onSelected: (modules) => {
        selected.value = modules;
      },
    });
    if (!result) return false;
    show.finish();
    learned.value = result;
    if (!result.modules.length) return false;
    composition.value = { modules: result.modules, merge: result.merge };
    await readMemory();
    return true;
  } catch (error) {
    learnError.value = asReport(error);
    return false;
  } finally {
    show.finish();
    learning.value = false;
  }
}

/** Stops learning; the best point seen is kept. */
export function stopLearning(): void {
  stopping.abort();
}

/** Measures the loss without each of the composition's modules. */
export async function leaveOneOut(): Promise<void> {
  const examples = filledExamples();
  if (!examples || !loom.value || !composition.value) return;
  const used = composition.value.modules.filter(({ weight }) => weight !== 0);
  stopping = new AbortController();
  leavingOut.value = { done: 0, total: used.length };
  learnError.value = null;
  try {
    wholeLoss.value = (await loom.value.score(examples, composition.value)).loss;
    withoutModule.value = await loom.value.leaveOneOut(
      examples,
      { ...composition.value, modules: used },
      {
        signal: stopping.signal,
        onTested: ({ done, total }) => {
          leavingOut.value = { done, total };
        },
      },
    );
  } catch (error) {
    learnError.value = asReport(error);
  } finally {
    leavingOut.value = null;
  }
}

/** Adds a PEFT folder of this computer, or a ZIP archive of one, as a module. */
export function addLocalModule(files: File[]): Promise<void> {
  const folder = files[0]?.webkitRelativePath.split("/").at(-2);
  const archive = files.length === 1 ? files[0]?.name.replace(/\.zip$/i, "") : null;
  const name = folder || archive || `local-${localModules.value.length + 1}`;
  return addModule(name, filesSource(files));
}

/** Adds an adapter by its hub id or its address. */
export async function addNamedModule(text: string): Promise<void> {
  try {
    const source = parseSource(text, hubUrl);
    await addModule(source.kind === "hub" ? source.repo : text.trim(), source);
  } catch (error) {
    moduleError.value = asReport(error);
  }
}

async function addModule(name: string, source: Source): Promise<void> {
  moduleError.value = null;
  if (!(await ensureBase())) return;
  const taken = new Set(localModules.value.map(({ id }) => id));
  let id = name;
  while (taken.has(id) || entryOf(id)) id = `${id}-local`;
  const info = await loading(
    `Loading ${id}`,
    async () => loom.value?.addModule(id, source, downloads()),
    moduleError,
  );
  if (info) localModules.value = [...localModules.value, info];
}

/** Forgets what a new engine does not hold. */
export function forgetLoaded(): void {
  localModules.value = [];
}
