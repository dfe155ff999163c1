// Where a mix comes from: a learning run, polishing, a link, or a reload; its name, and whether it was made for
// the task in the table.

import type { Assessment, Composition, Example, LearnOptions, LearnResult } from "loraloom";
import { text } from "../../text.js";
import { heard, isHeld, setDesk } from "./faders.js";
import { HISTORY } from "./history.js";
import { change, filled, sameExamples } from "./table.js";
import type { Desk, Mix, Task, Tuned, Workbench } from "./types.js";
import { sizeOf } from "./weights.js";

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
