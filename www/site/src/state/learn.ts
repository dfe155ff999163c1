// A learning run: its progress, its result, and the loss without each module.

import { batch, computed, signal } from "@preact/signals";
import type { Evaluation, LearnCall, ModuleLoss } from "loraloom";
import { text } from "../text.js";
import { BatchThrottle } from "../throttle.js";
import { bench, mix, mixRelation, unpolishedMix, update } from "./bench.js";
import { inForeground } from "./engine-turn.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { baseBytes, bytesOf, modulesToLoad, needsShortlist, suggestModules } from "./library.js";
import { addedModules, candidates } from "./modules.js";
import { base, baseKey, ensureLoaded, loom, readMemory } from "./session.js";
import { options } from "./settings.js";
import { completeExamples, filledExamples } from "./task.js";
import { audible, heldModules } from "./workbench/faders.js";
import { takeBase, takeLearned, takeRest } from "./workbench/mix.js";
import type { RunSummary } from "./workbench/types.js";

/** Whether a run is in progress. */
export const learning = signal(false);
/** Whether a mix is being polished. */
export const polishing = signal(false);
/** Whether either is in progress: nothing else may start then. */
export const occupied = computed(() => learning.value || polishing.value);
/** Every evaluation of the run that is in progress, or that found the mix. */
export const evaluations = signal<Evaluation[]>([]);
/** The modules that this run selected, with the loss of each alone. */
export const selected = signal<ModuleLoss[]>([]);
/** The most evaluations of all examples that the run makes. */
export const planned = signal(0);
/** The examples of the run. */
let exampleCount = 1;
/** The evaluations so far, those of some of the examples counted as that fraction. */
export const evaluated = computed(
  () =>
    // In losses of single examples, whose sum is exact.
    evaluations.value.reduce((sum, { cost }) => sum + Math.round(cost * exampleCount), 0) /
    exampleCount,
);
/** When the run began, by `performance.now()`. */
export const startedAt = signal(0);
/** Seconds that the run takes by its first evaluation; null where that is not long. */
export const estimated = signal<number | null>(null);
/** How the last run ended where it found no mix. */
export const ended = signal<"" | "stopped" | "nothing">("");
/** Outputs of the examples that the model cannot write, as its vocabulary lacks parts of them. */
const unwritable = signal<{ output: string; parts: string[] }[]>([]);
/** Those of the table. */
export const unwritableNow = computed(() =>
  unwritable.value.filter(({ output }) =>
    completeExamples.value.some((one) => one.output === output),
  ),
);
/** The error of learning or of leaving modules out. */
export const learnError = signal<ErrorText | null>(null);
/** The loss without each module, of one version of the mix. */
const left = signal<{ version: number; whole: number; losses: ModuleLoss[] } | null>(null);
/** How many modules were left out so far; null where that is not being measured. */
export const leaveOneOutProgress = signal<{ done: number; total: number } | null>(null);

/** The loss of the mix as it is, and without each of its modules; null where it was not measured. */
export const lossWithout = computed(() =>
  left.value && left.value.version === mix.value?.version ? left.value : null,
);

/** The weights of the best mix so far, while a run is in progress. */
export const bestWeights = computed(() => {
  // A run that holds modules begins with these, and the base alone is no mix of it.
  const holds = evaluations.value[0]?.weights.length;
  // Of those that cover every example; one of some of them can be lower by chance.
  const whole = evaluations.value.filter(
    ({ complete, phase, weights }) =>
      complete && phase !== "select" && (!holds || weights.length > 0),
  );
  const best = whole.reduce<Evaluation | null>(
    (found, one) => (found && found.loss <= one.loss ? found : one),
    null,
  );
  return best?.weights ?? [];
});

let running: LearnCall | null = null;
let measuring = new AbortController();
let stopped = false;

/** The mix that the last run found, by its counts. */
let lastRun: RunSummary | null = null;

/** Clears what belongs to an earlier run. */
export function clearRun(): void {
  evaluations.value = [];
  selected.value = [];
  ended.value = "";
}

// A mix from a link, and one that undo brings back, was not found by this page's last run.
mix.subscribe((current) => {
  if (current && current.run !== lastRun && !learning.peek()) clearRun();
});

// A mix belongs to one base, and so does what it cannot write.
base.subscribe((loaded) => {
  unwritable.value = [];
  if (loaded) update((now) => takeBase(now, baseKey(loaded), loaded.precision));
});

/**
 * Learns from the table's examples; resolves with whether there is a new mix. With `rest`, the modules that
 * are held stay as they are.
 */
export async function learn(rest = false): Promise<boolean> {
  const examples = filledExamples();
  const task = bench.value.task;
  if (!examples || !task) return false;
  if (occupied.value) {
    learnError.value = text.errors.learningAlready;
    return false;
  }
  learnError.value = null;
  stopped = false;
  const limit = options.value?.modules ?? 0;
  if (needsShortlist(examples) && !(await suggestModules(examples, limit))) return false;
  const added = new Set(addedModules.value.map(({ id }) => id));
  const ids = candidates.value;
  if (!loom.value || !ids.length) {
    if (loom.value) learnError.value = text.errors.noModules;
    return false;
  }
  const inLibrary = ids.filter((id) => !added.has(id));
  const moduleBytes = bytesOf(modulesToLoad.value.filter(({ id }) => inLibrary.includes(id)));
  if (!(await ensureLoaded(inLibrary, baseBytes.value, moduleBytes))) return false;
  const chosen = options.value;
  if (!loom.value || !base.value || !chosen) return false;
  const before = mix.value;
  const held = rest && before && mixRelation.value === "same" ? heldModules(before) : [];
  const settings = { ...chosen, held };
  const engine = loom.value;
  const baseId = baseKey(base.value);

  clearRun();
  planned.value = settings.budget;
  exampleCount = examples.length;
  startedAt.value = performance.now();
  estimated.value = null;
  learning.value = true;
  const throttle = new BatchThrottle<Evaluation>((more) => {
    evaluations.value = [...evaluations.value, ...more];
  });
  try {
    const result = await inForeground(async () => {
      running = engine.learn({
        examples,
        modules: ids,
        options: settings,
        onEvaluation: (evaluation) => throttle.push(evaluation),
        onEstimate: ({ total }) => {
          estimated.value = total;
        },
        onUnwritable: (outputs) => {
          unwritable.value = outputs.map(({ example, parts }) => ({
            output: examples[example]?.output ?? "",
            parts,
          }));
        },
        onSelected: (modules) => {
          selected.value = modules;
        },
      });
      if (stopped) void running.stop();
      return running;
    });
    throttle.flush();
    if (!result.modules.length && !result.assessment?.enough) {
      ended.value = result.complete ? "nothing" : "stopped";
      return false;
    }
    batch(() => {
      learning.value = false;
      update((now) =>
        held.length && now.mix?.version === before?.version
          ? takeRest(now, { options: settings, result })
          : takeLearned(now, {
              task: { ...task, examples },
              options: settings,
              base: baseId,
              result,
            }),
      );
      lastRun = mix.value?.run ?? null;
    });
    await readMemory();
    return true;
  } catch (error) {
    throttle.flush();
    // What was evaluated belongs to no mix.
    clearRun();
    learnError.value = toErrorText(error);
    return false;
  } finally {
    running = null;
    learning.value = false;
  }
}

/** Stops the run; the best mix so far is kept. */
export function stopLearning(): void {
  stopped = true;
  void running?.stop();
}

/**
 * Measures the loss without each of the mix's modules, on the examples that it was learned from; of a
 * polished mix, as it was before.
 */
export async function leaveOneOut(): Promise<void> {
  const current = mix.value;
  const whole = unpolishedMix.value;
  const examples = current?.task?.examples;
  if (!current || !examples?.length || !loom.value || !whole) return;
  const engine = loom.value;
  const { version } = current;
  const modules = audible(current);
  measuring = new AbortController();
  const { signal } = measuring;
  leaveOneOutProgress.value = { done: 0, total: modules.length };
  learnError.value = null;
  try {
    await inForeground(async () => {
      const { loss } = await engine.score({ examples, composition: whole, signal });
      const losses = await engine.leaveOneOut({
        examples,
        composition: { ...whole, modules },
        signal,
        onStep: ({ done, total }) => {
          leaveOneOutProgress.value = { done, total };
        },
      });
      left.value = { version, whole: loss, losses };
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
