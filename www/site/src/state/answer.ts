// Answers of the base and of the composition: for one input, and over a test set.

import { computed, signal } from "@preact/signals";
import type {
  Composition,
  Example,
  GenerateCall,
  LoraLoom,
  TestCall,
  TestProgress,
  TestResult,
} from "loraloom";
import { composition } from "./composition.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { readSaved, saveOnChange } from "./saved.js";
import { downloadOptions, ensureBase, loom } from "./session.js";
import { OWN_EXAMPLES, task } from "./task.js";

/** The two models that answer, everywhere in this order. */
export const SIDES = ["base", "composed"] as const;
export type Side = (typeof SIDES)[number];

interface Answer {
  text: string;
  done: boolean;
}

/** The counts of a test, and its result once it has ended. */
type TestCounts = TestProgress & { result: TestResult | null };

/** The input to answer. */
export const input = signal<string>(readSaved("input") ?? "");
saveOnChange("input", () => input.value);
/** The answers to the last input. */
export const answers = signal<Record<Side, Answer | null>>({ base: null, composed: null });
/** The input that those answers belong to. */
export const answeredInput = signal("");
/** Whether an answer is being generated. */
export const answering = signal(false);
/** The error of an answer or a test. */
export const answerError = signal<ErrorText | null>(null);
/** The counts of the test so far. */
export const tests = signal<Record<Side, TestCounts | null>>({ base: null, composed: null });
/** Whether a test runs. */
export const testing = signal(false);
/** Test items of the chosen task, or of a file. */
export const testSet = signal<{ taskId: string; examples: Example[]; name: string } | null>(null);

/** The output that the test set expects for the answered input, where it is one of its items. */
export const expected = computed(
  () => testSet.value?.examples.find((one) => one.input === answeredInput.value)?.output ?? null,
);

/** The call in progress. */
let running: GenerateCall | TestCall | null = null;
let stopped = false;
let controller = new AbortController();

// Answers belong to the composition that gave them.
composition.subscribe(() => {
  controller.abort();
  answers.value = { base: null, composed: null };
  tests.value = { base: null, composed: null };
});

/** Stops answering and testing; what is there stays. */
export function stopAnswering(): void {
  stopped = true;
  void running?.stop();
}

/** Fetches the chosen task's test set; null for own examples without a test file. */
async function loadTestSet(): Promise<Example[] | null> {
  const chosen = task.value;
  if (!chosen) return testSet.value?.taskId === OWN_EXAMPLES ? testSet.value.examples : null;
  if (testSet.value?.taskId !== chosen.id && loom.value) {
    const examples = await loom.value.fetchTest(chosen.id, { signal: downloadOptions().signal });
    testSet.value = { taskId: chosen.id, examples, name: chosen.title };
  }
  return testSet.value?.examples ?? null;
}

/** Puts the next input of the test set into the box. */
export async function nextTestInput(): Promise<void> {
  try {
    const items = await loadTestSet();
    if (!items?.length) return;
    const at = items.findIndex((one) => one.input === input.value);
    input.value = items[(at + 1) % items.length]?.input ?? "";
  } catch (error) {
    answerError.value = toErrorText(error);
  }
}

/** Runs a step with the base and, where there is one, with the composition, until stopped. */
async function onEachSide(
  busy: typeof answering,
  step: (
    engine: LoraLoom,
    side: Side,
    call: { composition: Composition | null; signal: AbortSignal },
  ) => Promise<void>,
): Promise<void> {
  answerError.value = null;
  if (!(await ensureBase()) || !loom.value) return;
  controller = new AbortController();
  const { signal } = controller;
  stopped = false;
  busy.value = true;
  try {
    await step(loom.value, "base", { composition: null, signal });
    if (composition.value && !stopped) {
      await step(loom.value, "composed", { composition: composition.value, signal });
    }
  } catch (error) {
    answerError.value = toErrorText(error);
  } finally {
    running = null;
    busy.value = false;
  }
}

/** Answers the input with the base and with the composition. */
export async function answer(): Promise<void> {
  if (!input.value.trim()) {
    answerError.value = {
      what: "There is nothing to answer.",
      why: "The input is empty.",
      next: "Type an input like those of the examples.",
    };
    return;
  }
  await onEachSide(answering, async (engine, side, call) => {
    if (side === "base") {
      answers.value = { base: null, composed: null };
      answeredInput.value = input.value;
    }
    const show = (text: string, done: boolean) => {
      answers.value = { ...answers.value, [side]: { text, done } };
    };
    show("", false);
    running = engine.generate({
      ...call,
      input: answeredInput.value,
      onToken: (text) => show(text, false),
    });
    show((await running).text, true);
  });
}

/** Runs the test set with the base and with the composition. */
export async function runTest(): Promise<void> {
  await onEachSide(testing, async (engine, side, call) => {
    if (side === "base") tests.value = { base: null, composed: null };
    const items = await loadTestSet();
    if (!items || stopped) return;
    const show = (counts: TestCounts) => {
      tests.value = { ...tests.value, [side]: counts };
    };
    show({ done: 0, total: items.length, correct: 0, result: null });
    running = engine.test({
      ...call,
      examples: items,
      onTested: (counts) => show({ ...counts, result: null }),
    });
    const result = await running;
    show({ done: result.total, total: items.length, correct: result.correct, result });
  });
}

/** Reads a file's examples as the test set of one's own task. */
export async function readTestFile(text: string, name: string): Promise<void> {
  try {
    const examples = await loom.value?.parseExamples(text, "auto");
    if (examples) testSet.value = { taskId: OWN_EXAMPLES, examples, name };
    answerError.value = null;
  } catch (error) {
    answerError.value = toErrorText(error);
  }
}
