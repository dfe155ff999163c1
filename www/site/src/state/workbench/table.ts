// The table: choosing a task, and changing its examples.

import type { Example } from "loraloom";
import { HISTORY, type Stack, travel } from "./history.js";
import type { Task, Workbench } from "./types.js";

/** Rows of an empty table. */
const EMPTY_ROWS = 5;

export const emptyExamples = (): Example[] =>
  Array.from({ length: EMPTY_ROWS }, () => ({ input: "", output: "" }));

/** The rows that have an input and an output. */
export const filled = (examples: Example[]): Example[] =>
  examples.filter(({ input, output }) => input.trim() && output.trim());

/** Whether anything was typed into a task. */
export const hasText = ({ examples }: Task) =>
  examples.some(({ input, output }) => input.trim() || output.trim());

export const sameExamples = (a: Example[], b: Example[]) =>
  a.length === b.length &&
  a.every(({ input, output }, row) => input === b[row]?.input && output === b[row]?.output);

/** Puts a task into the table; one's own that was there is kept. */
function place(bench: Workbench, task: Task): Workbench {
  const left = bench.task;
  const keep = left?.own && hasText(left) && left.id !== task.id ? [left] : [];
  const others = bench.drafts.filter(({ id }) => id !== task.id && id !== left?.id);
  const drafts = [...keep, ...others].slice(0, HISTORY);
  return { ...bench, task, drafts, lastCell: null };
}

/** Puts a changed table in place, as a step that can be undone. */
export function change(bench: Workbench, task: Task, cell: string | null = null): Workbench {
  const before = bench.task;
  const typesOn = cell !== null && cell === bench.lastCell && task.id === before?.id;
  const undo = before && !typesOn ? [...bench.undo, before].slice(-HISTORY) : bench.undo;
  return { ...place(bench, task), undo, redo: [], lastCell: cell };
}

/** Chooses a task of the library, or one of one's own. */
export function chooseTask(bench: Workbench, task: Task): Workbench {
  return task.id === bench.task?.id ? bench : change(bench, task);
}

/** Starts one's own task with an empty table. */
export function newTask(bench: Workbench, id: string): Workbench {
  return change(bench, { id, own: true, title: "", examples: emptyExamples() });
}

/** Chooses the first task of a library where nothing is chosen or typed yet. */
export function chooseDefault(bench: Workbench, library: Task[], ownId: string): Workbench {
  const { task } = bench;
  if (task && (task.own || library.some(({ id }) => id === task.id))) return bench;
  const [first] = library;
  // Examples of another library's task are kept as one's own.
  if (!first && task && hasText(task)) return { ...bench, task: { ...task, id: ownId, own: true } };
  return place(bench, first ?? { id: ownId, own: true, title: "", examples: emptyExamples() });
}

/** The table as one's own task: a task of the library becomes one when it is changed. */
function changeTable(
  bench: Workbench,
  ownId: string,
  examples: Example[],
  cell: string | null = null,
): Workbench {
  const { task } = bench;
  const own = task?.own ? task : { id: ownId, own: true, title: "" };
  return change(bench, { ...own, examples }, cell);
}

/** Changes cells of a row: one that is typed in, or both. */
export function editExample(
  bench: Workbench,
  ownId: string,
  row: number,
  cells: Partial<Example>,
): Workbench {
  const examples = bench.task?.examples ?? [];
  const before = examples[row];
  const fields = Object.keys(cells) as (keyof Example)[];
  if (!before || fields.every((field) => before[field] === cells[field])) return bench;
  const changed = examples.map((one, index) => (index === row ? { ...one, ...cells } : one));
  return changeTable(bench, ownId, changed, fields[1] ? null : `${row} ${fields}`);
}

/** Adds an empty row. */
export function addRow(bench: Workbench, ownId: string): Workbench {
  return changeTable(bench, ownId, [...(bench.task?.examples ?? []), { input: "", output: "" }]);
}

/** Removes a row. */
export function removeRow(bench: Workbench, ownId: string, row: number): Workbench {
  const examples = bench.task?.examples ?? [];
  return changeTable(
    bench,
    ownId,
    examples.filter((_, index) => index !== row),
  );
}

/** Replaces the whole table. */
export function replaceTable(bench: Workbench, ownId: string, examples: Example[]): Workbench {
  return changeTable(bench, ownId, examples);
}

function travelTable(bench: Workbench, along: Stack): Workbench {
  const moved = bench.task && travel(bench, along, bench.task);
  return moved ? { ...place(bench, moved.to), ...moved.stacks } : bench;
}

/** Takes the last change of the table back. */
export const undoTable = (bench: Workbench) => travelTable(bench, "undo");

/** Makes a change that was taken back again. */
export const redoTable = (bench: Workbench) => travelTable(bench, "redo");
