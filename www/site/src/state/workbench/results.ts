// What was computed: answers, checks of the examples, and tests. What belongs to another version of the mix
// is not shown as current.

import type { Assessment } from "loraloom";
import type { Answers, Checks, Side, Spoken, Task, TestCounts, Tests, Workbench } from "./types.js";

/** How many of the examples come out right. */
export const rightOf = ({ answers }: Assessment) => ({
  correct: answers.filter(({ correct }) => correct).length,
  total: answers.length,
});

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
