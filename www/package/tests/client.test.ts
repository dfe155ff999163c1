// The client over the real worker session, connected by messages.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LoraLoom } from "../src/client.js";
import { LoraLoomError } from "../src/errors.js";
import type { WorkerLike } from "../src/link.js";
import type { FromWorker, GpuStatus, LearnResult, SessionEvent } from "../src/protocol.js";
import { registry, sha256 } from "./fake-library.js";
import { FakeGpuSession, FakeLoad, FakeSession } from "./fake-session.js";
import { localWorker, open, peftFolder, resetWorkers, stored, workers } from "./local-worker.js";
import { ORIGIN, serveLibrary } from "./server.js";

const examples = [{ input: "a", output: "b" }];

beforeEach(() => {
  resetWorkers();
  serveLibrary();
});
afterEach(() => vi.unstubAllGlobals());

describe("LoraLoom", () => {
  test("learns, and reports every evaluation", async () => {
    const loom = await open();
    const seen: number[] = [];
    const result = await loom.learn({ examples, onEvaluation: ({ number }) => seen.push(number) });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(result).toMatchObject({ complete: true, evaluations: 5 });
  });

  test("a result has every evaluation once, and those of the run that it resumes", async () => {
    const loom = await open();
    const numbers = ({ history }: LearnResult) => history.map(({ number }) => number);
    const first = await loom.learn({ examples });
    expect(numbers(first)).toEqual([1, 2, 3, 4, 5]);
    const resumed = await loom.learn({ examples, resume: first });
    expect(numbers(resumed)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("evaluations are sent to the page once", async () => {
    const sent: number[] = [];
    const createWorker = () => {
      const worker = localWorker();
      let onmessage: WorkerLike["onmessage"] = null;
      return Object.defineProperty(worker, "onmessage", {
        set: (receive) => {
          onmessage = receive;
        },
        get: () => (message: MessageEvent<FromWorker>) => {
          const { event, result } = message.data as {
            event?: SessionEvent;
            result?: Partial<LearnResult>;
          };
          const evaluations = event?.kind === "evaluation" ? [event.evaluation] : result?.history;
          sent.push(...(evaluations ?? []).map(({ number }) => number));
          onmessage?.(message);
        },
      });
    };
    const loom = await open({ createWorker });
    await loom.learn({ examples });
    expect(sent).toEqual([1, 2, 3, 4, 5]);
  });

  test("reports outputs that the model cannot write", async () => {
    const loom = await open();
    const onUnwritable = vi.fn();
    await loom.learn({ examples: [...examples, { input: "dog", output: "犬" }], onUnwritable });
    expect(onUnwritable.mock.calls).toEqual([[[{ example: 1, parts: ["犬"] }]]]);
    await loom.learn({ examples, onUnwritable });
    expect(onUnwritable).toHaveBeenCalledTimes(1);
  });

  test("tells how long many examples take", async () => {
    const loom = await open();
    const onEstimate = vi.fn();
    await loom.learn({ examples, onEstimate });
    expect(onEstimate).not.toHaveBeenCalled();
    await loom.learn({ examples: Array(6).fill(examples[0]), onEstimate });
    expect(onEstimate.mock.calls).toMatchObject([[{ evaluation: 2, total: 70 }]]);
  });

  test("a stopped call resolves with what was reached", async () => {
    FakeSession.steps = 1e9;
    const loom = await open();
    const learning = loom.learn({
      examples,
      onEvaluation: ({ number }) => {
        if (number === 3) void learning.stop();
      },
    });
    const learned = await learning;
    expect(learned.complete).toBe(false);
    expect(learned.evaluations).toBeGreaterThanOrEqual(3);
    const generating = loom.generate({ input: "a", maxNewTokens: 1e9 });
    expect((await generating.stop()).complete).toBe(false);
    const testing = loom.test({ examples, onTested: () => void testing.stop() });
    expect((await testing).complete).toBe(false);
  });

  test("a call that is stopped before its modules are loaded has learned nothing", async () => {
    const loom = await open();
    expect(await loom.learn({ examples }).stop()).toMatchObject({
      evaluations: 0,
      complete: false,
    });
    expect(await loom.learn({ examples })).toMatchObject({ complete: true });
  });

  test("every call that is aborted rejects with the signal's reason", async () => {
    FakeSession.steps = 1e9;
    const loom = await open();
    await loom.loadModules(loom.fittingModules());
    const modules = Array.from({ length: 1000 }, () => ({ id: "one", weight: 1 }));
    const composition = { modules, merge: "delta" as const };
    const calls: ((signal: AbortSignal) => PromiseLike<unknown>)[] = [
      (signal) => loom.learn({ examples, signal }),
      (signal) => loom.generate({ input: "a", maxNewTokens: 1e9, signal }),
      (signal) => loom.test({ examples, signal }),
      (signal) => loom.suggest({ examples, signal }),
      (signal) => loom.leaveOneOut({ examples, composition, signal }),
      (signal) => loom.route("a", { compositions: [{ composition, examples }], signal }),
      (signal) => loom.score({ examples, signal }),
      (signal) => loom.load({ signal }),
    ];
    for (const call of calls) {
      const controller = new AbortController();
      const running = call(controller.signal);
      // After the request was posted.
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      controller.abort("enough");
      await expect(running).rejects.toBe("enough");
    }
  });

  test("a call can be iterated over, and leaving the loop stops it", async () => {
    const loom = await open();
    const learning = loom.learn({ examples });
    const numbers: number[] = [];
    for await (const { number } of learning) numbers.push(number);
    expect(numbers).toEqual([1, 2, 3, 4, 5]);
    expect((await learning).complete).toBe(true);
    FakeSession.steps = 1e9;
    const generating = loom.generate({ input: "a", maxNewTokens: 1e9 });
    for await (const text of generating) if (text.length === 3) break;
    expect(await generating).toMatchObject({ complete: false });
    FakeSession.trapAt = 2;
    const failing = async () => {
      for await (const { done } of loom.test({ examples })) expect(done).toBe(1);
    };
    await expect(failing()).rejects.toMatchObject({ code: "internal" });
  });

  test("a second run is rejected while one runs, which continues", async () => {
    FakeSession.steps = 50;
    const loom = await open();
    await loom.loadModules(loom.fittingModules());
    const first = loom.learn({ examples });
    await expect(loom.learn({ examples })).rejects.toMatchObject({
      code: "busy",
      details: { call: "learn", running: "learn" },
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

  test("verifies the base against published outputs", async () => {
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
    stored.files.clear();
    const broken = await open();
    await expect(broken.search()).rejects.toMatchObject({ code: "not-found" });
  });

  test("suggests modules, and encodes each description once", async () => {
    const loom = await open();
    const counts: number[] = [];
    const call = { examples, limit: 1, onStep: ({ done }: { done: number }) => counts.push(done) };
    const [first, ...others] = await loom.suggest(call);
    expect(first).toMatchObject({ module: { id: "one" }, similarity: 0.5, words: ["a"] });
    expect([others, counts]).toEqual([[], [1, 2]]);
    const again = await open();
    counts.length = 0;
    await again.suggest(call);
    expect(counts).toEqual([2]);
  });

  test("reports the state of the GPU, and continues when it is lost", async () => {
    const reported: GpuStatus[] = [];
    const loom = await open({ device: "webgpu", onGpu: (status) => reported.push(status) });
    expect(loom.device).toMatchObject({ build: "gpu", gpu: { active: true, name: "GPU" } });
    FakeGpuSession.losesAt = 3;
    const seen: number[] = [];
    const call = { examples, onEvaluation: ({ number }: { number: number }) => seen.push(number) };
    const learned = await loom.learn(call);
    expect([seen, learned.complete]).toEqual([[1, 2, 3, 4, 5], true]);
    expect(reported.map(({ active, reason }) => [active, reason])).toEqual([
      [true, ""],
      [false, "It was lost."],
    ]);
    expect(loom.device.gpu).toEqual(reported[1]);
    expect((await open()).device).toMatchObject({ build: "threads", gpu: null });
  });

  test("a module that is added while learning waits for its end", async () => {
    const loom = await open();
    await loom.loadModules(["one"]);
    let evaluations = 0;
    const onEvaluation = () => {
      evaluations++;
    };
    const learning = loom.learn({ examples, modules: ["one"], onEvaluation });
    const adding = loom.addModule("mine", peftFolder()).then(() => evaluations);
    expect(await loom.memoryBytes()).toBe(100);
    expect(await adding).toBe(5);
    expect((await learning).complete).toBe(true);
  });

  test("measures the loss without each module", async () => {
    const loom = await open();
    const modules = [
      { id: "one", weight: 1 },
      { id: "two", weight: -1 },
    ];
    expect(await loom.leaveOneOut({ examples, composition: { modules, merge: "delta" } })).toEqual([
      { id: "one", loss: 1 },
      { id: "two", loss: 1 },
    ]);
  });

  test("routes an input with the inputs of examples and of the library's cards", async () => {
    const loom = await open();
    const composition = { modules: [{ id: "one", weight: 1 }], merge: "delta" as const };
    const compositions = [
      { composition, examples: [{ input: "x", output: "y" }] },
      { composition, examples: [{ input: "a" }, { input: "b" }] },
    ];
    const steps: number[] = [];
    const onStep = ({ done }: { done: number }) => steps.push(done);
    const routed = await loom.route("b", { compositions, nearest: 1, onStep });
    expect(routed.chosen).toBe(1);
    expect(steps).toEqual([1, 2]);
    // The engine has the default of what is not given.
    expect(JSON.parse(routed.text)).toEqual({ background: ["a", "a"], nearest: 1 });
    const other = await loom.route("z", { compositions, background: [], threshold: 0.3 });
    expect(other.chosen).toBeNull();
    expect(JSON.parse(other.text)).toEqual({ background: [], threshold: 0.3 });
  });

  test("the length of the weights is said before their bytes", async () => {
    FakeLoad.expected = [];
    // No other test has stored packed weights of it.
    const registryUrl = `${ORIGIN}registry.json`;
    await LoraLoom.open({ registryUrl, createWorker: localWorker, precision: "f32" });
    expect(FakeLoad.expected).toEqual([registry.bases[0]?.files.weights.bytes]);
  });

  test("a link restores the composition, and another library's is rejected", async () => {
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
      expect(error).toBeInstanceOf(LoraLoomError);
      expect(error.what).toContain("does not fit");
    }
    await expect(fresh.restore("%%%")).rejects.toMatchObject({ code: "invalid-input" });
  });

  test("a module from this computer cannot go into a link", async () => {
    const loom = await open();
    await loom.addModule("mine", peftFolder());
    const modules = [{ id: "mine", weight: 1 }];
    await expect(
      loom.share({ composition: { modules, merge: "delta" }, title: "" }),
    ).rejects.toMatchObject({ why: '"mine"' });
  });

  test("a module of another base is rejected by name", async () => {
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
    FakeSession.steps = 1e9;
    const loom = await open();
    await loom.loadModules(["one"]);
    const running = loom.learn({ examples, modules: ["one"] });
    await Promise.resolve();
    loom.dispose();
    await expect(running).rejects.toMatchObject({ code: "aborted" });
    await expect(loom.memoryBytes()).rejects.toMatchObject({ code: "not-loaded" });
    expect(workers[0]?.ended).toBe(true);
  });

  test("an error has a code, the data of its text, and its cause", async () => {
    serveLibrary(() => Promise.reject(new TypeError("connection refused")));
    // A library that was never opened: of another one, the stored registry is read.
    const registryUrl = `${ORIGIN}other/registry.json`;
    const error = await open({ registryUrl }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(LoraLoomError);
    expect(error).toMatchObject({
      code: "network",
      details: { url: registryUrl, reason: "connection refused" },
      cause: { name: "TypeError", message: "connection refused" },
    });
    expect(error.message).toBe(`${error.what} ${error.why} ${error.next}`);
  });

  test("an aborted load rejects with the signal's reason", async () => {
    const controller = new AbortController();
    const opening = open({ signal: controller.signal });
    controller.abort(new DOMException("enough", "AbortError"));
    await expect(opening).rejects.toMatchObject({ message: "enough" });
  });
});
