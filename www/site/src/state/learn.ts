// Learning: which modules, with which options, and what came of it.

import { computed, signal } from "@preact/signals";
import type {
  Composition,
  ErrorReport,
  Evaluation,
  LearnOptions,
  LearnResult,
  ModuleInfo,
  ModuleLoss,
} from "loraloom";
import {
  asReport,
  downloads,
  ensureBase,
  keep,
  libraryModules,
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
  const all = [
    ...libraryModules.value.map(({ id }) => id),
    ...localModules.value.map(({ id }) => id),
  ];
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
  const ids = candidates();
  if (!ids.length) {
    learnError.value = {
      what: "There are no modules to learn with.",
      why: "The selection is by hand, and no module is ticked.",
      next: "Tick some modules in the library, or choose another selection.",
    };
    return false;
  }
  const inLibrary = ids.filter((id) => libraryModules.value.some((one) => one.id === id));
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
  try {
    const result = await loom.value?.learn({
      examples,
      modules: ids,
      options: chosen,
      signal: stopping.signal,
      onEvaluation: (evaluation) => {
        evaluations.value = [...evaluations.value, evaluation];
      },
      onSelected: (modules) => {
        selected.value = modules;
      },
    });
    if (!result) return false;
    learned.value = result;
    if (!result.modules.length) return false;
    composition.value = { modules: result.modules, merge: result.merge };
    await readMemory();
    return true;
  } catch (error) {
    learnError.value = asReport(error);
    return false;
  } finally {
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

/** Adds a PEFT folder's files as a module. */
export async function addLocalModule(files: File[]): Promise<void> {
  const config = files.find(({ name }) => name === "adapter_config.json");
  const weights = files.find(({ name }) => /^adapter_model\.(safetensors|bin)$/.test(name));
  if (!config || !weights) {
    moduleError.value = {
      what: "This is not a PEFT folder.",
      why: `Expected adapter_config.json and adapter_model.safetensors (or .bin), found ${files.map(({ name }) => name).join(", ") || "no files"}.`,
      next: "Drop both files, or the folder that holds them.",
    };
    return;
  }
  moduleError.value = null;
  if (!(await ensureBase())) return;
  const folder = weights.webkitRelativePath.split("/").at(-2);
  const taken = new Set([...libraryModules.value, ...localModules.value].map(({ id }) => id));
  let id = folder || `local-${localModules.value.length + 1}`;
  while (taken.has(id)) id = `${id}-local`;
  try {
    const [configBytes, weightBytes] = await Promise.all([
      config.arrayBuffer(),
      weights.arrayBuffer(),
    ]);
    const info = await loom.value?.addModule(
      id,
      new Uint8Array(configBytes),
      new Uint8Array(weightBytes),
    );
    if (info) localModules.value = [...localModules.value, info];
  } catch (error) {
    moduleError.value = asReport(error);
  }
}

/** Forgets what a new engine does not hold. */
export function forgetLoaded(): void {
  localModules.value = [];
}
