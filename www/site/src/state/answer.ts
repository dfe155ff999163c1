// Answers of the base and of the composition: for one input, and over a test set.

import { computed, signal } from "@preact/signals";
import type { ErrorReport, Example, TestResult } from "loraloom";
import { composition } from "./learn.js";
import { asReport, downloads, ensureBase, keep, loom, recall } from "./session.js";
import { task } from "./task.js";

/** The two that answer, everywhere in this order. */
export type Side = "base" | "composed";

interface Answer {
  text: string;
  done: boolean;
}

interface TestCounts {
  done: number;
  total: number;
  correct: number;
  result: TestResult | null;
}

/** The input to answer. */
export const input = signal<string>(recall("input") ?? "");
keep("input", () => input.value);
/** The answers to the last input asked. */
export const answers = signal<Record<Side, Answer | null>>({ base: null, composed: null });
/** The input that those answers belong to. */
export const answeredInput = signal("");
/** Whether something is being answered. */
export const answering = signal(false);
/** What is wrong with an answer or a test. */
export const answerError = signal<ErrorReport | null>(null);
/** The counts of the test so far. */
export const tests = signal<Record<Side, TestCounts | null>>({ base: null, composed: null });
/** Whether a test runs. */
export const testing = signal(false);
/** Test items of the chosen task, or of a dropped file. */
export const testSet = signal<{ taskId: string; examples: Example[]; name: string } | null>(null);

/** The output that the test set expects for the input, where it is one of its items. */
export const expected = computed(
  () => testSet.value?.examples.find((one) => one.input === answeredInput.value)?.output ?? null,
);

let stopping = new AbortController();

/** Stops answering and testing; what is there stays. */
export function stopAnswering(): void {
  stopping.abort();
}

/** Forgets answers that belong to another composition. */
export function forgetAnswers(): void {
  answers.value = { base: null, composed: null };
  tests.value = { base: null, composed: null };
}

/** Fetches the chosen task's test set; null where the examples are one's own and no file is there. */
async function needTestSet(): Promise<Example[] | null> {
  const chosen = task.value;
  if (!chosen) return testSet.value?.taskId === "" ? testSet.value.examples : null;
  if (testSet.value?.taskId !== chosen.id && loom.value) {
    const examples = await loom.value.fetchTest(chosen.id, { signal: downloads().signal });
    testSet.value = { taskId: chosen.id, examples, name: chosen.title };
  }
  return testSet.value?.examples ?? null;
}

/** Puts an input of the test set into the box that is not there yet. */
export async function anotherInput(): Promise<void> {
  try {
    const items = await needTestSet();
    if (!items?.length) return;
    const at = items.findIndex((one) => one.input === input.value);
    input.value = items[(at + 1) % items.length]?.input ?? "";
  } catch (error) {
    answerError.value = asReport(error);
  }
}

/** Answers the input with the base and, where there is one, with the composition. */
export async function answer(): Promise<void> {
  if (!input.value.trim()) {
    answerError.value = {
      what: "There is nothing to answer.",
      why: "The input is empty.",
      next: "Type an input like those of the examples.",
    };
    return;
  }
  answerError.value = null;
  if (!(await ensureBase())) return;
  stopping = new AbortController();
  const { signal } = stopping;
  answering.value = true;
  answers.value = { base: null, composed: null };
  answeredInput.value = input.value;
  try {
    for (const side of ["base", "composed"] as const) {
      if (side === "composed" && !composition.value) break;
      if (signal.aborted) break;
      const show = (text: string, done: boolean) => {
        answers.value = { ...answers.value, [side]: { text, done } };
      };
      show("", false);
      const generated = await loom.value?.generate({
        input: answeredInput.value,
        composition: side === "composed" ? composition.value : null,
        signal,
        onToken: (text) => show(text, false),
      });
      show(generated?.text ?? "", true);
    }
  } catch (error) {
    answerError.value = asReport(error);
  } finally {
    answering.value = false;
  }
}

/** Runs the test set with the base and with the composition. */
export async function runTest(): Promise<void> {
  answerError.value = null;
  if (!(await ensureBase())) return;
  stopping = new AbortController();
  const { signal } = stopping;
  testing.value = true;
  tests.value = { base: null, composed: null };
  try {
    const items = await needTestSet();
    if (!items) return;
    for (const side of ["base", "composed"] as const) {
      if (side === "composed" && !composition.value) break;
      if (signal.aborted) break;
      const show = (counts: TestCounts) => {
        tests.value = { ...tests.value, [side]: counts };
      };
      show({ done: 0, total: items.length, correct: 0, result: null });
      const result = await loom.value?.test({
        examples: items,
        composition: side === "composed" ? composition.value : null,
        signal,
        onTested: (counts) => show({ ...counts, result: null }),
      });
      if (result) {
        show({ done: result.total, total: items.length, correct: result.correct, result });
      }
    }
  } catch (error) {
    answerError.value = asReport(error);
  } finally {
    testing.value = false;
  }
}

/** Takes a file's examples as the test set for one's own task. */
export async function useTestText(text: string, name: string): Promise<void> {
  try {
    const examples = await loom.value?.parseExamples(text, "auto");
    if (examples) testSet.value = { taskId: "", examples, name };
    answerError.value = null;
  } catch (error) {
    answerError.value = asReport(error);
  }
}
