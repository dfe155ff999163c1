// The demo, the task's table, links in both directions, and what a reload keeps.

import type { Assessment, Example, ExamplesLayout } from "loraloom";
import { afterEach, expect, test, vi } from "vitest";
import { EXAMPLES, module, PLAIN_TABLE, registry } from "./fake-loom.js";
import { newTab, openPage, type Page, when } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

test("the button learns the first task and answers an input of its test set on both sides", async () => {
  const { bench, client, task, workflow } = await openPage();
  expect(bench.task.value?.id).toBe("first");
  expect(task.libraryTask.value?.title).toBe("First task");
  await workflow.learnAndAnswer();
  expect(client.calls.filter((call) => !call.startsWith("search"))).toEqual([
    "load",
    "loadModules one,two,three",
    "learn",
    "fetchTest first",
    "generate base",
    "generate composed",
  ]);
  expect(bench.mix.value?.run?.complete).toBe(true);
  expect(bench.answers.value?.composed?.text).toBe(
    "composed one 0.2 two 0.2 three 0.2 the word six.",
  );
});

test("the button answers what was typed, where something was", async () => {
  const { answer, bench, workflow } = await openPage();
  answer.setInput("mine");
  await workflow.learnAndAnswer();
  expect(bench.answers.value?.input).toBe("mine");
});

test("an engine that ended is started again by its button, and says where it ends again", async () => {
  const { again, client, session, LoraLoomError } = await openPage();
  const ended = new LoraLoomError({
    ...{ code: "internal", what: "The engine stays ended.", why: "", next: "", details: {} },
  });
  client.ended = ended;
  session.restartError.value = ended;
  const { restart } = client;
  client.restart = () => Promise.reject(ended);
  await again.startAgain();
  expect(session.restartError.value).toBe(ended);
  expect(session.busy.value).toBe(false);
  client.restart = restart;
  await again.startAgain();
  expect([client.ended, session.restartError.value]).toEqual([null, null]);
});

test("the page says that an answer follows, from the press to the answer's end", async () => {
  const { answer, bench, client, workflow } = await openPage();
  const follows: boolean[] = [];
  const { fetchTest, generate } = client;
  client.fetchTest = (id) => {
    follows.push(answer.answerFollows.value);
    return fetchTest(id);
  };
  client.generate = (options) => {
    follows.push(answer.answerFollows.value);
    return generate(options);
  };
  await workflow.learnAndAnswer();
  expect(bench.answers.value?.composed?.done).toBe(true);
  expect(follows).toEqual([true, true, true]);
  expect(answer.answerFollows.value).toBe(false);
});

test("the button does not answer where learning failed", async () => {
  const { answer, client, learn, workflow } = await openPage();
  client.learn = () => {
    throw new Error("no memory");
  };
  await workflow.learnAndAnswer();
  expect(learn.learnError.value?.why).toBe("no memory");
  expect(answer.answerFollows.value).toBe(false);
  expect(client.calls).not.toContain("generate base");
});

test("a link in the address is restored without learning", async () => {
  const { bench, client, learn } = await openPage(registry(), newTab("#Second%20task"));
  expect(client.calls).toContain("restore Second%20task");
  expect(client.calls).not.toContain("learn");
  expect(bench.mix.value).toMatchObject({
    origin: "link",
    title: "Second%20task",
    note: "Type a word.",
    task: null,
    run: null,
  });
  expect(bench.composition.value?.modules).toEqual([{ id: "two", weight: 0.7 }]);
  expect(bench.mixRelation.value).toBe("unknown");
  expect(learn.evaluations.value).toEqual([]);
});

test("a link replaces what was learned, and learning again replaces the link's composition", async () => {
  const page = await openPage();
  const { bench, learn, workflow } = page;
  await workflow.learnAndAnswer();
  page.tab.location.hash = "shared";
  await workflow.restoreFromAddress();
  expect(bench.mix.value?.origin).toBe("link");
  expect(learn.evaluations.value).toEqual([]);
  expect(bench.answers.value?.composed?.text).toBe("composed two 0.7 the word six.");
  await learn.learn();
  expect(bench.mix.value?.origin).toBe("learned");
  expect(bench.composition.value?.modules).toHaveLength(3);
});

/** Lets every link hold these examples, with a title of a task of the library. */
function linksHold({ client }: Page, examples: Example[]) {
  const { restore } = client;
  client.restore = async (fragment) => {
    const restored = await restore(fragment);
    return { ...restored, recipe: { ...restored.recipe, title: "Second task", examples } };
  };
}

test("a link is of a task of the library by its examples, never by its title", async () => {
  const page = await openPage();
  const { bench, workflow } = page;
  page.tab.location.hash = "shared";
  linksHold(page, [{ input: "red", output: "color" }]);
  await workflow.restoreFromAddress();
  expect(bench.task.value).toMatchObject({ own: true, title: "Second task" });
  expect(bench.task.value?.examples).toEqual([{ input: "red", output: "color" }]);
  expect(bench.mixRelation.value).toBe("same");
  linksHold(page, EXAMPLES);
  await workflow.restoreFromAddress();
  expect(bench.task.value).toMatchObject({ id: "first", own: false });
});

test("a link without examples leaves the table, and one with examples keeps what was typed", async () => {
  const page = await openPage();
  const { bench, task, workflow } = page;
  task.editExample(0, "output", "typed");
  const typed = bench.task.value;
  page.tab.location.hash = "shared";
  await workflow.restoreFromAddress();
  expect(bench.task.value).toBe(typed);
  linksHold(page, [{ input: "red", output: "color" }]);
  await workflow.restoreFromAddress();
  expect(bench.drafts.value).toEqual([typed]);
  task.undoTable();
  expect(bench.task.value).toBe(typed);
});

test("a link that downloads much waits to be accepted, and one's own does not", async () => {
  const large = registry([module("one"), module("two", 100e6)]);
  const page = await openPage(large);
  const { bench, client, share, workflow } = page;
  const { restore } = client;
  client.decode = async (fragment) => (await restore(fragment)).recipe;
  page.tab.location.hash = "shared";
  await workflow.restoreFromAddress();
  expect(workflow.linkOffer.value).toMatchObject({ title: "shared", note: "Type a word." });
  expect(workflow.linkOffer.value?.bytes).toBeGreaterThan(100e6);
  expect(bench.mix.value).toBeNull();
  await workflow.restoreFromAddress(true);
  expect(workflow.linkOffer.value).toBeNull();
  expect(bench.mix.value?.title).toBe("shared");

  share.keepLinkCurrent();
  await when(() => share.link.value);
  const reloaded = await openPage(large, page.tab, (other) => {
    other.decode = client.decode;
  });
  expect(reloaded.workflow.linkOffer.value).toBeNull();
  expect(reloaded.bench.mix.value?.title).toBe("shared");
});

test("a broken link is an error, and everything else stays", async () => {
  const page = await openPage();
  const { client, learn, workflow } = page;
  await learn.learn();
  const before = page.bench.mix.value;
  client.restore = () => Promise.reject(new Error("not a recipe"));
  page.tab.location.hash = "broken";
  await workflow.restoreFromAddress();
  expect(workflow.linkError.value?.why).toBe("not a recipe");
  expect(page.bench.mix.value).toBe(before);
  expect(learn.evaluations.value).not.toEqual([]);
  page.tab.location.hash = "";
  await workflow.restoreFromAddress();
  expect(workflow.linkError.value).toBeNull();
});

test("the link holds the mix's own title and examples, whatever is in the table", async () => {
  const page = await openPage();
  const { learn, share, task } = page;
  share.keepLinkCurrent();
  expect(share.link.value).toBeNull();
  await learn.learn();
  await when(() => share.link.value);
  expect(share.link.value).toBe("https://site.example/#First%20task-5");
  expect(page.tab.location.hash).toBe("#First%20task-5");
  task.chooseTask("second");
  task.editExample(0, "input", "red");
  expect(share.link.value).toBe("https://site.example/#First%20task-5");
  share.setTitle(" ");
  await when(() => share.link.value?.endsWith("#My%20task-5"));
});

test("the link is none while that of another name, note or choice of examples is being made", async () => {
  const { learn, mix, share, task } = await openPage();
  task.editExample(0, "output", "another");
  share.keepLinkCurrent();
  await learn.learn();
  mix.setWeight("one", 0.5, false);
  await when(() => share.link.value);
  for (const change of [
    () => share.setTitle("Another name"),
    () => share.setNote("A note"),
    () => {
      share.withExamples.value = true;
    },
  ]) {
    change();
    expect(share.link.value).toBeNull();
    // What is open beside it stays.
    expect(share.made.value).not.toBeNull();
    await when(() => share.link.value);
  }
  expect(share.link.value).toMatch(/#Another%20name-5$/);
});

test("a mix is kept under its own link, not under that of the mix before", async () => {
  const { bench, client, learn, runs, share, task } = await openPage();
  const learnChecked = async () => {
    await learn.learn();
    const assessment = { answers: [] } as unknown as Assessment;
    bench.update((now) => ({
      ...now,
      checks: { version: now.mix?.version ?? 0, assessment, loss: null },
    }));
  };
  share.keepLinkCurrent();
  await learnChecked();
  await when(() => share.link.value);
  expect(runs.learnedRun.value).toMatchObject({ fragment: "First%20task-5" });

  let release = () => {};
  const { share: make } = client;
  client.share = async (content) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return make(content);
  };
  task.chooseTask("second");
  await learnChecked();
  expect(bench.mix.value?.title).toBe("Second task");
  expect(runs.learnedRun.value).toBeNull();
  release();
  await when(() => share.link.value);
  expect(runs.learnedRun.value).toMatchObject({
    fragment: "Second%20task-5",
    mix: { title: "Second task" },
  });
});

test("one's own examples go into the link only when included", async () => {
  const { learn, share, task } = await openPage();
  share.keepLinkCurrent();
  task.editExample(0, "output", "un");
  await learn.learn();
  await when(() => share.link.value?.endsWith("#My%20task-0"));
  share.withExamples.value = true;
  await when(() => share.link.value?.endsWith("#My%20task-5"));
});

test("a link says that its weights were changed by hand, and only while they are", async () => {
  const { client, learn, mix, share } = await openPage();
  const notes: (string | null | undefined)[] = [];
  client.share = async ({ instruction }) => {
    notes.push(instruction);
    return `${notes.length}`;
  };
  share.keepLinkCurrent();
  await learn.learn();
  await when(() => share.link.value?.endsWith("#1"));
  mix.setWeight("one", 1, false);
  expect(share.link.value).toBeNull();
  await when(() => share.link.value?.endsWith("#2"));
  mix.resetWeight("one");
  await when(() => share.link.value?.endsWith("#3"));
  expect(notes).toEqual([null, "(Some weights set by hand.)", null]);
});

test("an older link never replaces a newer one, and an error removes the link", async () => {
  const page = await openPage();
  const { client, learn, share } = page;
  share.keepLinkCurrent();
  await learn.learn();
  let resolveSlow = (_fragment: string) => {};
  const slow = new Promise<string>((resolve) => {
    resolveSlow = resolve;
  });
  client.share = () => slow;
  share.setTitle("slow");
  client.share = async () => "new";
  share.setTitle("new");
  await when(() => share.link.value?.endsWith("#new"));
  resolveSlow("slow");
  await slow;
  expect(share.link.value).toBe("https://site.example/#new");

  client.share = () => Promise.reject(new Error("added by hand"));
  share.setTitle("failing");
  await when(() => share.shareError.value);
  expect(share.link.value).toBeNull();
  expect(page.tab.location.hash).toBe("");
});

test("an edited example is one's own, and survives a reload", async () => {
  const page = await openPage();
  const { bench, task } = page;
  task.editExample(1, "output", "deux");
  expect(bench.task.value).toMatchObject({ own: true, title: "" });
  expect(EXAMPLES[1]?.output).toBe("two");
  const reloaded = await openPage(registry(), page.tab);
  expect(reloaded.task.examples.value[1]).toEqual({ input: "the word two", output: "deux" });
  expect(reloaded.bench.task.value?.own).toBe(true);
});

test("a reload restores the mix with the task that it was learned from", async () => {
  const page = await openPage();
  const { bench, learn, mix, share, task } = page;
  share.keepLinkCurrent();
  task.editExample(1, "output", "deux");
  await learn.learn();
  mix.setWeight("one", 0, false);
  await when(() => share.link.value);
  const before = bench.mix.value;
  const reloaded = await openPage(registry(), page.tab);
  expect(reloaded.bench.mix.value).toEqual({ ...before, version: expect.any(Number) });
  expect(reloaded.bench.mixRelation.value).toBe("same");
});

test("examples typed in another tab of the browser can be chosen in a new one", async () => {
  const page = await openPage();
  page.task.editExample(1, "output", "deux");
  const other = await openPage(registry(), newTab("", page.tab.localStorage));
  expect(other.bench.task.value?.id).toBe("first");
  expect(other.bench.drafts.value).toMatchObject([{ own: true }]);
  other.task.chooseTask(other.bench.drafts.value[0]?.id ?? "");
  expect(other.task.examples.value[1]?.output).toBe("deux");
});

test("choosing a task of the library keeps one's own, and undo brings it back", async () => {
  const { bench, task } = await openPage();
  task.editExample(0, "input", "typed");
  const own = bench.task.value;
  task.chooseTask("second");
  expect(bench.drafts.value).toEqual([own]);
  task.undoTable();
  expect(bench.task.value).toBe(own);
  expect(bench.drafts.value).toEqual([]);
  task.redoTable();
  expect(bench.task.value?.id).toBe("second");
  task.chooseTask(own?.id ?? "");
  expect(task.examples.value[0]?.input).toBe("typed");
});

test("pasted examples replace a task of the library at once; unreadable ones leave the table", async () => {
  const { client, task } = await openPage();
  const onUsed = vi.fn();
  await task.pasteExamples("red\tcolor\ndog\tanimal", onUsed);
  expect(onUsed).toHaveBeenCalledOnce();
  expect(task.incoming.value).toBeNull();
  expect(task.examples.value).toHaveLength(2);
  expect(task.tableRead.value?.layout.delimiter).toBe("\t");
  client.readExamples = () => Promise.reject(new Error("line 2"));
  await task.pasteExamples("?", onUsed);
  expect(onUsed).toHaveBeenCalledOnce();
  expect(task.taskError.value?.why).toBe("line 2");
  const onRefused = vi.fn();
  await task.pasteExamples("red\tcolor\ncaf\uFFFD\tplace");
  expect(task.taskError.value).toMatchObject({
    why: "Line 2 has “\uFFFD” in its place.",
    next: expect.stringContaining("Copy it again"),
  });
  task.taskError.value = null;
  await task.pasteExamples("{}", onUsed, onRefused);
  expect(onRefused).toHaveBeenCalledOnce();
  expect(task.taskError.value).toBeNull();
  expect(task.examples.value).toHaveLength(2);
  task.undoTable();
  expect(task.examples.value).toEqual(EXAMPLES);
  // What was read is no longer in the table.
  expect(task.tableRead.value).toBeNull();
});

/** The examples that the page asks about. */
function askedOf({ incoming }: Page["task"]) {
  if (!incoming.value) throw new Error("nothing is asked");
  return incoming.value;
}

test("rows of one's own are replaced only once that is confirmed, and come back by undo", async () => {
  const { task } = await openPage();
  task.editExample(0, "input", "mine");
  const mine = task.examples.value;
  const onUsed = vi.fn();
  await task.pasteExamples("red\tcolor\ndog\tanimal", onUsed);
  expect(task.examples.value).toBe(mine);
  expect(task.incoming.value?.examples).toHaveLength(2);
  // Cancelled, nothing has changed, and the text that was pasted stays in its box.
  task.incoming.value = null;
  expect(task.examples.value).toBe(mine);
  expect(onUsed).not.toHaveBeenCalled();

  await task.pasteExamples("red\tcolor\ndog\tanimal", onUsed);
  const asked = askedOf(task);
  task.putInTable(asked, []);
  expect(onUsed).toHaveBeenCalledOnce();
  expect(task.incoming.value).toBeNull();
  expect(task.examples.value).toEqual(asked.examples);
  expect(task.tableRead.value?.layout).toEqual(asked.layout);
  task.undoTable();
  expect(task.examples.value).toBe(mine);
});

test("examples that are read can go below the rows of one's own", async () => {
  const { task } = await openPage();
  task.chooseTask(task.NEW_TASK);
  // An empty table of one's own is filled at once.
  await task.pasteExamples("red\tcolor");
  expect(task.incoming.value).toBeNull();
  await task.pasteExamples("dog\tanimal");
  const asked = askedOf(task);
  task.putInTable(asked, task.examples.value);
  expect(task.examples.value).toEqual([
    { input: "red", output: "color" },
    { input: "dog", output: "animal" },
  ]);
  task.undoTable();
  expect(task.examples.value).toEqual([{ input: "red", output: "color" }]);
});

test("a question about one table is gone with it", async () => {
  const { task } = await openPage();
  task.editExample(0, "input", "mine");
  await task.pasteExamples("red\tcolor");
  expect(task.incoming.value).not.toBeNull();
  task.chooseTask("second");
  expect(task.incoming.value).toBeNull();
});

test("settings of decoding that are not applied are said in words", async () => {
  const { details } = await import("../src/details-text.js");
  const unusedTensors = { count: 0, names: [] };
  const generation = { file: "config.json", settings: ["num_beams 4", "do_sample true"] };
  expect(details.download.notes({ unusedTensors, generation })).toBe(
    "Its config.json sets num_beams 4, do_sample true. That is not applied: answers are decoded greedily.",
  );
});

test("what a text of examples was taken for is said in words", async () => {
  const { details } = await import("../src/details-text.js");
  const layout = { ...PLAIN_TABLE, delimiter: "," };
  const said = (changed: Partial<ExamplesLayout>) =>
    details.incoming.layout({ ...layout, ...changed });
  expect(said({})).toBe(
    "Read as comma-separated, without a header: the first column is the input, the second the output.",
  );
  expect(said({ delimiter: "\t", input: ["Question"], output: ["answer"], unused: ["id"] })).toBe(
    "Read as tab-separated, with a header: “Question” is the input, “answer” the output. Not used: “id”.",
  );
  expect(
    said({
      delimiter: null,
      instruction: ["instruction"],
      input: ["input", "text"],
      output: ["label"],
    }),
  ).toBe("Read as JSON: “instruction” and “input” or “text” are the input, “label” the output.");
  expect(said({ delimiter: null })).toBe(
    "Read as JSON: the first of each pair is the input, the second the output.",
  );
  expect(said({ delimiter: "|", input: ["a"], output: ["b"], trimmed: 2 })).toBe(
    "Read as Markdown, with a header: “a” is the input, “b” the output. Blanks around the cells removed in 2 rows.",
  );
  const empty = [2, 5, 7, 8].map((line) => ({ place: `line ${line}`, field: "output" }));
  expect(details.incoming.leftOut({ ...layout, leftOut: 9, empty })).toBe(
    "9 rows left out: line 2 has no output, line 5 has no output, line 7 has no output, ….",
  );
  expect(details.incoming.leftOut({ ...layout, leftOut: 1, empty: empty.slice(0, 1) })).toBe(
    "1 row left out: line 2 has no output.",
  );
});

test("a file that is no list of examples by its size is not read", async () => {
  const { task } = await openPage();
  const large = new File([new Uint8Array(5 * 2 ** 20)], "video.csv");
  const { readExamplesFile } = await import("../src/state/examples-file.js");
  expect(await readExamplesFile(large)).toBeNull();
  expect(task.taskError.value?.why).toBe("It has 5 MB; the limit is 4 MB.");
  const read = await readExamplesFile(new File(["a\tb"], "pairs.tsv"));
  expect(new TextDecoder().decode(read ?? undefined)).toBe("a\tb");
});

test("the engine's own start error is shown, and a device in the address is saved and removed", async () => {
  const tab = newTab("?device=webgpu#shared");
  const page = await openPage(registry(), tab);
  expect(page.session.engineSettings.value.device).toBe("webgpu");
  expect(tab.location.search).toBe("");
  expect(tab.location.hash).toBe("#shared");
  const { LoraLoom } = await import("loraloom");
  vi.mocked(LoraLoom.inspect).mockRejectedValueOnce(new Error("no SIMD"));
  await page.session.changeEngine({ threads: 2 });
  expect(page.session.startError.value?.why).toBe("no SIMD");
  await page.session.start();
  expect(page.session.startError.value).toBeNull();
  expect(vi.mocked(LoraLoom.inspect).mock.lastCall?.[0]).toMatchObject({
    device: "webgpu",
    threads: 2,
  });
});
