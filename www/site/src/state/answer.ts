// Answers of the base and of the composition: for one input, and over a test set.

import { computed, signal } from "@preact/signals";
import type { Composition, Example, GenerateCall, LoraLoom, TestCall } from "loraloom";
import { text } from "../text.js";
import { answers, bench, composition, input, mix, tested, update } from "./bench.js";
import { inForeground } from "./engine-turn.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { addedModules } from "./modules.js";
import { downloadOptions, ensureBase, ensureLoaded, loom } from "./session.js";
import { entryOfTask } from "./task.js";
import { ensureTuned, noteTuned } from "./tuned.js";
import { fillInput, typeInput } from "./workbench/input.js";
import { startAnswers, startTests, takeAnswer, takeCounts, testedId } from "./workbench/results.js";
import type { Side, TestCounts } from "./workbench/types.js";

/** Whether an answer is being generated that a visitor asked for. */
export const answering = signal(false);
/** Whether an answer follows what runs now: learning, or the opening of a link. */
export const answerFollows = signal(false);
/** The error of an answer or a test. */
export const answerError = signal<ErrorText | null>(null);
/** Whether a test runs. */
export const testing = signal(false);

/** Test sets that were fetched or read, by the id of their task. */
const testSets = signal(new Map<string, { examples: Example[]; name: string }>());

/** The test set that is used; null where there is none yet. */
export const testSet = computed(() => testSets.value.get(testedId(bench.value)) ?? null);
/** Whether the library has a test set for the tested task. */
export const hasTestSet = computed(() => entryOfTask(tested.value?.id) !== null);

/** The output that the test set expects for the answered input, where it is one of its items. */
export const expected = computed(
  () =>
    testSet.value?.examples.find((one) => one.input === answers.value?.input)?.output ??
    tested.value?.examples.find((one) => one.input === answers.value?.input)?.output ??
    null,
);

/** The engine that has the mix's modules. */
let loadedIn: { engine: LoraLoom; ids: string } | null = null;
let running: GenerateCall | TestCall | null = null;
let stopped = false;
let controller = new AbortController();

/** Notes that an engine has the modules of the mix, and the one that polishing made. */
export function noteLoaded(): void {
  noteTuned();
  const ids = mix.value?.desk.modules.map(({ id }) => id) ?? [];
  loadedIn = loom.value && { engine: loom.value, ids: ids.join() };
}

/**
 * Loads the base, and the mix's modules where an engine was started anew; resolves with whether they are
 * there.
 */
export async function ensureMix(): Promise<boolean> {
  if (!(await ensureBase()) || !loom.value) return false;
  const added = new Set(addedModules.value.map(({ id }) => id));
  const ids = mix.value?.desk.modules.map(({ id }) => id).filter((id) => !added.has(id)) ?? [];
  if (!ids.length || (loadedIn?.engine === loom.value && loadedIn.ids === ids.join())) return true;
  if (!(await ensureLoaded(ids, 0, 0))) return false;
  noteLoaded();
  return true;
}

/** Stops answering and testing; what is there stays. */
export function stopAnswering(): void {
  stopped = true;
  void running?.stop();
}

/** Fetches the test set of the tested task; null where there is none. */
async function loadTestSet(): Promise<Example[] | null> {
  const known = testSet.value;
  const entry = entryOfTask(tested.value?.id);
  if (known || !entry || !loom.value) return known?.examples ?? null;
  const { signal } = downloadOptions();
  const examples = await loom.value.fetchTest(entry.id, { signal });
  testSets.value = new Map([...testSets.value, [entry.id, { examples, name: entry.title }]]);
  return examples;
}

/** Puts the next input of the test set into the box; with `keep`, one that is there stays. */
export async function nextTestInput(keep = false): Promise<void> {
  try {
    const items = await loadTestSet();
    if (!items?.length) return;
    const at = items.findIndex((one) => one.input === input.value.text);
    if (keep && at >= 0) return;
    const next = items[(at + 1) % items.length]?.input ?? "";
    update((now) => fillInput(now, next));
  } catch (error) {
    answerError.value = toErrorText(error);
  }
}

/** Takes a typed input. */
export const setInput = (typed: string) => update((now) => typeInput(now, typed));

/** Runs a step with the base and, where there is one, with the composition, until stopped. */
async function onEachSide(
  working: typeof answering,
  step: (
    engine: LoraLoom,
    side: Side,
    call: { composition: Composition | null; signal: AbortSignal },
    version: number,
  ) => Promise<void>,
): Promise<void> {
  answerError.value = null;
  stopped = false;
  if (!(await ensureMix()) || !loom.value) return;
  const engine = loom.value;
  controller = new AbortController();
  const { signal } = controller;
  working.value = true;
  try {
    await inForeground(async () => {
      await ensureTuned();
      await step(engine, "base", { composition: null, signal }, 0);
      const current = composition.value;
      if (!current || stopped) return;
      await step(engine, "composed", { composition: current, signal }, mix.value?.version ?? 0);
    });
  } catch (error) {
    answerError.value = toErrorText(error);
  } finally {
    running = null;
    working.value = false;
  }
}

// A test of a composition that is no longer shown is not worth waiting for.
let version = 0;
mix.subscribe((current) => {
  if (current?.version === version) return;
  version = current?.version ?? 0;
  if (testing.peek()) controller.abort();
});

/** Answers the input with the base and with the composition. */
export async function answer(): Promise<void> {
  const asked = input.value.text;
  if (!asked.trim()) {
    answerError.value = text.errors.noInput;
    return;
  }
  let known = false;
  await onEachSide(answering, async (engine, side, call, ofVersion) => {
    if (side === "base") {
      update((now) => startAnswers(now, asked));
      known = answers.value?.base?.done ?? false;
      if (known) return;
    }
    const show = (spoken: string, done: boolean) =>
      update((now) => takeAnswer(now, asked, side, { text: spoken, done }, ofVersion));
    show("", false);
    running = engine.generate({ ...call, input: asked, onToken: (part) => show(part, false) });
    const { text: whole, complete } = await running;
    show(whole, complete);
  });
}

/** Does what the button read when it was pressed, whatever it reads by the time that the press ends. */
export function pressAnswer(readStop: boolean): void {
  if (readStop !== answering.value) return;
  if (readStop) stopAnswering();
  else void answer();
}

/** Runs the test set with the base and with the composition. */
export async function runTest(): Promise<void> {
  const setId = testedId(bench.value);
  await onEachSide(testing, async (engine, side, call, ofVersion) => {
    const items = await loadTestSet();
    if (!items || stopped) return;
    if (side === "base") update((now) => startTests(now, setId));
    const show = (counts: TestCounts) =>
      update((now) => takeCounts(now, setId, side, counts, ofVersion));
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

/** Reads a file's examples as the test set of the tested task. */
export async function readTestFile(contents: string | Uint8Array, name: string): Promise<void> {
  try {
    const examples = await loom.value?.parseExamples(contents, "auto");
    const id = testedId(bench.value);
    if (examples) testSets.value = new Map([...testSets.value, [id, { examples, name }]]);
    answerError.value = null;
  } catch (error) {
    answerError.value = toErrorText(error);
  }
}
