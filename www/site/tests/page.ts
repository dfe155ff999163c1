// The site's state as a freshly opened page has it, with a fake client.

import { effect } from "@preact/signals";
import type { Composition, LoraLoom, Registry } from "loraloom";
import { vi } from "vitest";
import { takeLink } from "../src/state/workbench/mix.js";
import { FakeLoom, registry } from "./fake-loom.js";

/** A storage of the browser, in memory. */
class MemoryStorage {
  readonly #items = new Map<string, string>();
  getItem = (key: string) => this.#items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.#items.set(key, value);
}

/** What outlives a page in its tab. */
export interface Tab {
  sessionStorage: MemoryStorage;
  /** That of the browser: other tabs have it too. */
  localStorage: MemoryStorage;
  location: URL;
}

/** A new tab at an address of the site. */
export const newTab = (address = "", localStorage = new MemoryStorage()): Tab => ({
  sessionStorage: new MemoryStorage(),
  localStorage,
  location: new URL(address, "https://site.example/"),
});

/** Opens the page in a tab, with the engine started on a library. */
export async function openPage(
  library: Registry = registry(),
  tab: Tab = newTab(),
  prepare: (client: FakeLoom) => void = () => undefined,
) {
  vi.resetModules();
  vi.stubGlobal("sessionStorage", tab.sessionStorage);
  vi.stubGlobal("localStorage", tab.localStorage);
  vi.stubGlobal("location", tab.location);
  vi.stubGlobal("history", {
    replaceState: (_state: unknown, _title: string, address: URL | string) => {
      tab.location.href = new URL(address, tab.location).href;
    },
  });
  const { LoraLoom, LoraLoomError } = await import("loraloom");
  const client = new FakeLoom(library);
  prepare(client);
  vi.spyOn(LoraLoom, "inspect").mockResolvedValue(client as unknown as LoraLoom);
  const session = await import("../src/state/session.js");
  const page = {
    client,
    tab,
    LoraLoomError,
    session,
    bench: await import("../src/state/bench.js"),
    settings: await import("../src/state/settings.js"),
    task: await import("../src/state/task.js"),
    library: await import("../src/state/library.js"),
    modules: await import("../src/state/modules.js"),
    adding: await import("../src/state/add-module.js"),
    learn: await import("../src/state/learn.js"),
    answer: await import("../src/state/answer.js"),
    mix: await import("../src/state/mix.js"),
    follow: await import("../src/state/follow.js"),
    share: await import("../src/state/share.js"),
    runs: await import("../src/state/runs.js"),
    polish: await import("../src/state/polish.js"),
    take: await import("../src/state/take.js"),
    again: await import("../src/state/start-again.js"),
    workflow: await import("../src/state/workflow.js"),
  };
  await page.workflow.startPage();
  return page;
}

/** The state and the client of an open page. */
export type Page = Awaited<ReturnType<typeof openPage>>;

/** Shows a composition as a link opens it. */
export function showComposition({ bench }: Page, composition: Composition): void {
  const link = { title: "Opened", instruction: null, examples: [], composition, base: "small " };
  bench.update((now) => takeLink(now, link, [], "own"));
}

/** Resolves as soon as a condition on signals holds. */
export function when(condition: () => unknown): Promise<void> {
  return new Promise((resolve) => {
    const dispose = effect(() => {
      if (!condition()) return;
      resolve();
      queueMicrotask(() => dispose());
    });
  });
}

/** A file as a file input gives it. */
export const pickedFile = (name: string) =>
  Object.assign(new File([], name), { webkitRelativePath: "" });
