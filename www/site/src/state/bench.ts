// The current value of the workbench, and what of it outlives the page: the table and the mix in the tab,
// one's own tasks in the browser.

import { computed, effect, signal } from "@preact/signals";
import { readKept, readSaved, saveKept, saveOnChange } from "./saved.js";
import { compositionOf, unpolished } from "./workbench/faders.js";
import { relation } from "./workbench/mix.js";
import { shownAnswers, shownChecks, shownTests, testedTask } from "./workbench/results.js";
import { hasText } from "./workbench/table.js";
import { EMPTY, type Mix, type Task, type Workbench } from "./workbench/types.js";

/** The part that a reload restores. */
type Saved = Pick<Workbench, "task" | "drafts" | "undo" | "redo" | "input">;
/** A mix with the fragment of its link, by which a reload recognises it. */
interface SavedMix {
  fragment: string;
  mix: Mix;
}

/** Steps of undo that a reload keeps. */
const SAVED_STEPS = 10;

/** One's own tasks of all visits; those of other tabs too. */
const keptDrafts = () => readKept<Task[]>("drafts") ?? [];

function initial(): Workbench {
  const saved = readSaved<Saved>("bench");
  return saved ? { ...EMPTY, ...saved } : { ...EMPTY, drafts: keptDrafts() };
}

/** The current value. */
export const bench = signal<Workbench>(initial());

/** Replaces the value by what a function of `workbench/` makes of it. */
export function update(change: (bench: Workbench) => Workbench): void {
  bench.value = change(bench.value);
}

/** An id for one's own task. */
export const ownId = () => `own-${Math.random().toString(36).slice(2, 10)}`;

export const task = computed(() => bench.value.task);
export const drafts = computed(() => bench.value.drafts);
export const input = computed(() => bench.value.input);
export const mix = computed(() => bench.value.mix);
/** The composition that answers; null before one is learned or opened. */
export const composition = computed(() => {
  const current = mix.value;
  return current && compositionOf({ ...EMPTY, mix: current });
});
/** The modules and their weights as they are heard, before polishing. */
export const unpolishedMix = computed(() => mix.value && unpolished(mix.value));
export const mixRelation = computed(() => relation(bench.value));
export const answers = computed(() => shownAnswers(bench.value));
export const checks = computed(() => shownChecks(bench.value));
export const tests = computed(() => shownTests(bench.value));
export const tested = computed(() => testedTask(bench.value));

const table = computed(() => {
  const { task, drafts, undo, redo, input } = bench.value;
  return [task, drafts, undo, redo, input] as const;
});
saveOnChange("bench", (): Saved => {
  const [task, drafts, undo, redo, input] = table.value;
  return { task, drafts, undo: undo.slice(-SAVED_STEPS), redo: redo.slice(-SAVED_STEPS), input };
});

effect(() => {
  const own = [...(task.value?.own ? [task.value] : []), ...drafts.value];
  const ids = new Set(own.map(({ id }) => id));
  const others = keptDrafts().filter(({ id }) => !ids.has(id));
  const all = [...own.filter(hasText), ...others];
  saveKept("drafts", all);
});

const savedMix = signal<SavedMix | null>(readSaved("mix"));
saveOnChange("mix", () => savedMix.value);

/** Saves the mix with its link, for a reload. */
export function saveMix(fragment: string): void {
  const current = mix.peek();
  if (current) savedMix.value = { fragment, mix: current };
}

/** Makes a mix the one that a link's fragment opens. */
export function noteMix(fragment: string, kept: Mix): void {
  savedMix.value = { fragment, mix: kept };
}

/** The mix that was saved with a link's fragment. */
export function readMix(fragment: string): Mix | null {
  const saved = savedMix.peek();
  return saved?.fragment === fragment ? saved.mix : null;
}
