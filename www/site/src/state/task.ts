// The task: examples chosen from the library, typed, pasted or dropped.

import { computed, signal } from "@preact/signals";
import type { Example, Recipe, RegistryTask } from "loraloom";
import { type ErrorText, toErrorText } from "./errors.js";
import { readSaved, saveOnChange } from "./saved.js";
import { loom, registry } from "./session.js";

/** The task id that stands for one's own examples. */
export const OWN_EXAMPLES = "";
/** File name endings of examples, as a file input takes them. */
export const EXAMPLE_FILES = ".csv,.tsv,.jsonl,.ndjson,.txt,.json";
/** Rows of an empty table. */
const EMPTY_ROWS = 5;
/** The largest file of examples that is read. */
const MAX_FILE_BYTES = 4 * 2 ** 20;

interface SavedTask {
  taskId: string | null;
  examples: Example[];
  title: string;
}

const saved = readSaved<SavedTask>("task");
/** The chosen task's id, or `OWN_EXAMPLES`; null before the registry is read. */
export const taskId = signal<string | null>(saved?.taskId ?? null);
/** The rows of the table. */
export const examples = signal<Example[]>(saved?.examples ?? emptyTable());
/** The task's name, as it goes into a link. */
export const title = signal(saved?.title ?? "");
/** The error of reading or checking the examples. */
export const taskError = signal<ErrorText | null>(null);
saveOnChange("task", () => ({
  taskId: taskId.value,
  examples: examples.value,
  title: title.value,
}));

/** The chosen task of the library. */
export const task = computed<RegistryTask | null>(
  () => registry.value?.tasks.find(({ id }) => id === taskId.value) ?? null,
);

/** The rows that have an input and an output. */
export const completeExamples = computed(() =>
  examples.value.filter(({ input, output }) => input.trim() && output.trim()),
);

function emptyTable(): Example[] {
  return Array.from({ length: EMPTY_ROWS }, () => ({ input: "", output: "" }));
}

/** Chooses a task of the library with its examples, or an empty table for one's own. */
export function chooseTask(id: string): void {
  const chosen = registry.value?.tasks.find((one) => one.id === id);
  taskId.value = chosen ? id : OWN_EXAMPLES;
  examples.value = chosen ? chosen.examples.map((one) => ({ ...one })) : emptyTable();
  title.value = chosen?.title ?? "";
  taskError.value = null;
}

/**
 * Chooses the library's first task where nothing is chosen or typed yet. Examples of another
 * library's task are kept as one's own.
 */
export function chooseDefaultTask(): void {
  if (taskId.value === OWN_EXAMPLES || task.value) return;
  const first = registry.value?.tasks[0];
  if (!first && examples.value.some(({ input }) => input.trim())) taskId.value = OWN_EXAMPLES;
  else chooseTask(first?.id ?? OWN_EXAMPLES);
}

/** Takes the task of a restored recipe: the library's of that title, or the recipe's examples. */
export function takeRecipe(recipe: Recipe): void {
  const known = registry.value?.tasks.find((one) => one.title === recipe.title);
  taskId.value = known && !recipe.examples.length ? known.id : OWN_EXAMPLES;
  if (recipe.examples.length) examples.value = recipe.examples;
  else if (known) examples.value = known.examples;
  title.value = recipe.title;
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
  if (taskId.value === OWN_EXAMPLES) return;
  taskId.value = OWN_EXAMPLES;
  title.value = "";
}

/** Reads pasted text into the table, which stays as it is after an error. */
export async function pasteExamples(text: string): Promise<boolean> {
  try {
    const parsed = await loom.value?.parseExamples(text, "auto");
    if (!parsed) return false;
    examples.value = parsed;
    makeOwn();
    taskError.value = null;
    return true;
  } catch (error) {
    taskError.value = toErrorText(error);
    return false;
  }
}

/** The text of a file of examples; null, with an error, where it is too large. */
export async function readExamplesFile(file: File): Promise<string | null> {
  if (file.size > MAX_FILE_BYTES) {
    taskError.value = {
      what: `${file.name} was not read.`,
      why: `It has ${(file.size / 2 ** 20).toFixed(0)} MB; the limit is ${MAX_FILE_BYTES / 2 ** 20} MB.`,
      next: "Keep only the lines that show the task best. Five are enough.",
    };
    return null;
  }
  return file.text();
}

/** The filled rows; null, with an error, where a row is half filled or none is. */
export function filledExamples(): Example[] | null {
  const rows = examples.value;
  const half = rows.findIndex(({ input, output }) => !input.trim() !== !output.trim());
  if (half >= 0) {
    const field = rows[half]?.input.trim() ? "output" : "input";
    taskError.value = {
      what: "An example is incomplete.",
      why: `Row ${half + 1} has no ${field}.`,
      next: `Fill in the ${field}, or clear the row.`,
    };
    return null;
  }
  if (!completeExamples.value.length) {
    taskError.value = {
      what: "There are no examples to learn from.",
      why: "The table is empty.",
      next: "Choose a task, or type a few pairs. Five are enough.",
    };
    return null;
  }
  taskError.value = null;
  return completeExamples.value;
}
