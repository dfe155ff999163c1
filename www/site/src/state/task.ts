// The task in the table: chosen from the library, typed, pasted or dropped.

import { computed, effect, signal } from "@preact/signals";
import type { Example, LoraLoom, ReadExamples, RegistryTask } from "loraloom";
import { text } from "../text.js";
import { bench, ownId, task, update } from "./bench.js";
import type { ErrorText } from "./errors.js";
import { convincingFirst } from "./recorded.js";
import { loom, registry } from "./session.js";
import * as table from "./workbench/table.js";

/** The choice that starts one's own task with an empty table. */
export const NEW_TASK = "";
/** File name endings of examples, as a file input takes them. */
export const EXAMPLE_FILES = ".csv,.tsv,.jsonl,.ndjson,.txt,.json";

/** The rows of the table. */
export const examples = computed(() => task.value?.examples ?? []);
/** The rows that have an input and an output. */
export const completeExamples = computed(() => table.filled(examples.value));
/** The error of reading or checking the examples. */
export const taskError = signal<ErrorText | null>(null);

/** Examples that were read; `onUsed` is called once they are in the table. */
export interface Incoming extends ReadExamples {
  onUsed: () => void;
}

/** Examples that would replace rows of one's own, which are asked about before. */
export const incoming = signal<Incoming | null>(null);
const lastRead = signal<(ReadExamples & { table: Example[] }) | null>(null);
/** What the examples of the table were read as, until the table changes. */
export const tableRead = computed(() =>
  lastRead.value?.table === task.value?.examples ? lastRead.value : null,
);

/** Whether the table is one to type in; an empty one is, and stays so while it is filled. */
export const editing = signal(false);
effect(() => {
  if (task.value && !table.hasText(task.value)) editing.value = true;
});

/** The entry of a task in the library. */
export const entryOfTask = (id: string | undefined): RegistryTask | null =>
  registry.value?.tasks.find((one) => one.id === id) ?? null;

/** The library's entry of the task in the table; null for one's own. */
export const libraryTask = computed(() => entryOfTask(task.value?.id));

/** The library's tasks as the table takes them. */
export const libraryTasks = computed(() =>
  (registry.value?.tasks ?? []).map(({ id, title, examples }) => ({
    id,
    own: false,
    title,
    examples,
  })),
);

/** Chooses a task of the library or one of one's own; {@link NEW_TASK} starts one. */
export function chooseTask(id: string): void {
  const known = [...libraryTasks.value, ...bench.value.drafts].find((one) => one.id === id);
  taskError.value = null;
  incoming.value = null;
  editing.value = false;
  if (known) update((now) => table.chooseTask(now, known));
  else if (id === NEW_TASK) update((now) => table.newTask(now, ownId()));
}

/** Chooses the library's first task where nothing is chosen or typed yet. */
export function chooseDefaultTask(): void {
  update((now) => table.chooseDefault(now, convincingFirst(libraryTasks.value), ownId()));
}

/** Changes one cell; the examples are one's own from then on. */
export function editExample(row: number, field: keyof Example, value: string): void {
  update((now) => table.editExample(now, ownId(), row, { [field]: value }));
}

/** Changes both cells of a row. */
export function editRow(row: number, example: Example): void {
  update((now) => table.editExample(now, ownId(), row, example));
}

/** Adds an empty row. */
export const addExample = () => update((now) => table.addRow(now, ownId()));

/** Removes a row. */
export const removeExample = (row: number) => update((now) => table.removeRow(now, ownId(), row));

/** Takes the last change of the table back. */
export const undoTable = () => update(table.undoTable);

/** Makes a change that was taken back again. */
export const redoTable = () => update(table.redoTable);

/** The engine, once it has started. */
const startedEngine = async () =>
  loom.value ??
  new Promise<LoraLoom>((resolve) => {
    const stop = loom.subscribe((started) => {
      if (!started) return;
      stop();
      resolve(started);
    });
  });

/**
 * Reads pasted text, or a file's bytes, into the table, or into {@link incoming} where rows of one's own would
 * be replaced. The table stays as it is after an error, which is shown unless `onRefused` handles it.
 */
export async function pasteExamples(
  pasted: string | Uint8Array,
  onUsed = () => {},
  onRefused: (error: unknown) => unknown = async (error) => {
    const { refusedPaste } = await import("./examples-file.js");
    taskError.value = refusedPaste(pasted, error);
  },
): Promise<void> {
  try {
    const read = await (await startedEngine()).readExamples(pasted, "auto");
    taskError.value = null;
    const now = task.value;
    if (now?.own && table.hasText(now)) incoming.value = { ...read, onUsed };
    else putInTable({ ...read, onUsed }, []);
  } catch (error) {
    await onRefused(error);
  }
}

/** Puts examples that were read into the table, below the rows that stay. */
export function putInTable({ onUsed, ...read }: Incoming, stay: Example[]): void {
  update((now) => table.replaceTable(now, ownId(), [...stay, ...read.examples]));
  lastRead.value = { ...read, table: examples.value };
  incoming.value = null;
  onUsed();
}

/** The filled rows; null, with an error, where a row is half filled or none is. */
export function filledExamples(): Example[] | null {
  const half = examples.value.findIndex(({ input, output }) => !input.trim() !== !output.trim());
  if (half >= 0) {
    const field = examples.value[half]?.input.trim() ? "output" : "input";
    taskError.value = text.errors.incompleteExample(half + 1, field);
    return null;
  }
  if (!completeExamples.value.length) {
    taskError.value = text.errors.noExamples;
    return null;
  }
  taskError.value = null;
  return completeExamples.value;
}
