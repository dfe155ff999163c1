// Learning runs: which modules and options they get, how they end, and what they leave.

import { meanWeight, type Source } from "loraloom";
import { afterEach, expect, test, vi } from "vitest";
import { isEdited } from "../src/state/workbench/faders.js";
import { registry } from "./fake-loom.js";
import { openPage, type Page, pickedFile, showComposition, when } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

const setting = (page: Page, name: string) => {
  const found = page.settings.settings.value.find((one) => one.name === name);
  if (!found) throw new Error(`no setting ${name}`);
  return found;
};

test("a run loads the base and the modules first, and shows every evaluation in order", async () => {
  const page = await openPage();
  const { client, learn, session } = page;
  expect(await learn.learn()).toBe(true);
  expect(client.calls.filter((call) => !call.startsWith("search"))).toEqual([
    "load",
    "loadModules one,two,three",
    "learn",
  ]);
  expect(learn.evaluations.value.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(learn.planned.value).toBe(6);
  expect(learn.selected.value).toHaveLength(3);
  expect(page.bench.mix.value?.run).toMatchObject({ complete: true, loss: 0.5 });
  expect(page.bench.composition.value).toMatchObject({ merge: "delta" });
  expect(learn.learning.value).toBe(false);
  expect(session.memory.value).toBe(100);
});

test("the weights shown while learning are those of the best mix so far", async () => {
  const { learn } = await openPage();
  const seen = new Set<number>();
  learn.bestWeights.subscribe(([first]) => {
    if (first && learn.learning.value) seen.add(meanWeight(first.weight));
  });
  await learn.learn();
  expect([...seen]).toEqual([0.1, 0.2]);
});

test("a stopped run ends early and keeps its best mix", async () => {
  const page = await openPage();
  const { learn, settings } = page;
  settings.changeSetting(setting(page, "budget"), 1000);
  const run = learn.learn();
  await when(() => learn.evaluations.value.length > 0);
  learn.stopLearning();
  expect(await run).toBe(true);
  expect(page.bench.mix.value?.run?.complete).toBe(false);
  expect(learn.evaluations.value.length).toBeLessThan(100);
  expect(page.bench.composition.value?.modules).toHaveLength(3);
});

test("a second run is rejected with an error, and the first continues", async () => {
  const { client, learn } = await openPage();
  const first = learn.learn();
  await when(() => learn.learning.value);
  expect(await learn.learn()).toBe(false);
  expect(learn.learnError.value?.why).toBe("A run is still running.");
  expect(await first).toBe(true);
  expect(client.learned).toHaveLength(1);
});

test("a large model is learned with a smaller budget unless one is chosen", async () => {
  const ofSize = async (parameters: number) => {
    const library = registry();
    for (const base of library.bases) base.parameters = parameters;
    return openPage(library, undefined, (client) => {
      Object.assign(client, { defaults: { ...client.defaults, budget: 65 } });
    });
  };
  expect((await ofSize(7e6)).settings.options.value?.budget).toBe(65);
  const page = await ofSize(77e6);
  expect(page.settings.options.value?.budget).toBe(35);
  page.settings.changeSetting(setting(page, "budget"), 105);
  expect(page.settings.options.value?.budget).toBe(105);
});

test("a run that fails shows the error and can be tried again", async () => {
  const page = await openPage();
  const { client, learn, LoraLoomError } = page;
  const { learn: working } = client;
  const report = {
    code: "out-of-memory" as const,
    what: "The engine stopped.",
    why: "Memory.",
    next: "Use fewer modules.",
    details: {},
  };
  client.learn = () => {
    throw new LoraLoomError(report);
  };
  expect(await learn.learn()).toBe(false);
  expect(learn.learnError.value).toMatchObject({ what: report.what, why: report.why });
  expect(learn.learning.value).toBe(false);
  expect(page.bench.composition.value).toBeNull();
  client.learn = working;
  expect(await learn.learn()).toBe(true);
  expect(learn.learnError.value).toBeNull();
});

test("cancelling the download ends the run without an error", async () => {
  const { client, learn, session } = await openPage();
  const run = learn.learn();
  await when(() => session.stage.value === "Loading the modules");
  session.cancelLoading();
  expect(await run).toBe(false);
  expect(session.startError.value).toBeNull();
  expect(learn.learnError.value).toBeNull();
  expect(session.busy.value).toBe(false);
  expect(client.calls).not.toContain("learn");
});

test("incomplete or missing examples are an error before anything is loaded", async () => {
  const { client, learn, task } = await openPage();
  task.editExample(2, "output", " ");
  expect(await learn.learn()).toBe(false);
  expect(task.taskError.value?.why).toBe("Row 3 has no output.");
  task.chooseTask(task.NEW_TASK);
  expect(await learn.learn()).toBe(false);
  expect(task.taskError.value?.why).toBe("The table is empty.");
  expect(client.calls).not.toContain("load");
});

test("modules selected by hand are the only ones that a run gets", async () => {
  const page = await openPage();
  const { client, learn, modules, settings } = page;
  settings.changeSetting(setting(page, "selection"), "by-hand");
  expect(await learn.learn()).toBe(false);
  expect(learn.learnError.value?.what).toBe("There are no modules to learn with.");
  modules.pick("two", true);
  modules.pick("one", true);
  modules.pick("one", false);
  expect(await learn.learn()).toBe(true);
  expect(client.learned.map((input) => input.modules)).toEqual([["two"]]);
});

test("a setting cannot leave the engine's limits, from the page or from an earlier visit", async () => {
  const page = await openPage();
  const { client, learn, settings } = page;
  for (const [input, value] of [
    ["1", 2],
    ["-3", 2],
    ["7.6", 8],
    ["1e9", 10_000],
    ["", 6],
    ["many", 6],
  ] as const) {
    expect(settings.changeSetting(setting(page, "budget"), input), input).toBe(value);
  }
  expect(settings.changeSetting(setting(page, "bound"), "0.25")).toBe(0.25);
  expect(settings.changeSetting(setting(page, "selection"), "the best")).toBe("all");

  settings.replaceOptions({ budget: 1, bound: 99 });
  expect(settings.options.value).toMatchObject({ budget: 2, bound: 10, seed: 0 });
  await learn.learn();
  expect(client.learned[0]?.options).toMatchObject({ budget: 2, bound: 10 });

  const reloaded = await openPage(undefined, page.tab);
  expect(reloaded.settings.options.value).toMatchObject({ budget: 2, bound: 10 });
});

test("the error without each module leaves out the modules of weight 0, and can be cancelled", async () => {
  const page = await openPage();
  const { client, learn, mix, session } = page;
  await learn.learn();
  mix.setWeight("two", 0, false);
  await learn.leaveOneOut();
  expect(client.calls.at(-1)).toBe("leaveOneOut one,three");
  expect(learn.lossWithout.value).toMatchObject({
    whole: 1,
    losses: [
      { id: "one", loss: 3 },
      { id: "three", loss: 3 },
    ],
  });

  // It belongs to that position of the faders.
  mix.setWeight("two", 1, false);
  expect(learn.lossWithout.value).toBeNull();
  const measurement = learn.leaveOneOut();
  await when(() => learn.leaveOneOutProgress.value);
  learn.cancelLeaveOneOut();
  await measurement;
  expect(learn.lossWithout.value).toBeNull();
  expect(learn.learnError.value).toBeNull();
  expect(learn.leaveOneOutProgress.value).toBeNull();
  expect(session.busy.value).toBe(false);
});

test("the mix belongs to the task as it was when the run began, whatever is typed meanwhile", async () => {
  const { bench, learn, task } = await openPage();
  const run = learn.learn();
  await when(() => learn.learning.value);
  task.editExample(0, "output", "typed while it learns");
  await run;
  expect(bench.mix.value?.task).toMatchObject({ id: "first", title: "First task" });
  expect(bench.mix.value?.task?.examples[0]?.output).toBe("one");
  expect(bench.mixRelation.value).toBe("other");
  expect(bench.task.value?.examples[0]?.output).toBe("typed while it learns");
});

test("another base removes the mix of the one before", async () => {
  const page = await openPage();
  const { bench, session } = page;
  showComposition(page, { modules: [{ id: "two", weight: 1 }], merge: "delta" });
  await session.ensureBase();
  expect(bench.mix.value).not.toBeNull();
  session.base.value = session.base.value && { ...session.base.value, id: "another" };
  expect(bench.mix.value).toBeNull();
});

test("an added module is learned with, and is gone with its base", async () => {
  const { adding, client, learn, modules, session } = await openPage();
  await adding.addLocalModules([pickedFile("mine.zip")]);
  await adding.addRemoteModule("owner/adapter");
  await adding.addRemoteModule("not an adapter");
  expect(modules.moduleError.value?.what).toContain("not an adapter");
  expect(modules.addedModules.value.map(({ id }) => id)).toEqual(["mine", "owner/adapter"]);
  await learn.learn();
  expect(client.learned[0]?.modules).toEqual(["one", "two", "three", "mine", "owner/adapter"]);
  expect(client.calls).toContain("loadModules one,two,three");
  session.useLibraryBase();
  expect(modules.addedModules.value).toEqual([]);
});

test("an added module never takes the id of one of the library", async () => {
  const { adding, modules } = await openPage();
  await adding.addLocalModules([pickedFile("two.zip")]);
  await adding.addLocalModules([pickedFile("two.zip")]);
  expect(modules.addedModules.value.map(({ id }) => id)).toEqual(["two-local", "two-local-local"]);
});

test("each of several added modules has the path of its folder, and never an id of the library", async () => {
  const { adding, client, modules } = await openPage();
  const sources: Source[] = [];
  client.addModules = async (id, source) => {
    if (typeof source !== "string") sources.push(source);
    return [await client.addModule(id, source)];
  };
  const contents = new Blob();
  const folder = (name: string) => [
    { path: `${name}/adapter_config.json`, contents },
    { path: `${name}/adapter_model.safetensors`, contents },
  ];
  await adding.addLocalModules([...folder("new"), ...folder("other")]);
  await adding.addLocalModules([...folder("other"), ...folder("two")]);
  const paths = sources.map((source) =>
    source.kind === "files" ? source.files.map(({ path }) => path.split("/").slice(0, -1)) : [],
  );
  expect(paths.map((all) => all.map((one) => one.join("/")))).toEqual([
    ["new", "new", "other", "other"],
    ["local/other", "local/other", "local/two", "local/two"],
  ]);
  // Second downloads become modules of their own, named for their files.
  modules.addedModules.value = [{ ...(await client.addModule("adapter_model (1)", "o/n")) }];
  const flat = ["adapter_config.json", "adapter_config (1).json"];
  await adding.addLocalModules(flat.map((path) => ({ path, contents })));
  const last = sources.at(-1);
  expect(last?.kind === "files" && last.files.map(({ path }) => path)).toEqual(
    flat.map((path) => `local/${path}`),
  );
});

test("an output that the model cannot write is named while it is in the table", async () => {
  const { client, learn, task } = await openPage();
  const { learn: run } = client;
  client.learn = (input) => {
    input.onUnwritable?.([{ example: 1, parts: ["犬"] }]);
    return run(input);
  };
  await learn.learn();
  expect(learn.unwritableNow.value).toEqual([{ output: "two", parts: ["犬"] }]);
  task.editExample(1, "output", "dog");
  expect(learn.unwritableNow.value).toEqual([]);
});

test("the rest is learned beside what is held, and undo returns what it replaced", async () => {
  const page = await openPage();
  const { bench, client, learn, mix, workflow } = page;
  await workflow.learnAndAnswer();
  const first = bench.mix.value;
  mix.setWeight("two", -0.75, false);
  mix.toggleMute("three");
  mix.toggleHold("two");
  mix.toggleHold("three");
  const before = bench.mix.value?.desk;
  await workflow.learnAndAnswer(true);

  const held = [
    { id: "two", weight: -0.75 },
    { id: "three", weight: 0 },
  ];
  expect(client.learned.at(-1)?.options?.held).toEqual(held);
  expect(bench.mix.value?.options?.held).toEqual(held);
  const weights = () =>
    Object.fromEntries(
      bench.composition.value?.modules.map(({ id, weight }) => [id, weight]) ?? [],
    );
  expect(weights()).toEqual({ one: 0.2, two: -0.75, three: 0 });
  expect(isEdited(bench.mix.value as NonNullable<typeof first>)).toBe(false);
  // What was muted has its weight as before.
  expect(mix.rows.value.find(({ id }) => id === "three")).toMatchObject({
    weight: 0.2,
    muted: true,
    held: true,
  });
  expect(learn.evaluations.value).toHaveLength(6);

  mix.undoDesk();
  expect(bench.mix.value?.desk).toEqual(before);
  expect(bench.mix.value?.run).toEqual(first?.run);
  expect(bench.mix.value?.options).toEqual(first?.options);
  expect(learn.evaluations.value).toEqual([]);
  mix.redoDesk();
  expect(weights()).toEqual({ one: 0.2, two: -0.75, three: 0 });
  expect(bench.mix.value?.options?.held).toEqual(held);
  mix.undoDesk();
  while (bench.mix.value?.undo.length) mix.undoDesk();
  expect(bench.mix.value?.desk).toEqual(first?.desk);
});

test("holding a module changes no answer, and the rest of another task's mix is not learned", async () => {
  const page = await openPage();
  const { bench, client, mix, task, workflow } = page;
  await workflow.learnAndAnswer();
  const { version } = bench.mix.value ?? {};
  mix.toggleHold("one");
  expect(bench.mix.value?.version).toBe(version);
  task.editExample(0, "output", "another");
  await workflow.learnAndAnswer(true);
  expect(client.learned.at(-1)?.options?.held).toEqual([]);
  expect(bench.mix.value?.task?.examples[0]?.output).toBe("another");
  expect(bench.mix.value?.held).toEqual([]);
});
