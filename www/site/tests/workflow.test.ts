// The demo, the task's table, links in both directions, and what a reload keeps.

import { afterEach, expect, test, vi } from "vitest";
import { EXAMPLES, registry } from "./fake-loom.js";
import { newTab, openPage, when } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

test("the demo learns the first task and answers an input of its test set on both sides", async () => {
  const { answer, client, learn, task, workflow } = await openPage();
  expect(task.taskId.value).toBe("first");
  await workflow.runDemo();
  expect(client.calls.filter((call) => !call.startsWith("search"))).toEqual([
    "load",
    "loadModules one,two,three",
    "learn",
    "fetchTest first",
    "generate base",
    "generate composed",
  ]);
  expect(learn.learned.value?.complete).toBe(true);
  expect(answer.answers.value.composed?.text).toBe("composed the word six.");
});

test("the demo does not answer where learning failed", async () => {
  const { client, learn, workflow } = await openPage();
  client.learn = () => {
    throw new Error("no memory");
  };
  await workflow.runDemo();
  expect(learn.learnError.value?.why).toBe("no memory");
  expect(client.calls).not.toContain("generate base");
});

test("a link in the address is restored without learning", async () => {
  const page = await openPage(registry(), newTab("#Second%20task"));
  const { client, learn, share, task } = page;
  expect(client.calls).toContain("restore Second%20task");
  expect(client.calls).not.toContain("learn");
  expect(page.composition.restored.value?.title).toBe("Second%20task");
  expect(page.composition.composition.value?.modules).toEqual([{ id: "two", weight: 0.7 }]);
  expect(learn.bestWeights.value).toEqual([{ id: "two", weight: 0.7 }]);
  expect(share.instruction.value).toBe("Type a word.");
  expect(task.title.value).toBe("Second%20task");
});

test("a link replaces what was learned, and learning again replaces the link's composition", async () => {
  const page = await openPage();
  const { answer, learn, workflow } = page;
  await workflow.runDemo();
  page.tab.location.hash = "shared";
  await workflow.restoreFromAddress();
  expect(learn.learned.value).toBeNull();
  expect(learn.evaluations.value).toEqual([]);
  expect(answer.answers.value.composed).toBeNull();
  await learn.learn();
  expect(page.composition.restored.value).toBeNull();
  expect(page.composition.composition.value?.modules).toHaveLength(3);
});

test("a link of a task of the library chooses it; the examples of a link are one's own", async () => {
  const page = await openPage();
  const { client, task, workflow } = page;
  page.tab.location.hash = "shared";
  const { restore } = client;
  client.restore = async (fragment) => {
    const restored = await restore(fragment);
    return { ...restored, recipe: { ...restored.recipe, title: "Second task" } };
  };
  await workflow.restoreFromAddress();
  expect(task.taskId.value).toBe("second");
  client.restore = async (fragment) => {
    const restored = await restore(fragment);
    const examples = [{ input: "red", output: "color" }];
    return { ...restored, recipe: { ...restored.recipe, title: "Second task", examples } };
  };
  await workflow.restoreFromAddress();
  expect(task.taskId.value).toBe(task.OWN_EXAMPLES);
  expect(task.examples.value).toEqual([{ input: "red", output: "color" }]);
});

test("a broken link is an error, and everything else stays", async () => {
  const page = await openPage();
  const { client, learn, workflow } = page;
  await learn.learn();
  const before = page.composition.composition.value;
  client.restore = () => Promise.reject(new Error("not a recipe"));
  page.tab.location.hash = "broken";
  await workflow.restoreFromAddress();
  expect(workflow.linkError.value?.why).toBe("not a recipe");
  expect(page.composition.composition.value).toBe(before);
  expect(learn.learned.value).not.toBeNull();
  page.tab.location.hash = "";
  await workflow.restoreFromAddress();
  expect(workflow.linkError.value).toBeNull();
});

test("the link follows the composition, the title and the included examples", async () => {
  const page = await openPage();
  const { learn, share, task } = page;
  share.keepLinkCurrent();
  expect(share.link.value).toBeNull();
  await learn.learn();
  await when(() => share.link.value);
  expect(share.link.value).toBe("https://site.example/#First%20task-0");
  expect(page.tab.location.hash).toBe("#First%20task-0");
  share.withExamples.value = true;
  task.title.value = " ";
  await when(() => share.link.value?.endsWith("#My%20task-5"));
});

test("an older link never replaces a newer one, and an error removes the link", async () => {
  const page = await openPage();
  const { client, learn, share, task } = page;
  share.keepLinkCurrent();
  await learn.learn();
  let resolveSlow = (_fragment: string) => {};
  const slow = new Promise<string>((resolve) => {
    resolveSlow = resolve;
  });
  client.share = () => slow;
  task.title.value = "slow";
  client.share = async () => "new";
  task.title.value = "new";
  await when(() => share.link.value?.endsWith("#new"));
  resolveSlow("slow");
  await slow;
  expect(share.link.value).toBe("https://site.example/#new");

  client.share = () => Promise.reject(new Error("added by hand"));
  task.title.value = "failing";
  await when(() => share.shareError.value);
  expect(share.link.value).toBeNull();
  expect(page.tab.location.hash).toBe("");
});

test("an edited example is one's own, and survives a reload", async () => {
  const page = await openPage();
  const { task } = page;
  task.editExample(1, "output", "deux");
  expect(task.taskId.value).toBe(task.OWN_EXAMPLES);
  expect(task.title.value).toBe("");
  expect(EXAMPLES[1]?.output).toBe("two");
  const reloaded = await openPage(registry(), page.tab);
  expect(reloaded.task.examples.value[1]).toEqual({ input: "the word two", output: "deux" });
  expect(reloaded.task.taskId.value).toBe(task.OWN_EXAMPLES);
});

test("pasted examples replace the table; unreadable ones leave it", async () => {
  const { client, task } = await openPage();
  expect(await task.pasteExamples("red\tcolor\ndog\tanimal")).toBe(true);
  expect(task.examples.value).toHaveLength(2);
  client.parseExamples = () => Promise.reject(new Error("line 2"));
  expect(await task.pasteExamples("?")).toBe(false);
  expect(task.taskError.value?.why).toBe("line 2");
  expect(task.examples.value).toHaveLength(2);
});

test("a file that is no list of examples by its size is not read", async () => {
  const { task } = await openPage();
  const large = new File([new Uint8Array(5 * 2 ** 20)], "video.csv");
  expect(await task.readExamplesFile(large)).toBeNull();
  expect(task.taskError.value?.why).toBe("It has 5 MB; the limit is 4 MB.");
  expect(await task.readExamplesFile(new File(["a\tb"], "pairs.tsv"))).toBe("a\tb");
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
