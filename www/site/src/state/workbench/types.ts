// What has to agree on the page: the task in the table, the mix with the task that it was made for, and
// everything computed with that mix. Plain values, which the functions beside this module change without
// effects; `state/bench.ts` holds the current value, and calls the engine's results in.

import type {
  Assessment,
  Example,
  LearnOptions,
  LearnResult,
  Merge,
  TestProgress,
  TestResult,
  TunedScales,
  WeightedModule,
} from "loraloom";

/** The two models that answer, everywhere in this order. */
export const SIDES = ["base", "composed"] as const;
export type Side = (typeof SIDES)[number];

/** The two places where mixes are kept to compare them. */
export const SLOTS = ["A", "B"] as const;
export type Slot = (typeof SLOTS)[number];

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
export type DeskStep = Desk & { before?: Learned };

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
