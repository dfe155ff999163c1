// The task: examples chosen from the library, typed, pasted or dropped.

import { computed, signal } from "@preact/signals";
import type { ErrorReport, Example, RegistryTask } from "loraloom";
import { asReport, keep, loom, recall, registry } from "./session.js";

/** The choice that stands for one's own examples. */
export const OWN = "";
/** Rows that an empty table starts with. */
const ROWS = 5;
/** A file of examples larger than this is refused before it is read. */
const MOST_FILE_BYTES = 4 * 2 ** 20;

interface Kept {
  taskId: string | null;
  examples: Example[];
  title: string;
}

const kept = recall<Kept>("task");
/** The chosen task's id; `OWN` for one's own examples, null before the registry is read. */
export const taskId = signal<string | null>(kept?.taskId ?? null);
/** The rows of the table. */
export const examples = signal<Example[]>(kept?.examples ?? emptyRows());
/** The task's name, as it goes into a link. */
export const title = signal(kept?.title ?? "");
/** What is wrong with the examples. */
export const taskError = signal<ErrorReport | null>(null);
keep("task", () => ({ taskId: taskId.value, examples: examples.value, title: title.value }));

/** The chosen task of the library. */
export const task = computed<RegistryTask | null>(
  () => registry.value?.tasks.find(({ id }) => id === taskId.value) ?? null,
);

function emptyRows(): Example[] {
  return Array.from({ length: ROWS }, () => ({ input: "", output: "" }));
}

/** Takes a task of the library with its examples, or an empty table for one's own. */
export function chooseTask(id: string): void {
  const chosen = registry.value?.tasks.find((one) => one.id === id);
  taskId.value = chosen ? id : OWN;
  examples.value = chosen ? chosen.examples.map((one) => ({ ...one })) : emptyRows();
  title.value = chosen?.title ?? "";
  taskError.value = null;
}

/**
 * Takes the library's first task where nothing was chosen or typed before. Examples of another
 * library's task are kept as one's own.
 */
export function chooseDefaultTask(): void {
  const known = taskId.value === OWN || task.value;
  if (known) return;
  const first = registry.value?.tasks[0];
  if (!first && examples.value.some(({ input }) => input.trim())) taskId.value = OWN;
  else chooseTask(first?.id ?? OWN);
}

/** Changes one cell; the examples are one's own from then on. */
export function editExample(row: number, field: keyof Example, text: string): void {
  examples.value = examples.value.map((one, index) =>
    index === row ? { ...one, [field]: text } : one,
  );
  makeOwn();
}

/** Adds an empty row. */
export function addExample(): void {
  examples.value = [...examples.value, { input: "", output: "" }];
}

/** Removes a row. */
export function removeExample(row: number): void {
  examples.value = examples.value.filter((_, index) => index !== row);
  makeOwn();
}

function makeOwn(): void {
  if (taskId.value === OWN) return;
  taskId.value = OWN;
  title.value = "";
}

/** Reads pasted text into the table; on an error the table stays as it is. */
export async function pasteExamples(text: string): Promise<boolean> {
  try {
    const parsed = await loom.value?.parseExamples(text, "auto");
    if (!parsed) return false;
    examples.value = parsed;
    makeOwn();
    taskError.value = null;
    return true;
  } catch (error) {
    taskError.value = asReport(error);
    return false;
  }
}

/** Reads a dropped file as examples. */
export async function readExamplesFile(file: File): Promise<string | null> {
  if (file.size > MOST_FILE_BYTES) {
    taskError.value = {
      what: `${file.name} was not read.`,
      why: `Expected a small file of examples (at most ${MOST_FILE_BYTES / 2 ** 20} MB), found ${(file.size / 2 ** 20).toFixed(0)} MB.`,
      next: "Keep the few lines that show the task best: five are enough.",
    };
    return null;
  }
  return file.text();
}

/** The filled rows, or null with an error where a row is half filled or none is. */
export function filledExamples(): Example[] | null {
  const rows = examples.value;
  const half = rows.findIndex(({ input, output }) => !input.trim() !== !output.trim());
  if (half >= 0) {
    const field = rows[half]?.input.trim() ? "output" : "input";
    taskError.value = {
      what: "An example is incomplete.",
      why: `Row ${half + 1} has no ${field}.`,
      next: `Fill in the ${field}, or empty the row.`,
    };
    return null;
  }
  const filled = rows.filter(({ input }) => input.trim());
  if (!filled.length) {
    taskError.value = {
      what: "There are no examples to learn from.",
      why: "Every row of the table is empty.",
      next: "Choose a task, or type a few pairs: five are usual.",
    };
    return null;
  }
  taskError.value = null;
  return filled;
}
