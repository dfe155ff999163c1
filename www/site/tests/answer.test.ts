// Answers and tests: both sides in order, stopping, and results that belong to their composition.

import { afterEach, expect, test, vi } from "vitest";
import { openPage, when } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

const composition = { modules: [{ id: "one", weight: 1 }], merge: "delta" as const };

test("an input is answered by the base, and by the composition where there is one", async () => {
  const page = await openPage();
  const { answer } = page;
  answer.input.value = "red";
  await answer.answer();
  expect(answer.answers.value).toEqual({ base: { text: "base red.", done: true }, composed: null });
  page.composition.composition.value = composition;
  await answer.answer();
  expect(answer.answers.value).toEqual({
    base: { text: "base red.", done: true },
    composed: { text: "composed red.", done: true },
  });
});

test("an answer is shown token by token", async () => {
  const { answer } = await openPage();
  const seen: string[] = [];
  answer.answers.subscribe(({ base }) => {
    if (base) seen.push(base.text);
  });
  answer.input.value = "red";
  await answer.answer();
  expect(seen).toEqual(["", "base", "base red", "base red.", "base red."]);
});

test("a stopped answer keeps its text and skips the other side", async () => {
  const page = await openPage();
  const { answer, client } = page;
  page.composition.composition.value = composition;
  answer.input.value = "red";
  const run = answer.answer();
  await when(() => answer.answers.value.base?.text === "base");
  answer.stopAnswering();
  await run;
  expect(answer.answers.value).toEqual({ base: { text: "base", done: true }, composed: null });
  expect(answer.answerError.value).toBeNull();
  expect(answer.answering.value).toBe(false);
  expect(client.calls).not.toContain("generate composed");
});

test("an empty input is an error", async () => {
  const { answer, client } = await openPage();
  answer.input.value = "  ";
  await answer.answer();
  expect(answer.answerError.value?.why).toBe("The input is empty.");
  expect(client.calls).not.toContain("load");
});

test("another composition clears the answers, and cancels those in progress", async () => {
  const page = await openPage();
  const { answer } = page;
  page.composition.composition.value = composition;
  answer.input.value = "red";
  await answer.answer();
  await answer.runTest();
  expect(answer.tests.value.composed?.correct).toBe(2);

  const run = answer.answer();
  await when(() => answer.answers.value.base?.text === "base");
  page.composition.composition.value = { ...composition, merge: "lorahub" };
  await run;
  expect(answer.answers.value).toEqual({ base: null, composed: null });
  expect(answer.tests.value).toEqual({ base: null, composed: null });
  expect(answer.answerError.value).toBeNull();
});

test("a task's test set is fetched once, and gives inputs in turn with their expected outputs", async () => {
  const page = await openPage();
  const { answer, client } = page;
  const inputs = [];
  for (let press = 0; press < 3; press++) {
    await answer.nextTestInput();
    inputs.push(answer.input.value);
  }
  expect(inputs).toEqual(["the word six", "the word seven", "the word six"]);
  expect(client.calls.filter((call) => call.startsWith("fetchTest"))).toEqual(["fetchTest first"]);
  await answer.answer();
  expect(answer.expected.value).toBe("six");
  page.task.chooseTask("second");
  await answer.nextTestInput();
  expect(client.calls.at(-1)).toBe("fetchTest second");
});

test("a test counts both sides, and a stopped one keeps its counts", async () => {
  const page = await openPage();
  const { answer, client } = page;
  page.composition.composition.value = composition;
  await answer.runTest();
  expect(answer.tests.value.base).toMatchObject({ done: 2, total: 2, correct: 0 });
  expect(answer.tests.value.composed).toMatchObject({ done: 2, total: 2, correct: 2 });

  client.calls.length = 0;
  const run = answer.runTest();
  await when(() => answer.tests.value.base?.done === 1);
  answer.stopAnswering();
  await run;
  expect(answer.tests.value.base).toMatchObject({ done: 1, total: 2 });
  expect(answer.tests.value.composed).toBeNull();
  expect(client.calls).toEqual(["test base"]);
});

test("one's own task is tested on a file of pairs", async () => {
  const page = await openPage();
  const { answer, client, task } = page;
  task.chooseTask(task.OWN_EXAMPLES);
  await answer.runTest();
  expect(client.calls).not.toContain("test base");
  await answer.readTestFile("red\tcolor\nblue\tcolor\ndog\tanimal", "pairs.tsv");
  await answer.runTest();
  expect(answer.tests.value.base?.total).toBe(3);
});
