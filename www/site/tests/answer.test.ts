// Answers and tests: both sides in order, stopping, and results that belong to their composition.

import { afterEach, expect, test, vi } from "vitest";
import { restoreInput } from "../src/state/workbench/input.js";
import { openPage, showComposition, when } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

const composition = { modules: [{ id: "two", weight: 1 }], merge: "delta" as const };

test("an input is answered by the base, and by the composition where there is one", async () => {
  const page = await openPage();
  const { answer, bench } = page;
  answer.setInput("red");
  await answer.answer();
  expect(bench.answers.value).toMatchObject({
    base: { text: "base red.", done: true },
    composed: null,
  });
  showComposition(page, composition);
  await answer.answer();
  expect(bench.answers.value).toMatchObject({
    base: { text: "base red.", done: true },
    composed: { text: "composed two 1 red.", done: true },
    current: true,
  });
});

test("an answer is shown token by token", async () => {
  const { answer, bench } = await openPage();
  const seen: string[] = [];
  bench.answers.subscribe((shown) => {
    if (shown?.base) seen.push(shown.base.text);
  });
  answer.setInput("red");
  await answer.answer();
  expect(seen).toEqual(["", "base", "base red", "base red.", "base red."]);
});

test("the base answers an input once, as it never changes", async () => {
  const page = await openPage();
  const { answer, client } = page;
  showComposition(page, composition);
  answer.setInput("red");
  await answer.answer();
  await answer.answer();
  expect(client.calls.filter((call) => call.startsWith("generate"))).toEqual([
    "generate base",
    "generate composed",
    "generate composed",
  ]);
});

test("a stopped answer keeps its text and skips the other side", async () => {
  const page = await openPage();
  const { answer, bench, client } = page;
  showComposition(page, composition);
  answer.setInput("red");
  const run = answer.answer();
  await when(() => bench.answers.value?.base?.text === "base");
  answer.stopAnswering();
  await run;
  expect(bench.answers.value).toMatchObject({
    base: { text: "base", done: false },
    composed: null,
  });
  expect(answer.answerError.value).toBeNull();
  expect(answer.answering.value).toBe(false);
  expect(client.calls).not.toContain("generate composed");
});

test("a press that began on Answer stops nothing, and one that began on Stop starts nothing", async () => {
  const page = await openPage();
  const { answer, bench, client } = page;
  showComposition(page, composition);
  answer.setInput("red");
  // The automatic answer begins between the press and its release.
  const run = answer.answer();
  await when(() => answer.answering.value);
  answer.pressAnswer(false);
  await run;
  expect(bench.answers.value?.composed).toMatchObject({ text: "composed two 1 red.", done: true });

  client.calls.length = 0;
  answer.pressAnswer(true);
  expect(answer.answering.value).toBe(false);
  expect(client.calls).toEqual([]);
  answer.setInput("blue");
  answer.pressAnswer(false);
  await when(() => answer.answering.value);
  answer.pressAnswer(true);
  await when(() => !answer.answering.value);
  expect(client.calls).toEqual(["generate base"]);
});

test("an empty input is an error", async () => {
  const { answer, client } = await openPage();
  answer.setInput("  ");
  await answer.answer();
  expect(answer.answerError.value?.why).toBe("The input is empty.");
  expect(client.calls).not.toContain("load");
});

test("another composition removes the composed answer and test, and the base's stay", async () => {
  const page = await openPage();
  const { answer, bench } = page;
  showComposition(page, composition);
  answer.setInput("red");
  await answer.answer();
  await answer.readTestFile("red\tcolor\nblue\tcolor", "pairs.tsv");
  await answer.runTest();
  expect(bench.tests.value?.composed?.correct).toBe(2);
  showComposition(page, { ...composition, merge: "lorahub" });
  expect(bench.answers.value).toMatchObject({ base: { text: "base red." }, composed: null });
  expect(bench.tests.value).toBeNull();
});

test("a test of a composition that is replaced is cancelled", async () => {
  const page = await openPage();
  const { answer, bench } = page;
  showComposition(page, composition);
  await answer.readTestFile("red\tcolor\nblue\tcolor\ndog\tanimal", "pairs.tsv");
  const run = answer.runTest();
  await when(() => bench.tests.value?.composed?.done === 1);
  showComposition(page, { ...composition, merge: "lorahub" });
  await run;
  expect(answer.answerError.value).toBeNull();
  expect(bench.tests.value).toBeNull();
});

test("a task's test set is fetched once, and gives inputs in turn with their expected outputs", async () => {
  const page = await openPage();
  const { answer, bench, client } = page;
  const inputs = [];
  for (let press = 0; press < 3; press++) {
    await answer.nextTestInput();
    inputs.push(bench.input.value.text);
  }
  expect(inputs).toEqual(["the word six", "the word seven", "the word six"]);
  expect(client.calls.filter((call) => call.startsWith("fetchTest"))).toEqual(["fetchTest first"]);
  await answer.answer();
  expect(answer.expected.value).toBe("six");
  page.task.chooseTask("second");
  await answer.nextTestInput();
  expect(client.calls.at(-1)).toBe("fetchTest second");
});

test("a typed input is kept when one of the test set takes its place", async () => {
  const { answer, bench } = await openPage();
  answer.setInput("mine");
  await answer.nextTestInput();
  await answer.nextTestInput();
  expect(bench.input.value).toMatchObject({ text: "the word seven", before: "mine" });
  bench.update(restoreInput);
  expect(bench.input.value).toMatchObject({ text: "mine", typed: true });
});

test("a test counts both sides, and a stopped one keeps its counts", async () => {
  const page = await openPage();
  const { answer, bench, client, learn } = page;
  await learn.learn();
  await answer.runTest();
  expect(bench.tests.value?.base).toMatchObject({ done: 2, total: 2, correct: 0 });
  expect(bench.tests.value?.composed).toMatchObject({ done: 2, total: 2, correct: 2 });

  client.calls.length = 0;
  const run = answer.runTest();
  await when(() => bench.tests.value?.base?.done === 1);
  answer.stopAnswering();
  await run;
  expect(bench.tests.value?.base).toMatchObject({ done: 1, total: 2 });
  expect(bench.tests.value?.composed).toBeNull();
  expect(client.calls.filter((call) => call.startsWith("test"))).toEqual(["test base"]);
});

test("tests and inputs are those of the task that the mix was learned for", async () => {
  const { answer, bench, client, learn, task } = await openPage();
  await learn.learn();
  task.chooseTask("second");
  await answer.runTest();
  expect(client.calls.filter((call) => call.startsWith("fetchTest"))).toEqual(["fetchTest first"]);
  expect(bench.tests.value?.setId).toBe("first");
});

test("one's own task is tested on a file of pairs", async () => {
  const page = await openPage();
  const { answer, bench, client, task } = page;
  task.chooseTask(task.NEW_TASK);
  await answer.runTest();
  expect(client.calls).not.toContain("test base");
  await answer.readTestFile("red\tcolor\nblue\tcolor\ndog\tanimal", "pairs.tsv");
  await answer.runTest();
  expect(bench.tests.value?.base?.total).toBe(3);
});
