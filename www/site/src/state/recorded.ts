// Runs recorded with the demo library: what the page shows of a task before it is learned here.
// pkg-scripts/record-runs.mjs writes the file.

import { signal } from "@preact/signals";
import type { WeightedModule } from "loraloom";
import { registryUrl } from "./session.js";
import type { Task } from "./workbench/types.js";

export interface RecordedRun {
  /** Exact match on the task's test set, 0 to 100. */
  scores: { base: number; composed: number };
  modules: WeightedModule[];
  /** An item of the test set, with the answers to it. */
  input: string;
  expected: string;
  base: string;
  composed: string;
}

/** The library that the runs were recorded with. */
const RECORDED = "./library/registry.json";
/** The score from which a result convinces at first sight. */
const CONVINCING = 80;

const runs = signal<Record<string, RecordedRun>>({});

/** Reads the runs; the page works without them. */
export async function readRecorded(): Promise<void> {
  if (registryUrl !== RECORDED) return;
  try {
    const response = await fetch(new URL("../recorded.json", import.meta.url));
    if (response.ok) runs.value = await response.json();
  } catch {
    // Nothing is shown in their place.
  }
}

/** The recorded run of a task; null for one's own, and in other libraries. */
export const recordedRun = (task: Task | null): RecordedRun | null =>
  (task && !task.own && runs.value[task.id]) || null;

/** The tasks with one that convinces first. */
export function convincingFirst(tasks: Task[]): Task[] {
  const first = tasks.find((one) => (recordedRun(one)?.scores.composed ?? 0) >= CONVINCING);
  return first ? [first, ...tasks.filter((one) => one !== first)] : tasks;
}
