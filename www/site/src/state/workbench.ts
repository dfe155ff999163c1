// What has to agree on the page: the task in the table, the mix with the task that it was made for, and
// everything computed with that mix. Plain values and functions without effects; `bench.ts` holds the
// current value, and calls the engine's results in.

import type {
  Assessment,
  Composition,
  Example,
  GroupWeights,
  LearnOptions,
  LearnResult,
  Merge,
  ModuleWeight,
  TestProgress,
  TestResult,
  TunedScales,
  WeightedModule,
} from "loraloom";
import { groupWeights, meanWeight } from "loraloom";
import { text } from "../text.js";

/** The two models that answer, everywhere in this order. */
export const SIDES = ["base", "composed"] as const;
export type Side = (typeof SIDES)[number];

/** The two places where mixes are kept to compare them. */
export const SLOTS = ["A", "B"] as const;
export type Slot = (typeof SLOTS)[number];

/** Rows of an empty table. */
const EMPTY_ROWS = 5;
/** The most steps that undo goes back, and the most of one's own tasks that are kept. */
const HISTORY = 50;

/** A task: its id in the library, or one's own; its title; its examples. */
export interface Task {
  id: string;
  /** Whether it was typed, pasted or changed here. */
  own: boolean;
  title: string;
  examples: Example[];
}

/** What polishing made of a mix: a module that takes its place. */
export interface Tuned {
  /** The module's id in the engine. */
  id: string;
  /** From these and the mix, the engine makes the module again. */
  scales: TunedScales;
  /** The run that made it; absent for one from a link. */
  run?: {
    seconds: number;
    steps: number;
    complete: boolean;
    /** The examples that came out right before. */
    rightBefore: number;
  };
}

/** The positions of the faders. */
export interface Desk {
  modules: WeightedModule[];
  muted: string[];
  /** The only module that is heard; null for all. */
  solo: string | null;
  /** The polished mix that answers in place of these weights; absent where nothing is polished. */
  tuned?: Tuned;
}

/** A step of the faders; with what was known of the mix before, where learning the rest replaced it. */
type DeskStep = Desk & { before?: Learned };

/** Where a mix comes from. */
export type Origin = "learned" | "link";

/** The counts of a learning run, without its evaluations. */
export type RunSummary = Pick<
  LearnResult,
  "lossStart" | "loss" | "evaluations" | "seconds" | "complete"
>;

/** A composition with what it was made for. Only its faders, its title and its note change. */
export interface Mix {
  /** Changes with the composition: what was computed with another version is not shown as current. */
  version: number;
  origin: Origin;
  /** The key of the base model that it belongs to. */
  base: string;
  /** The task as it was learned; null where a link does not hold it. */
  task: Task | null;
  title: string;
  note: string;
  /** The settings that it was learned with; null for one from a link. */
  options: LearnOptions | null;
  /** The run that found it; null for one from a link. */
  run: RunSummary | null;
  merge: Merge;
  /** The weights as they were learned or opened. */
  initial: WeightedModule[];
  desk: Desk;
  /** The modules that keep their weights while the rest is learned. */
  held: string[];
  undo: DeskStep[];
  redo: DeskStep[];
}

/** What a learning run found out. */
type Learned = Pick<Mix, "origin" | "options" | "run" | "initial">;

/** A generated text; `done` once it is whole. */
export interface Spoken {
  text: string;
  done: boolean;
}

/** The answers to one input. */
export interface Answers {
  input: string;
  base: Spoken | null;
  composed: (Spoken & { version: number }) | null;
}

/** Whether the composition works for the examples that it was learned from, and the loss on them. */
export interface Checks {
  version: number;
  assessment: Assessment;
  /** Null until it is computed. */
  loss: number | null;
}

/** The counts of a test, and its result once it has ended. */
export type TestCounts = TestProgress & { result: TestResult | null };

/** A test of both sides on one test set. */
export interface Tests {
  /** The task whose test set it is. */
  setId: string;
  base: TestCounts | null;
  composed: (TestCounts & { version: number }) | null;
}

/** A mix that was kept to compare it, with what was known of it. */
export interface Kept {
  desk: Desk;
  answer: { input: string; text: string } | null;
  correct: { correct: number; total: number } | null;
  loss: number | null;
  test: TestResult | null;
}

/** The input to answer. */
export interface Input {
  text: string;
  /** Whether it was typed, not taken from a test set. */
  typed: boolean;
  /** What was typed before an input was taken from a test set. */
  before: string;
}

export interface Workbench {
  /** The task in the table; null before the library is read. */
  task: Task | null;
  /** One's own tasks that are not in the table, the latest first. */
  drafts: Task[];
  undo: Task[];
  redo: Task[];
  /** The cell that the last change was in: typing on in it is one step of undo. */
  lastCell: string | null;
  input: Input;
  mix: Mix | null;
  answers: Answers | null;
  checks: Checks | null;
  tests: Tests | null;
  slots: Record<Slot, Kept | null>;
  /** The base model and the precision that the answers were computed with. */
  computedBy: string;
  /** The version of the next composition. */
  next: number;
}

export const EMPTY: Workbench = {
  task: null,
  drafts: [],
  undo: [],
  redo: [],
  lastCell: null,
  input: { text: "", typed: false, before: "" },
  mix: null,
  answers: null,
  checks: null,
  tests: null,
  slots: { A: null, B: null },
  computedBy: "",
  next: 1,
};

// --- the table ----------------------------------------------------------------------------------

export const emptyExamples = (): Example[] =>
  Array.from({ length: EMPTY_ROWS }, () => ({ input: "", output: "" }));

/** The rows that have an input and an output. */
export const filled = (examples: Example[]): Example[] =>
  examples.filter(({ input, output }) => input.trim() && output.trim());

/** Whether anything was typed into a task. */
export const hasText = ({ examples }: Task) =>
  examples.some(({ input, output }) => input.trim() || output.trim());

const sameExamples = (a: Example[], b: Example[]) =>
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
function change(bench: Workbench, task: Task, cell: string | null = null): Workbench {
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

/** The steps that can be taken back, and those that can be made again. */
type Stack = "undo" | "redo";
const opposite = { undo: "redo", redo: "undo" } as const;

/** Moves one step along a stack: the step itself, and both stacks after it; null at its end. */
function travel<T>(steps: Record<Stack, T[]>, along: Stack, current: T) {
  const to = steps[along].at(-1);
  if (to === undefined) return null;
  const back = opposite[along];
  const stacks = { [along]: steps[along].slice(0, -1), [back]: [...steps[back], current] };
  return { to, stacks: stacks as Record<Stack, T[]> };
}

function travelTable(bench: Workbench, along: Stack): Workbench {
  const moved = bench.task && travel(bench, along, bench.task);
  return moved ? { ...place(bench, moved.to), ...moved.stacks } : bench;
}

/** Takes the last change of the table back. */
export const undoTable = (bench: Workbench) => travelTable(bench, "undo");

/** Makes a change that was taken back again. */
export const redoTable = (bench: Workbench) => travelTable(bench, "redo");

// --- the input ----------------------------------------------------------------------------------

/** Takes a typed input. */
export function typeInput(bench: Workbench, text: string): Workbench {
  return { ...bench, input: { ...bench.input, text, typed: text.trim() !== "" } };
}

/** Takes an input from a test set; a typed one is kept. */
export function fillInput(bench: Workbench, text: string): Workbench {
  const { text: current, typed, before } = bench.input;
  return { ...bench, input: { text, typed: false, before: typed ? current : before } };
}

/** Puts the typed input back. */
export function restoreInput(bench: Workbench): Workbench {
  const { before } = bench.input;
  return before ? { ...bench, input: { text: before, typed: true, before: "" } } : bench;
}

// --- the mix ------------------------------------------------------------------------------------

/** A copy that cannot be changed. */
function frozen<T>(value: T): T {
  const copy = structuredClone(value);
  const freeze = (one: unknown) => {
    if (typeof one !== "object" || one === null) return;
    Object.freeze(one);
    for (const inner of Object.values(one)) freeze(inner);
  };
  freeze(copy);
  return copy;
}

/** The name of a task without one. */
export const UNTITLED = text.task.untitledMix;

function newMix(
  bench: Workbench,
  mix: Pick<Mix, "origin" | "base" | "task" | "title" | "note" | "options" | "run">,
  composition: Composition,
  tuned: Tuned | null = null,
): Workbench {
  const used = composition.modules.filter(({ weight }) => sizeOf(weight) !== 0);
  const modules = frozen(used);
  const desk: Desk = { modules, muted: [], solo: null, ...(tuned && { tuned }) };
  return {
    ...bench,
    mix: {
      ...mix,
      task: frozen(mix.task),
      options: frozen(mix.options),
      version: bench.next,
      merge: composition.merge,
      initial: modules,
      desk,
      held: [],
      undo: [],
      redo: [],
    },
    answers: bench.answers && { ...bench.answers, composed: null },
    checks: null,
    tests: null,
    slots: { A: null, B: null },
    next: bench.next + 1,
  };
}

/** Takes the mix of a learning run, with the task and the settings that the run had. */
export function takeLearned(
  bench: Workbench,
  learned: { task: Task; options: LearnOptions; base: string; result: LearnResult },
): Workbench {
  const { task, options, base, result } = learned;
  const { lossStart, loss, evaluations, seconds, complete } = result;
  const run = { lossStart, loss, evaluations, seconds, complete };
  const title = task.title.trim() || UNTITLED;
  const made = newMix(
    bench,
    { origin: "learned", base, task, title, note: "", options, run },
    result,
  );
  const { assessment } = result;
  // A stopped run has no answers yet.
  if (!made.mix || !assessment?.answers.length) return made;
  return { ...made, checks: { version: made.mix.version, assessment, loss: null } };
}

/**
 * Takes what was learned beside the modules that were held, as one step of undo. Those that are not heard stay
 * so.
 */
export function takeRest(
  bench: Workbench,
  learned: { options: LearnOptions; result: LearnResult },
): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const { options, result } = learned;
  const { lossStart, loss, evaluations, seconds, complete, assessment } = result;
  const silent = heard(mix.desk).filter(
    ({ id, weight }) => isHeld(mix, id) && sizeOf(weight) === 0,
  );
  const muted = silent.map(({ id }) => id);
  const initial = frozen(result.modules.filter(({ weight }) => sizeOf(weight) !== 0));
  const modules = [...initial, ...mix.desk.modules.filter(({ id }) => muted.includes(id))];
  const before = { origin: mix.origin, options: mix.options, run: mix.run, initial: mix.initial };
  const made: Mix = {
    ...mix,
    origin: "learned",
    options: frozen(options),
    run: { lossStart, loss, evaluations, seconds, complete },
    initial,
    desk: { modules, muted, solo: null },
    undo: [...mix.undo, { ...mix.desk, before }].slice(-HISTORY),
    redo: [],
    version: bench.next,
  };
  // A stopped run has no answers yet.
  const checks = assessment?.answers.length ? { version: made.version, assessment, loss } : null;
  return { ...bench, mix: made, checks, next: bench.next + 1 };
}

/** What a link holds. */
interface Opened {
  title: string;
  instruction: string | null;
  examples: Example[];
  /** The modules and their weights, before polishing. */
  composition: Composition;
  tuned?: Tuned | null;
  base: string;
}

/**
 * Takes the mix of a link. Its examples come into the table as the task that has exactly these, or as
 * one's own; a link without examples leaves the table as it is.
 */
export function takeLink(
  bench: Workbench,
  { title, instruction, examples, composition, tuned, base }: Opened,
  library: Task[],
  ownId: string,
): Workbench {
  const known = [...(bench.task ? [bench.task] : []), ...library, ...bench.drafts].find((one) =>
    sameExamples(filled(one.examples), examples),
  );
  const task = examples.length ? (known ?? { id: ownId, own: true, title, examples }) : null;
  const placed = task && task.id !== bench.task?.id ? change(bench, task) : bench;
  return newMix(
    placed,
    { origin: "link", base, task, title, note: instruction ?? "", options: null, run: null },
    composition,
    tuned,
  );
}

/** Puts back a mix that a reload saved; `tunedId` is the id of its polished module in this engine. */
export function takeSaved(bench: Workbench, mix: Mix, tunedId = ""): Workbench {
  const version = bench.next;
  const { tuned } = mix.desk;
  const desk = tuned && tunedId ? { ...mix.desk, tuned: { ...tuned, id: tunedId } } : mix.desk;
  return {
    ...bench,
    // One that an earlier version of the page kept holds nothing.
    mix: {
      ...mix,
      desk,
      held: mix.held ?? [],
      task: frozen(mix.task),
      options: frozen(mix.options),
      version,
    },
    next: version + 1,
  };
}

/**
 * Notes the base model that computes, and its precision. What another one computed is removed, and with
 * it a mix that belongs to another one.
 */
export function takeBase(bench: Workbench, base: string, precision: string): Workbench {
  const computedBy = `${base} ${precision}`;
  if (bench.computedBy === computedBy) return bench;
  const mix = bench.mix?.base === base ? bench.mix : null;
  return { ...bench, computedBy, mix, answers: null, checks: null, tests: null };
}

/** Names the mix, and its task where that is one's own. */
export function nameMix(bench: Workbench, changed: { title?: string; note?: string }): Workbench {
  if (!bench.mix) return bench;
  return { ...bench, mix: { ...bench.mix, ...changed } };
}

/** Whether the mix was made for the task in the table. */
export type Relation = "none" | "same" | "other" | "unknown";

export function relation({ mix, task }: Workbench): Relation {
  if (!mix) return "none";
  if (!mix.task) return "unknown";
  return task && sameExamples(filled(task.examples), filled(mix.task.examples)) ? "same" : "other";
}

/**
 * Puts the examples that the mix was made from back into the table. Where those there have grown out of
 * them, they stay one's own beside them.
 */
export function showMixTask(bench: Workbench, ownId: string): Workbench {
  const task = bench.mix?.task;
  if (!task || relation(bench) !== "other") return bench;
  const grown = [bench.task, ...bench.drafts].some((one) => one?.own && one.id === task.id);
  return change(bench, { ...structuredClone(task), id: grown ? ownId : task.id });
}

// --- the faders ---------------------------------------------------------------------------------

/** The groups of layers that a module's weight can differ in. */
export const GROUPS = [
  "encoder",
  "decoderSelfAttention",
  "decoderCrossAttention",
  "decoderFeedForward",
] as const satisfies (keyof GroupWeights)[];
export type Group = (typeof GROUPS)[number];

/** How much a weight changes: the mean of the groups' sizes. */
export function sizeOf(weight: ModuleWeight): number {
  const groups = groupWeights(weight);
  return GROUPS.reduce((sum, group) => sum + Math.abs(groups[group]), 0) / GROUPS.length;
}

/** The nearest weight that a fader shows: two digits, within its ends. */
const shown = (weight: number) =>
  Math.round(100 * Math.min(WEIGHTS.max, Math.max(WEIGHTS.min, weight))) / 100;

/** A weight with another mean; groups that differ keep their proportions. */
function withMean(weight: ModuleWeight, mean: number): ModuleWeight {
  const now = meanWeight(weight);
  if (typeof weight === "number" || Math.abs(now) < 0.01) return shown(mean);
  const scaled = { ...weight };
  for (const group of GROUPS) scaled[group] = shown((weight[group] * mean) / now);
  return scaled;
}

/** A weight with another weight of one group; equal ones become one. */
function withGroup(weight: ModuleWeight, group: Group, value: number): ModuleWeight {
  const changed = { ...groupWeights(weight), [group]: shown(value) };
  return GROUPS.every((one) => changed[one] === changed.encoder) ? changed.encoder : changed;
}

/** The smallest and the largest weight that a fader reaches. */
export const WEIGHTS = { min: -1.5, max: 2.5 };

/** The modules as they are heard: those muted, or beside the one that plays solo, have weight 0. */
function heard({ modules, muted, solo }: Desk): WeightedModule[] {
  return modules.map((one) =>
    (solo === null ? muted.includes(one.id) : solo !== one.id) ? { ...one, weight: 0 } : one,
  );
}

/** The modules as they are heard, before polishing. */
export const unpolished = ({ desk, merge }: Mix): Composition => ({ modules: heard(desk), merge });

/** The composition that answers: of a polished mix, the module that takes its place. */
export function compositionOf({ mix }: Workbench): Composition | null {
  const tuned = mix?.desk.tuned;
  if (tuned) return { modules: [{ id: tuned.id, weight: 1 }], merge: "delta" };
  return mix && unpolished(mix);
}

/** The modules that have a weight as they are heard. */
export const audible = (mix: Mix) => heard(mix.desk).filter(({ weight }) => sizeOf(weight) !== 0);

/** Whether a fader was moved. */
export function isEdited(mix: Mix): boolean {
  const heardNow = audible(mix);
  const key = (modules: WeightedModule[]) =>
    JSON.stringify(
      modules
        .map(({ id, weight }) => [id, groupWeights(weight)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  return key(heardNow) !== key(mix.initial.filter(({ weight }) => sizeOf(weight) !== 0));
}

/** Moves faders, which ends the polish; a desk that stays the same keeps it. */
function moveDesk(bench: Workbench, moved: Partial<Desk>, joined = false): Workbench {
  if (!bench.mix) return bench;
  const { tuned: _, ...before } = bench.mix.desk;
  const desk = { ...before, ...moved };
  return JSON.stringify(desk) === JSON.stringify(before) ? bench : setDesk(bench, desk, joined);
}

function setDesk(bench: Workbench, desk: Desk, joined = false): Workbench {
  const { mix } = bench;
  if (!mix || JSON.stringify(desk) === JSON.stringify(mix.desk)) return bench;
  const undo = joined ? mix.undo : [...mix.undo, mix.desk].slice(-HISTORY);
  return {
    ...bench,
    mix: { ...mix, desk, undo, redo: [], version: bench.next },
    next: bench.next + 1,
  };
}

/** Changes a module's weight. */
function changeWeight(
  bench: Workbench,
  id: string,
  to: (weight: ModuleWeight) => ModuleWeight,
  joined: boolean,
): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const modules = mix.desk.modules.map((one) =>
    one.id === id ? { ...one, weight: to(one.weight) } : one,
  );
  return moveDesk(bench, { modules }, joined);
}

/** Moves a fader; `joined` moves, as those of one drag, are one step of undo. */
export function setWeight(bench: Workbench, id: string, value: number, joined = false): Workbench {
  if (!Number.isFinite(value)) return bench;
  return changeWeight(bench, id, (weight) => withMean(weight, value), joined);
}

/** Moves the fader of one group of layers. */
export function setGroup(
  bench: Workbench,
  id: string,
  group: Group,
  value: number,
  joined = false,
): Workbench {
  if (!Number.isFinite(value)) return bench;
  return changeWeight(bench, id, (weight) => withGroup(weight, group, value), joined);
}

/** Returns the fader of one group of layers to the value that was learned. */
export function resetGroup(bench: Workbench, id: string, group: Group): Workbench {
  const initial = bench.mix?.initial.find((one) => one.id === id)?.weight ?? 0;
  return changeWeight(
    bench,
    id,
    (weight) => withGroup(weight, group, groupWeights(initial)[group]),
    false,
  );
}

/** Returns a fader to the value that was learned. */
export function resetWeight(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const weight = mix.initial.find((one) => one.id === id)?.weight ?? 0;
  const modules = mix.desk.modules.map((one) => (one.id === id ? { ...one, weight } : one));
  return moveDesk(bench, { modules });
}

/** Returns all faders to what was learned. */
export function resetDesk(bench: Workbench): Workbench {
  if (!bench.mix) return bench;
  return setDesk(bench, { modules: bench.mix.initial, muted: [], solo: null });
}

/** Adds a module at weight 0. */
export function addToMix(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix || mix.desk.modules.some((one) => one.id === id)) return bench;
  const modules = [...mix.desk.modules, { id, weight: 0 }];
  return setDesk(bench, { ...mix.desk, modules });
}

/** Mutes a module, or unmutes it. */
export function toggleMute(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const { muted } = mix.desk;
  const changed = muted.includes(id) ? muted.filter((one) => one !== id) : [...muted, id];
  return moveDesk(bench, { muted: changed });
}

/** Plays a module alone, or all again. */
export function toggleSolo(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  return moveDesk(bench, { solo: mix.desk.solo === id ? null : id });
}

/** Takes what polishing made of a version of the mix, as one step of undo. */
export function takePolished(
  bench: Workbench,
  polished: { version: number; tuned: Tuned; assessment: Assessment; loss: number },
): Workbench {
  const { mix } = bench;
  const { version, tuned, assessment, loss } = polished;
  if (mix?.version !== version) return bench;
  const made = setDesk(bench, { ...mix.desk, tuned: frozen(tuned) });
  // A stopped run may have no answers yet.
  if (!made.mix || assessment.answers.length < (mix.task?.examples.length ?? 0)) return made;
  return { ...made, checks: { version: made.mix.version, assessment, loss } };
}

function travelDesk(bench: Workbench, along: Stack): Workbench {
  const { mix, next } = bench;
  if (!mix) return bench;
  const { origin, options, run, initial, desk } = mix;
  const replaced = mix[along].at(-1)?.before;
  const current = replaced ? { ...desk, before: { origin, options, run, initial } } : desk;
  const moved = travel<DeskStep>(mix, along, current);
  if (!moved) return bench;
  const { before, ...to } = moved.to;
  const moves = { ...before, desk: to, ...moved.stacks, version: next };
  return { ...bench, mix: { ...mix, ...moves }, next: next + 1 };
}

/** Takes the last move of a fader back. */
export const undoDesk = (bench: Workbench) => travelDesk(bench, "undo");

/** Makes a move that was taken back again. */
export const redoDesk = (bench: Workbench) => travelDesk(bench, "redo");

/** Whether a module keeps its weight while the rest is learned. */
export const isHeld = (mix: Mix, id: string) => mix.held.includes(id);

/** Holds a module, or lets it go; the composition stays the same. */
export function toggleHold(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const held = isHeld(mix, id) ? mix.held.filter((one) => one !== id) : [...mix.held, id];
  return { ...bench, mix: { ...mix, held } };
}

/** The modules that are held, at the weights at which they are heard. */
export function heldModules(mix: Mix): WeightedModule[] {
  return heard(mix.desk).filter(({ id }) => isHeld(mix, id));
}

/** Keeps the mix in a slot, with what is known of it. */
export function keep(bench: Workbench, slot: Slot): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const answers = shownAnswers(bench);
  const checks = shownChecks(bench);
  const kept: Kept = {
    desk: mix.desk,
    answer:
      answers?.composed?.done && answers.current
        ? { input: answers.input, text: answers.composed.text }
        : null,
    correct: checks && rightOf(checks.assessment),
    loss: checks?.loss ?? null,
    test: shownTests(bench)?.composed?.result ?? null,
  };
  return { ...bench, slots: { ...bench.slots, [slot]: kept } };
}

/** Puts a kept mix back on the faders. */
export function recall(bench: Workbench, slot: Slot): Workbench {
  const kept = bench.slots[slot];
  return kept ? setDesk(bench, kept.desk) : bench;
}

/** How many of the examples come out right. */
export const rightOf = ({ answers }: Assessment) => ({
  correct: answers.filter(({ correct }) => correct).length,
  total: answers.length,
});

// --- what was computed --------------------------------------------------------------------------

/** Begins to answer an input; the base's answer to the same input stays. */
export function startAnswers(bench: Workbench, input: string): Workbench {
  const { answers } = bench;
  const base = answers?.input === input && answers.base?.done ? answers.base : null;
  const composed = answers?.input === input ? answers.composed : null;
  return { ...bench, answers: { input, base, composed } };
}

/** Takes a side's text for an input; one for another input is ignored. */
export function takeAnswer(
  bench: Workbench,
  input: string,
  side: Side,
  spoken: Spoken,
  version: number,
): Workbench {
  const { answers, mix } = bench;
  if (answers?.input !== input) return bench;
  if (side === "base") return { ...bench, answers: { ...answers, base: spoken } };
  if (!mix || version < (answers.composed?.version ?? 0)) return bench;
  return { ...bench, answers: { ...answers, composed: { ...spoken, version } } };
}

/** Takes the answers to the examples; those of another version are ignored. */
export function takeChecks(bench: Workbench, checks: Checks): Workbench {
  return checks.version === bench.mix?.version ? { ...bench, checks } : bench;
}

/** Begins a test. */
export function startTests(bench: Workbench, setId: string): Workbench {
  return { ...bench, tests: { setId, base: null, composed: null } };
}

/** Takes a side's counts. */
export function takeCounts(
  bench: Workbench,
  setId: string,
  side: Side,
  counts: TestCounts,
  version: number,
): Workbench {
  const { tests } = bench;
  if (tests?.setId !== setId) return bench;
  const value = side === "base" ? counts : { ...counts, version };
  return { ...bench, tests: { ...tests, [side]: value } };
}

/** The answers as they are shown; `current` where the composed one is that of the faders now. */
export function shownAnswers({ answers, mix }: Workbench): (Answers & { current: boolean }) | null {
  if (!answers) return null;
  const composed = mix ? answers.composed : null;
  return { ...answers, composed, current: composed?.version === mix?.version };
}

/** The answers to the examples, where they are those of the faders now. */
export function shownChecks({ checks, mix }: Workbench): Checks | null {
  return checks && checks.version === mix?.version ? checks : null;
}

/** The task whose test set is used: that of the mix, or that in the table where there is no mix. */
export function testedTask({ mix, task }: Workbench): Task | null {
  return mix ? mix.task : task;
}

/** The id of that task; an empty one where a link does not hold it. */
export const testedId = (bench: Workbench) => testedTask(bench)?.id ?? "";

/** The tests of that task's test set, with those of the composition as it is now. */
export function shownTests(bench: Workbench): Tests | null {
  const { tests, mix } = bench;
  if (!tests || tests.setId !== testedId(bench)) return null;
  return { ...tests, composed: tests.composed?.version === mix?.version ? tests.composed : null };
}
