// Libraries, hubs and links of other sites: nothing is used of them before the visitor accepts it.

import type { Recipe, RegistryModule } from "loraloom";
import { afterEach, expect, test, vi } from "vitest";
import { module, registry } from "./fake-loom.js";
import { newTab, openPage, type Page, when } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

const OTHER = "https://example.org/my/registry.json";
const OWN = "./library/registry.json";

/** A tab whose page can be reloaded. */
function reloadable(address: string) {
  const tab = newTab(address);
  const reload = vi.fn();
  Object.assign(tab.location, { reload });
  return { tab, reload };
}

/** Lets links be decoded as they are restored. */
function decodes({ client }: Page) {
  const { restore } = client;
  client.decode = async (fragment): Promise<Recipe> => (await restore(fragment)).recipe;
}

test("a library of another site waits, and the page has its own until it is accepted", async () => {
  const { tab, reload } = reloadable(`?registry=${OTHER}#shared`);
  const page = await openPage(registry(), tab);
  const { client, session, workflow } = page;
  expect(session.registryUrl).toBe(OWN);
  expect(workflow.linkOffer.value).toMatchObject({ kind: "library", hosts: ["example.org"] });
  expect(client.calls).not.toContain("restore shared");
  await workflow.learnAndAnswer();
  expect(page.bench.mix.value?.origin).toBe("learned");

  workflow.linkOffer.value?.accept();
  expect(reload).toHaveBeenCalled();
  expect(tab.location.href).toBe(`https://site.example/?registry=${OTHER}#shared`);
  const accepted = await openPage(registry(), tab);
  expect(accepted.session.registryUrl).toBe(OTHER);
  expect(accepted.workflow.linkOffer.value).toBeNull();
  expect(accepted.client.calls).toContain("restore shared");
});

test("what waits has the name of its link, and is offered where the page's own library fails", async () => {
  const page = await openPage(registry(), newTab(`?registry=${OTHER}#shared`));
  decodes(page);
  await page.workflow.restoreFromAddress();
  expect(page.workflow.linkOffer.value).toMatchObject({ title: "shared", note: "Type a word." });

  const { LoraLoom } = await import("loraloom");
  page.session.loom.value = null;
  page.workflow.linkOffer.value = null;
  vi.mocked(LoraLoom.inspect).mockRejectedValueOnce(new Error("404"));
  await page.workflow.startPage();
  await when(() => page.workflow.linkOffer.value);
  expect(page.workflow.linkOffer.value).toMatchObject({ kind: "library" });
});

test("a link made while a library waits is one of the page's own library", async () => {
  const page = await openPage(registry(), newTab(`?registry=${OTHER}&hub=https://hub.test#shared`));
  const { share, tab, workflow } = page;
  share.keepLinkCurrent();
  await workflow.learnAndAnswer();
  await when(() => share.link.value);
  expect(share.link.value).toMatch(/^https:\/\/site\.example\/#/);
  // Declining keeps it in the address.
  const { declineOffer } = await import("../src/state/offer.js");
  declineOffer();
  expect(workflow.linkOffer.value).toBeNull();
  expect(tab.location.href).toBe(share.link.value);
});

test("declining removes the library and its link from the address", async () => {
  const page = await openPage(registry(), newTab(`?registry=${OTHER}&note=1#shared`));
  const { declineOffer } = await import("../src/state/offer.js");
  declineOffer();
  expect(page.workflow.linkOffer.value).toBeNull();
  expect(page.tab.location.href).toBe("https://site.example/?note=1");
});

test("a hub of another site waits, and the page's own hub and site do not", async () => {
  const { session, workflow } = await openPage(registry(), newTab("?hub=https://hub.test"));
  expect(workflow.linkOffer.value).toMatchObject({ kind: "hub", hosts: ["hub.test"] });
  expect(session.hubUrl).toBe("https://huggingface.co");
  for (const address of [
    "?hub=https://huggingface.co",
    "?hub=",
    "?registry=./other/registry.json",
  ]) {
    const own = await openPage(registry(), newTab(address));
    expect(own.workflow.linkOffer.value).toBeNull();
  }
});

test("one's own examples go along to an accepted library, and a task of the page's own does not", async () => {
  for (const typed of [true, false]) {
    const { tab } = reloadable(`?registry=${OTHER}`);
    const page = await openPage(registry(), tab);
    if (typed) page.task.editExample(0, "output", "typed");
    page.workflow.linkOffer.value?.accept();
    const accepted = await openPage({ ...registry(), tasks: [] }, tab);
    expect(accepted.session.registryUrl).toBe(OTHER);
    expect(accepted.task.examples.value[0]?.output).toBe(typed ? "typed" : "");
  }
});

test("an address that is none is left to the engine to report", async () => {
  for (const registryUrl of ["https://", "nowhere", "ftp://example.org/registry.json"]) {
    const page = await openPage(registry(), newTab(`?registry=${registryUrl}`));
    expect(page.session.registryUrl).toBe(registryUrl);
    expect(page.workflow.linkOffer.value).toBeNull();
  }
});

test("a link to small modules on a hub waits, with the hub's host and the bytes", async () => {
  const onHub = (one: RegistryModule): RegistryModule => ({
    ...one,
    files: {
      config: { ...one.files.config, path: "hub:owner/two@main/adapter_config.json" },
      weights: { ...one.files.weights, path: "hub:owner/two@main/adapter_model.safetensors" },
    },
  });
  const page = await openPage(registry([module("one"), onHub(module("two"))]));
  const { bench, tab, workflow } = page;
  decodes(page);
  page.client.calls.length = 0;
  tab.location.hash = "shared";
  await workflow.restoreFromAddress();
  expect(workflow.linkOffer.value).toMatchObject({ kind: "link", hosts: ["huggingface.co"] });
  expect(workflow.linkOffer.value?.bytes).toBeGreaterThan(0);
  expect(bench.mix.value).toBeNull();
  workflow.linkOffer.value?.accept();
  await when(() => bench.mix.value);
  expect(workflow.linkOffer.value).toBeNull();
  expect(bench.mix.value?.title).toBe("shared");
});
