// A learning run: its progress, its result, and the loss without each module.

import { batch, computed, signal } from "@preact/signals";
import type { Evaluation, LearnCall, LearnResult, ModuleLoss } from "loraloom";
import { BatchThrottle } from "../throttle.js";
import { composition, restored } from "./composition.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { needsShortlist, suggestModules } from "./library.js";
import { addedModules, candidates } from "./modules.js";
import { downloadOptions, ensureBase, loom, readMemory, withLoading } from "./session.js";
import { options } from "./settings.js";
import { filledExamples } from "./task.js";

/** Whether a run is in progress. */
export const learning = signal(false);
/** Every evaluation so far. */
export const evaluations = signal<Evaluation[]>([]);
/** The modules that this run selected, with the loss of each alone. */
export const selected = signal<ModuleLoss[]>([]);
/** The most evaluations that the run makes. */
export const planned = signal(0);
/** Evaluations so far, those of some of the examples counted as that fraction. */
export const evaluated = computed(() => {
  const examples = filledExamples()?.length ?? 1;
  const computed = evaluations.value.reduce((sum, one) => sum + one.examples.length, 0);
  return Math.round(computed / examples);
});
/** The result of the last run. */
export const learned = signal<LearnResult | null>(null);
/** The error of learning or of leaving modules out. */
export const learnError = signal<ErrorText | null>(null);
/** The loss of the composition without each module. */
export const lossWithout = signal<ModuleLoss[]>([]);
/** The loss of the whole composition, without the penalty on the weights, to compare those with. */
export const wholeLoss = signal<number | null>(null);
/** How many modules were left out so far; null where that is not being measured. */
export const leaveOneOutProgress = signal<{ done: number; total: number } | null>(null);

/** The weights of the best mix so far. */
export const bestWeights = computed(() => {
  if (learned.value) return learned.value.modules;
  const search = evaluations.value.filter(({ complete }) => complete);
  const best = search.reduce<Evaluation | null>(
    (found, one) => (found && found.loss <= one.loss ? found : one),
    null,
  );
  return best?.weights ?? composition.value?.modules ?? [];
});

let running: LearnCall | null = null;
let measuring = new AbortController();

function clearRun(): void {
  evaluations.value = [];
  selected.value = [];
  learned.value = null;
  lossWithout.value = [];
}

// A restored composition was not learned by this page's last run.
restored.subscribe((recipe) => {
  if (recipe) clearRun();
});

/** Learns from the table's examples; resolves with whether there is a composition to use. */
export async function learn(): Promise<boolean> {
  const engine = loom.value;
  const examples = filledExamples();
  if (!examples) return false;
  if (learning.value && engine) {
    // The engine rejects a second run, with its reason; the first one continues.
    await engine.learn({ examples, modules: candidates.value }).catch((error) => {
      learnError.value = toErrorText(error);
    });
    return false;
  }
  learnError.value = null;
  if (!(await ensureBase())) return false;
  const limit = options.value?.modules ?? 0;
  if (needsShortlist(examples) && !(await suggestModules(examples, limit))) return false;
  const ids = candidates.value;
  if (!ids.length) {
    learnError.value = {
      what: "There are no modules to learn with.",
      why: "You chose to select the modules yourself, and none is selected.",
      next: "Select some modules in the library, or let LoraLoom choose.",
    };
    return false;
  }
  const inLibrary = ids.filter((id) => !addedModules.value.some((one) => one.id === id));
  const loaded = await withLoading("Loading the modules", async () =>
    loom.value?.loadModules(inLibrary, downloadOptions()),
  );
  if (!loaded || !loom.value || !options.value) return false;

  clearRun();
  planned.value = options.value.budget;
  learning.value = true;
  const throttle = new BatchThrottle<Evaluation>((more) => {
    evaluations.value = [...evaluations.value, ...more];
  });
  try {
    running = loom.value.learn({
      examples,
      modules: ids,
      options: options.value,
      onEvaluation: (evaluation) => throttle.push(evaluation),
      onSelected: (modules) => {
        selected.value = modules;
      },
    });
    const result = await running;
    throttle.flush();
    learned.value = result;
    if (!result.modules.length) return false;
    batch(() => {
      restored.value = null;
      composition.value = { modules: result.modules, merge: result.merge };
    });
    await readMemory();
    return true;
  } catch (error) {
    learnError.value = toErrorText(error);
    return false;
  } finally {
    throttle.flush();
    learning.value = false;
  }
}

/** Stops the run; the best mix so far is kept. */
export function stopLearning(): void {
  void running?.stop();
}

/** Measures the loss without each of the composition's modules. */
export async function leaveOneOut(): Promise<void> {
  const examples = filledExamples();
  if (!examples || !loom.value || !composition.value) return;
  const modules = composition.value.modules.filter(({ weight }) => weight !== 0);
  measuring = new AbortController();
  const { signal } = measuring;
  leaveOneOutProgress.value = { done: 0, total: modules.length };
  learnError.value = null;
  try {
    const whole = composition.value;
    wholeLoss.value = (await loom.value.score({ examples, composition: whole, signal })).loss;
    lossWithout.value = await loom.value.leaveOneOut({
      examples,
      composition: { ...whole, modules },
      signal,
      onStep: ({ done, total }) => {
        leaveOneOutProgress.value = { done, total };
      },
    });
  } catch (error) {
    learnError.value = toErrorText(error);
  } finally {
    leaveOneOutProgress.value = null;
  }
}

/** Cancels the measurement of {@link leaveOneOut}. */
export function cancelLeaveOneOut(): void {
  measuring.abort();
}
