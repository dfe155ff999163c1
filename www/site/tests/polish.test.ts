// Polishing: what it makes of a mix, what ends it, and what brings it back.

import type { ShareInput } from "loraloom";
import { afterEach, expect, test, vi } from "vitest";
import { isEdited } from "../src/state/workbench/faders.js";
import { registry } from "./fake-loom.js";
import { newTab, openPage, type Page, showComposition, when } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

/** Learns, and waits for the answers to the examples. */
async function learned(page: Page): Promise<void> {
  page.follow.followFaders();
  page.share.keepLinkCurrent();
  await page.workflow.learnAndAnswer();
  await settled(page);
}

const settled = ({ bench }: Page) =>
  when(() => bench.answers.value?.current && (bench.checks.value?.loss ?? null) !== null);

const answerOf = ({ bench }: Page) => bench.answers.value?.composed?.text;

test("a polished mix is one module, with its verdict, and the answer follows", async () => {
  const page = await openPage();
  const { bench, client, polish } = page;
  await learned(page);
  const before = bench.mix.value;
  expect(answerOf(page)).toBe("composed one 0.2 two 0.2 three 0.2 the word six.");
  const assessed = vi.spyOn(client, "assess");
  await polish.polish();
  const mix = bench.mix.value;
  const tuned = mix?.desk.tuned;
  expect(tuned).toMatchObject({
    scales: { values: [20] },
    run: { seconds: 2, steps: 20, complete: true, rightBefore: 5 },
  });
  expect(tuned?.id).toMatch(/^tuned-/);
  expect(bench.composition.value).toEqual({
    modules: [{ id: tuned?.id, weight: 1 }],
    merge: "delta",
  });
  expect(bench.unpolishedMix.value?.modules).toEqual(before?.desk.modules);
  expect(mix?.version).toBeGreaterThan(before?.version ?? 0);
  expect(mix && isEdited(mix)).toBe(false);
  // The verdict and the loss are those of the run: nothing is computed again.
  expect(bench.checks.value).toMatchObject({ version: mix?.version, loss: 0.1 });
  expect(bench.answers.value?.current).toBe(false);
  await settled(page);
  expect(answerOf(page)).toBe("composed one 0.2 two 0.2 three 0.2 scaled 20 the word six.");
  expect(assessed).toHaveBeenCalledTimes(1);
});

test("a moved fader ends the polish, undo brings it back, and undo once more the mix before", async () => {
  const page = await openPage();
  const { bench, client, mix, polish } = page;
  await learned(page);
  await polish.polish();
  const polished = bench.mix.value?.desk;
  const drops: [string, () => void][] = [
    ["fader", () => mix.setWeight("one", 1, false)],
    ["mute", () => mix.toggleMute("one")],
    ["solo", () => mix.toggleSolo("one")],
    ["reset", mix.resetDesk],
  ];
  for (const [name, act] of drops) {
    act();
    expect(bench.mix.value?.desk.tuned, name).toBeUndefined();
    mix.undoDesk();
    expect(bench.mix.value?.desk, name).toEqual(polished);
  }
  await settled(page);
  expect(answerOf(page)).toContain(" scaled 20 ");
  // What changes no weight keeps it.
  mix.setWeight("one", 0.2, false);
  mix.resetWeight("one");
  mix.toggleHold("one");
  expect(bench.mix.value?.desk).toEqual(polished);
  mix.undoDesk();
  expect(bench.mix.value?.desk.tuned).toBeUndefined();
  await settled(page);
  expect(answerOf(page)).not.toContain("scaled");
  expect(client.calls.filter((call) => call.startsWith("addScaled"))).toHaveLength(1);
});

test("learning the rest ends the polish, as one step of undo", async () => {
  const page = await openPage();
  const { bench, mix, polish, workflow } = page;
  await learned(page);
  await polish.polish();
  mix.toggleHold("one");
  await workflow.learnAndAnswer(true);
  expect(bench.mix.value?.desk.tuned).toBeUndefined();
  expect(bench.mix.value?.options?.held).toEqual([{ id: "one", weight: 0.2 }]);
  mix.undoDesk();
  expect(bench.mix.value?.desk.tuned).toBeDefined();
});

test("a stop keeps the steps made so far; before the first it changes nothing", async () => {
  const page = await openPage();
  const { bench, polish } = page;
  await learned(page);
  const before = bench.mix.value;
  const first = polish.polish();
  polish.stopPolishing();
  await first;
  expect(bench.mix.value).toEqual(before);
  expect(polish.polishError.value).toBeNull();
  const second = polish.polish();
  await when(() => (polish.lastStep.value?.number ?? 0) >= 3);
  polish.stopPolishing();
  await second;
  const run = bench.mix.value?.desk.tuned?.run;
  expect(run).toMatchObject({ complete: false });
  expect(run?.steps).toBeLessThan(20);
  // A stopped run has no answers to the examples: they are computed.
  await settled(page);
  expect(bench.checks.value?.assessment.answers[0]?.answer).toContain(" scaled ");
});

test("neither learns while the other does, and a fader that moves ends the polish in progress", async () => {
  const page = await openPage();
  const { bench, client, learn, mix, polish } = page;
  await learned(page);
  const polishing = polish.polish();
  expect(await learn.learn()).toBe(false);
  expect(learn.learnError.value?.why).toBe("A run is still running.");
  await polish.polish();
  await when(() => polish.lastStep.value);
  mix.setWeight("one", 1, false);
  await polishing;
  expect(client.calls.filter((call) => call === "tune")).toHaveLength(1);
  expect(bench.mix.value?.desk.tuned).toBeUndefined();
  expect(learn.polishing.value).toBe(false);
  const learning = learn.learn();
  await when(() => learn.learning.value);
  await polish.polish();
  await learning;
  expect(client.calls.filter((call) => call === "tune")).toHaveLength(1);
});

test("an error of the engine is shown until the mix is another one", async () => {
  const page = await openPage();
  const { bench, client, mix, polish } = page;
  await learned(page);
  client.tune = () => {
    throw new Error("it diverged");
  };
  await polish.polish();
  expect(polish.polishError.value?.why).toBe("it diverged");
  expect(bench.mix.value?.desk.tuned).toBeUndefined();
  mix.setWeight("one", 1, false);
  expect(polish.polishError.value).toBeNull();
});

test("the link holds the mix before, with the scales, and opens as polished", async () => {
  const page = await openPage();
  const { bench, client, polish, share } = page;
  const shared: ShareInput[] = [];
  client.share = async (input) => {
    shared.push(input);
    return `link-${shared.length}`;
  };
  await learned(page);
  await polish.polish();
  await when(() => share.link.value);
  expect(shared.at(-1)).toMatchObject({
    composition: { modules: ["one", "two", "three"].map((id) => ({ id, weight: 0.2 })) },
    scales: { values: [20] },
    instruction: null,
  });
  const { id } = bench.mix.value?.desk.tuned ?? {};
  // A reload makes the module again, from the saved mix.
  const again = await openPage(registry(), page.tab, (fresh) => {
    const { restore } = fresh;
    fresh.restore = async (fragment) => {
      const { recipe } = await restore(fragment);
      const modules = bench.unpolishedMix.value?.modules ?? [];
      const scales = { step: 0.1, values: [20] };
      await fresh.addScaled({ composition: { modules, merge: "delta" }, scales });
      const composition = { modules: [{ id: "tuned", weight: 1 }], merge: "delta" as const };
      const hashed = modules.map((one) => ({ ...one, hash: "" }));
      return { recipe: { ...recipe, modules: hashed, scales }, composition };
    };
  });
  const desk = again.bench.mix.value?.desk;
  expect(desk?.modules).toEqual(bench.mix.value?.desk.modules);
  expect(desk?.tuned).toMatchObject({ id: "tuned", run: { rightBefore: 5 } });
  expect(answerOf(again)).toContain(" scaled 20 ");
  // The one that undo and redo bring back has its own id, and is made when it is needed.
  again.follow.followFaders();
  again.mix.undoDesk();
  await settled(again);
  expect(answerOf(again)).not.toContain("scaled");
  again.mix.redoDesk();
  await settled(again);
  expect(answerOf(again)).toContain(" scaled 20 ");
  expect(again.client.tuned.has(id ?? "")).toBe(false);
});

test("a link of a polished mix opens without a learning run, and can be moved and undone", async () => {
  const page = await openPage(registry(), newTab("#shared"), (client) => {
    const { restore } = client;
    client.restore = async (fragment) => {
      const { recipe, composition } = await restore(fragment);
      const scales = { step: 0.5, values: [3] };
      await client.addScaled({ composition, scales });
      const tuned = { modules: [{ id: "tuned", weight: 1 }], merge: "delta" as const };
      return { recipe: { ...recipe, scales }, composition: tuned };
    };
  });
  const { bench, mix } = page;
  expect(bench.mix.value?.desk).toEqual({
    modules: [{ id: "two", weight: 0.7 }],
    muted: [],
    solo: null,
    tuned: { id: "tuned", scales: { step: 0.5, values: [3] } },
  });
  page.answer.setInput("a word");
  await page.answer.answer();
  expect(answerOf(page)).toMatch(/^composed two 0.7 scaled 3 /);
  mix.toggleMute("two");
  mix.undoDesk();
  expect(bench.composition.value?.modules).toEqual([{ id: "tuned", weight: 1 }]);
});

test("a new engine makes the module again before it answers, tests or exports", async () => {
  const page = await openPage();
  const { answer, bench, client, polish, session, take } = page;
  await learned(page);
  await polish.polish();
  const id = bench.mix.value?.desk.tuned?.id ?? "";
  const exported = vi.fn(async () => ({ config: new Uint8Array(), weights: new Uint8Array() }));
  client.exportAdapter = exported;
  for (const act of [answer.answer, answer.runTest, () => take.adapterArchive("")]) {
    await session.changeEngine({ precision: "f32" });
    await act();
    expect(client.tuned.get(id)).toBe(" one 0.2 two 0.2 three 0.2 scaled 20");
    expect(answer.answerError.value).toBeNull();
  }
  expect(exported).toHaveBeenCalledWith({ modules: [{ id, weight: 1 }], merge: "delta" });
  client.addScaled = () => Promise.reject(new Error("it does not fit"));
  await session.changeEngine({ precision: "int8" });
  await answer.answer();
  expect(answer.answerError.value?.why).toBe("it does not fit");
});

test("a slot keeps a polished mix, and what modules matter is measured before polishing", async () => {
  const page = await openPage();
  const { bench, client, learn, mix, polish } = page;
  await learned(page);
  mix.keep("A");
  await polish.polish();
  const tuned = bench.mix.value?.desk.tuned;
  mix.keep("B");
  await learn.leaveOneOut();
  expect(client.calls).toContain("leaveOneOut one,two,three");
  mix.recall("A");
  expect(bench.mix.value?.desk.tuned).toBeUndefined();
  mix.recall("B");
  expect(bench.mix.value?.desk.tuned).toEqual(tuned);
});

test("a polished mix is kept as a run of its own", async () => {
  const page = await openPage();
  const { bench, polish, runs, share } = page;
  let links = 0;
  page.client.share = async () => `link-${++links}`;
  await learned(page);
  await when(() => share.link.value);
  const first = runs.learnedRun.value;
  await polish.polish();
  await when(() => share.link.value);
  const second = runs.learnedRun.value;
  expect(second?.fragment).not.toBe(first?.fragment);
  expect(second).toMatchObject({ mix: bench.mix.value, right: { correct: 5, total: 5 } });
});

test("what has no weight or no examples is not polished", async () => {
  const page = await openPage();
  const { client, mix, polish } = page;
  await learned(page);
  for (const id of ["one", "two", "three"]) mix.toggleMute(id);
  await settled(page);
  await polish.polish();
  showComposition(page, { modules: [{ id: "two", weight: 0.7 }], merge: "delta" });
  await polish.polish();
  expect(client.calls).not.toContain("tune");
});
