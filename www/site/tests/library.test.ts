// The library: a small one is loaded whole, of a large one only a shortlist.

import { afterEach, expect, test, vi } from "vitest";
import { details } from "../src/details-text.js";
import { module, registry } from "./fake-loom.js";
import { openPage, when } from "./page.js";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const large = () => registry(Array.from({ length: 100 }, (_, index) => module(`m${index}`)));

test("a small library is loaded whole, and its size is shown before", async () => {
  const { library } = await openPage();
  expect(library.isLarge.value).toBe(false);
  expect(library.modulesToLoad.value.map(({ id }) => id)).toEqual(["one", "two", "three"]);
  expect(library.bytesOf(library.modulesToLoad.value)).toBe(3030);
  expect(library.baseBytes.value).toBe(5030);
});

test("a library of few modules is large where they have many bytes", async () => {
  const { library } = await openPage(registry([module("big", 200e6)]));
  expect(library.isLarge.value).toBe(true);
});

test("learning with a large library first suggests modules, once for the same examples", async () => {
  const { client, learn, library, task } = await openPage(large());
  expect(library.modulesToLoad.value).toEqual([]);
  await learn.learn();
  expect(library.shortlist.value).toHaveLength(20);
  expect(library.shortlist.value[0]?.reason).toBe("similarity 0.50, shares “word”");
  expect(client.learned[0]?.modules).toHaveLength(20);
  await learn.learn();
  expect(client.calls.filter((call) => call === "suggest")).toHaveLength(1);
  task.editExample(0, "input", "another word");
  await learn.learn();
  expect(client.calls.filter((call) => call === "suggest")).toHaveLength(2);
  expect(library.suggestProgress.value).toBeNull();
});

test("a shortlist edited by hand is kept for other examples and after a reload", async () => {
  const page = await openPage(large());
  const { learn, library, task } = page;
  await learn.learn();
  library.removeFromShortlist("m0");
  library.addToShortlist(module("m50"));
  library.addToShortlist(module("m50"));
  const ids = library.shortlist.value.map((one) => one.module.id);
  expect(ids).toHaveLength(20);
  expect(library.shortlist.value.at(-1)?.reason).toBe("added by you");
  task.editExample(0, "input", "another word");
  await learn.learn();
  expect(library.shortlist.value.map((one) => one.module.id)).toEqual(ids);

  const reloaded = await openPage(large(), page.tab);
  expect(reloaded.library.shortlist.value.map((one) => one.module.id)).toEqual(ids);
  expect(reloaded.library.titleOf("m50")).toBe("Title of m50");
  await reloaded.learn.learn();
  expect(reloaded.client.calls).not.toContain("suggest");
  reloaded.library.clearShortlist();
  await reloaded.learn.learn();
  expect(reloaded.client.calls).toContain("suggest");
});

test("a suggestion that is cancelled leaves the shortlist, and one without results says why", async () => {
  const { client, library, session, task } = await openPage(large());
  const examples = task.filledExamples() ?? [];
  const cancelled = library.suggestModules(examples, 5);
  await when(() => library.suggestProgress.value);
  session.cancelLoading();
  expect(await cancelled).toBe(false);
  expect(library.searchError.value).toBeNull();
  expect(library.shortlist.value).toEqual([]);
  client.suggest = async () => [];
  expect(await library.suggestModules(examples, 5)).toBe(false);
  expect(library.searchError.value?.what).toContain("No modules were found");
});

test("a large library is searched once the typing pauses, and an older result is dropped", async () => {
  const { client, library } = await openPage(large());
  await when(() => library.found.value);
  client.calls.length = 0;
  const { search } = client;
  client.search = async (query) => {
    const found = await search(query);
    if (query?.text === "m1") await new Promise((resolve) => setTimeout(resolve, 300));
    return found;
  };
  vi.useFakeTimers();
  library.searchBy({ text: "m" });
  library.searchBy({ text: "m1" });
  await vi.advanceTimersByTimeAsync(200);
  library.searchBy({ text: "m12" });
  await vi.advanceTimersByTimeAsync(1000);
  expect(client.calls).toEqual(["search m1", "search m12"]);
  expect(library.found.value?.total).toBe(1);
});

test("a failed search is shown until one succeeds", async () => {
  const { client, library } = await openPage();
  const { search } = client;
  client.search = () => Promise.reject(new Error("offline"));
  library.searchBy({ text: "one" });
  await when(() => library.searchError.value);
  expect(library.searchError.value?.why).toBe("offline");
  client.search = search;
  library.searchBy({ text: "two" });
  await when(() => library.searchError.value === null);
  expect(library.found.value?.modules.map(({ id }) => id)).toEqual(["two"]);
});

test("a module and a model of a hub are shown with the commit that they are of", () => {
  const commit = "0123456789abcdef0123456789abcdef01234567";
  const { facts } = details.addedModules;
  expect(facts(16, "q v", "1.0 MB", commit)).toBe("rank 16, q v, 1.0 MB, commit 0123456");
  expect(facts(16, "q v", "1.0 MB", null)).toBe("rank 16, q v, 1.0 MB");
  const { otherFacts } = details.download;
  expect(otherFacts("90 MB", 77e6, commit)).toBe(
    " (90 MB, 77.0 million parameters, commit 0123456)",
  );
});
