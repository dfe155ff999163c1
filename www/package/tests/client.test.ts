// The client over a real session, joined by messages as a worker would be.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LoraLoom } from "../src/client.js";
import { isErrorReport, LoraLoomError } from "../src/errors.js";
import type { GpuStatus } from "../src/generated/protocol.js";
import type { WorkerLike } from "../src/link.js";
import type { FromWorker } from "../src/messages.js";
import type { InspectOptions } from "../src/options.js";
import { filesSource } from "../src/sources.js";
import { startWorker } from "../src/worker/serve.js";
import { Session } from "../src/worker/session.js";
import { openStore } from "../src/worker/store.js";
import {
  FakeEngine,
  FakeGpuEngine,
  fakeGpuModule,
  fakeModule,
  registry,
  sha256,
} from "./fake-engine.js";
import { MemoryFolder } from "./file-system.js";
import { ORIGIN, serveLibrary } from "./server.js";

/** The two files of a PEFT folder. */
const peftFolder = () =>
  filesSource([
    { path: "mine/adapter_config.json", contents: new Blob(["{}"]) },
    { path: "mine/adapter_model.safetensors", contents: new Blob(["w"]) },
  ]);

const examples = [{ input: "a", output: "b" }];
let workers: { ended: boolean }[] = [];

beforeEach(() => {
  workers = [];
  FakeEngine.steps = 5;
  FakeEngine.trapAt = Number.POSITIVE_INFINITY;
  FakeGpuEngine.losesAt = Number.POSITIVE_INFINITY;
  serveLibrary();
});
afterEach(() => vi.unstubAllGlobals());

const kept = new MemoryFolder();

/** A worker in this thread. */
function localWorker(): WorkerLike {
  const state = { ended: false };
  workers.push(state);
  const session = new Session({
    detectCapabilities: async () => ({
      simd: true,
      relaxedSimd: true,
      threads: false,
      isolated: false,
      hardwareConcurrency: 1,
      adapter: { name: "card", missing: null },
    }),
    loadEngine: async ({ build }) => ({
      module: build === "gpu" ? fakeGpuModule : fakeModule,
      memoryBytes: 65536,
    }),
    openStore: () => openStore({ getDirectory: kept.getDirectory }),
  });
  const worker: WorkerLike = {
    onmessage: null,
    onerror: null,
    postMessage: (message) => {
      const data = structuredClone(message);
      setTimeout(() => receive(data));
    },
    terminate: () => {
      state.ended = true;
    },
  };
  const receive = startWorker(session, (message: FromWorker) => {
    if (!state.ended) worker.onmessage?.({ data: structuredClone(message) } as MessageEvent);
  });
  return worker;
}

const open = (options: Partial<InspectOptions> = {}) =>
  LoraLoom.open({ registryUrl: `${ORIGIN}registry.json`, createWorker: localWorker, ...options });

describe("LoraLoom", () => {
  test("learns, and reports every evaluation", async () => {
    const loom = await open();
    const seen: number[] = [];
    const result = await loom.learn({ examples, onEvaluation: ({ number }) => seen.push(number) });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(result).toMatchObject({ complete: true, evaluations: 5 });
  });

  test("an aborted run resolves at once with the best point seen", async () => {
    FakeEngine.steps = 1e9;
    const loom = await open();
    const controller = new AbortController();
    const result = await loom.learn({
      examples,
      signal: controller.signal,
      onEvaluation: ({ number }) => {
        if (number === 3) controller.abort();
      },
    });
    expect(result.complete).toBe(false);
    expect(result.evaluations).toBeGreaterThanOrEqual(3);
    expect(
      (await loom.generate({ input: "a", maxNewTokens: 1, signal: AbortSignal.timeout(50) }))
        .complete,
    ).toBe(false);
  });

  test("a second run is refused while one runs, which goes on", async () => {
    FakeEngine.steps = 50;
    const loom = await open();
    await loom.loadModules(loom.fittingModules());
    const first = loom.learn({ examples });
    await expect(loom.learn({ examples })).rejects.toMatchObject({
      what: "Learning did not start.",
      why: expect.stringContaining("still running"),
    });
    expect((await first).complete).toBe(true);
  });

  test("streams the text of an answer and tests item by item", async () => {
    const loom = await open();
    const texts: string[] = [];
    const { text } = await loom.generate({ input: "a", onToken: (part) => texts.push(part) });
    expect(text).toBe("xxxxx");
    expect(texts).toEqual(["x", "xx", "xxx", "xxxx", "xxxxx"]);
    const counts: number[] = [];
    const tested = await loom.test({ examples, onTested: ({ done }) => counts.push(done) });
    expect(tested.correct).toBe(5);
    expect(counts).toEqual([1, 2, 3, 4, 5]);
  });

  test("tells what is published of the base and what it answers", async () => {
    const loom = await open();
    expect(await loom.verify()).toMatchObject({ model: "small", found: "-2.0000", agrees: false });
  });

  test("finds modules of a registry in pages, and loads, shares and restores them", async () => {
    const page = new TextEncoder().encode(JSON.stringify(registry.modules));
    const sha = sha256(page);
    const entry = { path: "pages/0.json", bytes: page.length, sha256: sha };
    const index = { modules: 2, page_modules: 2, pages: [entry], terms: [], tags: [], ranks: [] };
    const paged = JSON.stringify({ ...registry, modules: [], index });
    const asked = serveLibrary((path) =>
      path === "registry.json"
        ? new Response(paged)
        : path === entry.path
          ? new Response(page)
          : null,
    );
    const loom = await open();
    expect(loom.fittingModules()).toEqual([]);
    const { total, modules } = await loom.search({ text: "tw" });
    expect([total, modules[0]?.id]).toEqual([1, "two"]);
    expect(await loom.entries(["none", "one"])).toEqual(registry.modules.slice(0, 1));
    await loom.loadModules(["two"]);
    const composition = { modules: [{ id: "two", weight: 0.25 }], merge: "delta" as const };
    const fragment = await loom.share({ composition, title: "Title" });
    expect((await loom.restore(fragment)).composition).toEqual(composition);
    expect(asked.filter((path) => path === entry.path)).toHaveLength(1);

    serveLibrary((path) => (path === "registry.json" ? new Response(paged) : null));
    kept.files.clear();
    const broken = await open();
    await expect(broken.search()).rejects.toMatchObject({ why: expect.stringContaining("404") });
  });

  test("suggests modules, reads descriptions once, and stops when asked", async () => {
    const loom = await open();
    const counts: number[] = [];
    const call = { examples, most: 1, onRead: ({ done }: { done: number }) => counts.push(done) };
    const [first, ...others] = await loom.suggest(call);
    expect(first).toMatchObject({ module: { id: "one" }, similarity: 0.5, words: ["a"] });
    expect([others, counts]).toEqual([[], [1, 2]]);
    const again = await open();
    counts.length = 0;
    await again.suggest(call);
    expect(counts).toEqual([2]);
    const controller = new AbortController();
    const aborted = loom.suggest({ examples, signal: controller.signal });
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  });

  test("tells whether the graphics card is used, and goes on when it is lost", async () => {
    const told: GpuStatus[] = [];
    const loom = await open({ device: "webgpu", onGpu: (status) => told.push(status) });
    expect(loom.device).toMatchObject({ build: "gpu", gpu: { active: true, name: "card" } });
    FakeGpuEngine.losesAt = 3;
    const seen: number[] = [];
    const call = { examples, onEvaluation: ({ number }: { number: number }) => seen.push(number) };
    const learned = await loom.learn(call);
    expect([seen, learned.complete]).toEqual([[1, 2, 3, 4, 5], true]);
    expect(told.map(({ active, reason }) => [active, reason])).toEqual([
      [true, ""],
      [false, "It was lost."],
    ]);
    expect(loom.device.gpu).toEqual(told[1]);
    expect((await open()).device).toMatchObject({ build: "relaxed", gpu: null });
  });

  test("a call meanwhile waits for a step on the graphics card, and a stop ends it", async () => {
    FakeEngine.steps = 1e9;
    const loom = await open({ device: "webgpu" });
    const controller = new AbortController();
    const memory: number[] = [];
    const result = await loom.learn({
      examples,
      signal: controller.signal,
      onEvaluation: async ({ number }) => {
        if (number < 4) memory.push(await loom.memoryBytes());
        else controller.abort();
      },
    });
    expect([result.complete, memory]).toEqual([false, [100, 100, 100]]);
  });

  test("measures the loss without each module", async () => {
    const loom = await open();
    const modules = [
      { id: "one", weight: 1 },
      { id: "two", weight: -1 },
    ];
    expect(await loom.leaveOneOut(examples, { modules, merge: "delta" })).toEqual([
      { id: "one", loss: 1 },
      { id: "two", loss: 1 },
    ]);
  });

  test("a trap ends the worker, and the next call finds everything loaded again", async () => {
    const restarts: string[] = [];
    const loom = await open({ onRestart: ({ what }) => restarts.push(what) });
    await loom.addModule("mine", peftFolder());
    FakeEngine.trapAt = 2;
    await expect(loom.learn({ examples })).rejects.toBeInstanceOf(LoraLoomError);
    FakeEngine.trapAt = Number.POSITIVE_INFINITY;
    expect(restarts).toEqual(["The engine stopped."]);
    const result = await loom.learn({ examples, modules: ["one", "two", "mine"] });
    expect(result.complete).toBe(true);
    expect(workers.map(({ ended }) => ended)).toEqual([true, false]);
  });

  test("a worker that does not stop when asked is replaced", async () => {
    const deaf = () => {
      const worker = localWorker();
      const post = worker.postMessage;
      worker.postMessage = (message) => {
        const generates = "request" in message && message.request.kind === "generate";
        if (!generates || workers.length > 1) post(message);
      };
      return worker;
    };
    const loom = await open({ createWorker: deaf });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const controller = new AbortController();
    const answer = loom.generate({ input: "a", signal: controller.signal });
    const refused = expect(answer).rejects.toMatchObject({ what: "The engine was ended." });
    await Promise.resolve();
    controller.abort();
    await vi.advanceTimersByTimeAsync(11_000);
    vi.useRealTimers();
    await refused;
    expect((await loom.generate({ input: "a" })).complete).toBe(true);
  });

  test("a link restores the composition, and refuses another library's in three parts", async () => {
    const loom = await open();
    const composition = { modules: [{ id: "two", weight: 0.25 }], merge: "delta" as const };
    const fragment = await loom.share({ composition, title: "Title" });
    const fresh = await LoraLoom.inspect({
      registryUrl: `${ORIGIN}registry.json`,
      createWorker: localWorker,
    });
    const restored = await fresh.restore(`#${fragment}`);
    expect(restored.composition).toEqual(composition);
    expect(fresh.base?.id).toBe("small");

    const recipe = await loom.decode(fragment);
    for (const foreign of [
      { ...recipe, base: { id: "other", hash: "00" } },
      { ...recipe, base: { id: "small", hash: "00" } },
      { ...recipe, modules: [{ id: "three", hash: "00", weight: 1 }] },
      { ...recipe, modules: [{ id: "two", hash: "00", weight: 1 }] },
    ]) {
      const link = encodeURIComponent(JSON.stringify(foreign));
      const error = await fresh.restore(link).catch((thrown) => thrown);
      expect(isErrorReport(error)).toBe(true);
      expect(error.what).toContain("does not fit");
    }
    await expect(fresh.restore("%%%")).rejects.toMatchObject({ what: "The link was not read." });
  });

  test("a module from this computer cannot go into a link", async () => {
    const loom = await open();
    await loom.addModule("mine", peftFolder());
    const modules = [{ id: "mine", weight: 1 }];
    await expect(
      loom.share({ composition: { modules, merge: "delta" }, title: "" }),
    ).rejects.toMatchObject({ why: expect.stringContaining('"mine"') });
  });

  test("a module of another base is refused by name", async () => {
    serveLibrary((path) =>
      path === "registry.json"
        ? new Response(
            JSON.stringify({
              ...registry,
              modules: registry.modules.map((one) => ({ ...one, base: "large" })),
            }),
          )
        : null,
    );
    const loom = await open();
    expect(loom.fittingModules()).toEqual([]);
    await expect(loom.loadModules(["one"])).rejects.toMatchObject({
      why: 'It was trained for the base "large"; "small" is loaded.',
    });
  });

  test("dispose ends the worker and rejects what runs", async () => {
    FakeEngine.steps = 1e9;
    const loom = await open();
    await loom.loadModules(["one"]);
    const running = loom.learn({ examples, modules: ["one"] });
    await Promise.resolve();
    loom.dispose();
    await expect(running).rejects.toMatchObject({ what: "The engine was closed." });
    await expect(loom.memoryBytes()).rejects.toMatchObject({ what: "The engine is closed." });
    expect(workers[0]?.ended).toBe(true);
  });

  test("an aborted load rejects with the signal's reason", async () => {
    const controller = new AbortController();
    const opening = open({ signal: controller.signal });
    controller.abort(new DOMException("enough", "AbortError"));
    await expect(opening).rejects.toMatchObject({ message: "enough" });
  });
});
