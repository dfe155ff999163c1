// Crashes: the worker is replaced, and what was loaded is loaded into the new one.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LoraLoomError } from "../src/errors.js";
import { Link, type WorkerLike } from "../src/link.js";
import { FakeSession } from "./fake-session.js";
import { localWorker, open, peftFolder, resetWorkers, stored, workers } from "./local-worker.js";
import { serveLibrary } from "./server.js";

const examples = [{ input: "a", output: "b" }];

beforeEach(() => {
  resetWorkers();
  serveLibrary();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("after a trap, everything is loaded into a new worker before the next call", async () => {
  const restarts: string[] = [];
  const loom = await open({ onRestart: ({ what }) => restarts.push(what) });
  await loom.addModule("mine", peftFolder());
  FakeSession.trapAt = 2;
  await expect(loom.learn({ examples })).rejects.toBeInstanceOf(LoraLoomError);
  FakeSession.trapAt = Number.POSITIVE_INFINITY;
  expect(restarts).toEqual(["The engine stopped."]);
  const result = await loom.learn({ examples, modules: ["one", "two", "mine"] });
  expect(result.complete).toBe(true);
  expect(workers.map(({ ended }) => ended)).toEqual([true, false]);
});

test("a worker that does not end a call is replaced", async () => {
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
  const refused = expect(answer).rejects.toMatchObject({
    code: "internal",
    details: { seconds: 10 },
  });
  await Promise.resolve();
  controller.abort();
  await vi.advanceTimersByTimeAsync(11_000);
  vi.useRealTimers();
  await refused;
  expect((await loom.generate({ input: "a" })).complete).toBe(true);
});

test("a run whose engine does not stop resolves with the best point that it has reported", async () => {
  const evaluation = (number: number, loss: number, weight: number, complete = true) => ({
    ...{ number, phase: "search", loss, complete, best: loss, examples: [], losses: [] },
    ...{ weights: [{ id: "one", weight }], cost: 1, seconds: 2 },
  });
  const evaluations = [
    evaluation(1, 3, 0),
    evaluation(2, 1, 0.5),
    evaluation(3, 2, 0.7),
    evaluation(4, 0.1, 0.9, false),
  ];
  const deaf = () => {
    const worker = localWorker();
    const post = worker.postMessage;
    worker.postMessage = (message) => {
      if (!("request" in message)) return;
      if (message.request.kind !== "learn") return post(message);
      for (const one of evaluations) {
        const event = { kind: "evaluation", evaluation: one };
        worker.onmessage?.({ data: { id: message.id, event } } as MessageEvent);
      }
    };
    return worker;
  };
  const loom = await open({ createWorker: deaf });
  await loom.loadModules(["one"]);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const call = loom.learn({ examples, modules: ["one"] });
  await vi.advanceTimersByTimeAsync(10);
  const stopped = call.stop();
  await vi.advanceTimersByTimeAsync(11_000);
  vi.useRealTimers();
  expect(await stopped).toMatchObject({
    modules: [{ id: "one", weight: 0.5 }],
    ...{ lossStart: 3, loss: 1, evaluations: 4, seconds: 8, complete: false, assessment: null },
    history: evaluations,
  });
  // An abort is none: it rejects with its reason.
  const controller = new AbortController();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const aborted = loom.learn({ examples, modules: ["one"], signal: controller.signal });
  const refused = expect(aborted).rejects.toMatchObject({ details: { seconds: 10 } });
  await vi.advanceTimersByTimeAsync(1000);
  controller.abort();
  await vi.advanceTimersByTimeAsync(11_000);
  vi.useRealTimers();
  await refused;
});

describe("an engine that crashes", () => {
  const crashed = {
    code: "internal" as const,
    what: "The engine stopped.",
    why: "It met a state that it does not handle.",
    next: "Try once more.",
    details: {},
  };

  /** A link to workers that crash at each request, and whose owner calls them again as the client does. */
  function crashing() {
    const state = { made: 0, waits: [] as number[] };
    const link = new Link(() => {
      state.made++;
      const worker: WorkerLike = {
        onmessage: null,
        onerror: null,
        postMessage: () =>
          setTimeout(() => worker.onmessage?.({ data: { crashed } } as MessageEvent)),
        terminate: () => undefined,
      };
      setTimeout(() => worker.onmessage?.({ data: { ready: true } } as MessageEvent));
      return worker;
    });
    link.onCrash = (_, wait) => {
      if (link.ended) return;
      state.waits.push(wait);
      setTimeout(() => link.call({ kind: "memoryBytes" }).catch(() => undefined), wait);
    };
    return { link, state };
  }

  test("is replaced later each time, and given up after five times within a minute", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { link, state } = crashing();
    const refused = expect(link.call({ kind: "memoryBytes" })).rejects.toMatchObject(crashed);
    await vi.advanceTimersByTimeAsync(30_000);
    await refused;
    expect(state).toEqual({ made: 5, waits: [0, 250, 500, 1000] });
    await expect(link.call({ kind: "memoryBytes" })).rejects.toMatchObject({
      code: "internal",
      what: "The engine stays ended.",
      why: expect.stringContaining(crashed.why),
      details: { times: 5 },
      cause: crashed,
    });
    expect(state.made).toBe(5);
  });

  test("now and then is replaced each time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { link, state } = crashing();
    link.onCrash = (_, wait) => state.waits.push(wait);
    for (let time = 0; time < 12; time++) {
      const refused = expect(link.call({ kind: "memoryBytes" })).rejects.toMatchObject(crashed);
      await vi.advanceTimersByTimeAsync(61_000);
      await refused;
    }
    expect(state).toEqual({ made: 12, waits: Array(12).fill(0) });
  });

  test("where it loads again what was loaded does not do so without end", async () => {
    const made: WorkerLike[] = [];
    const restarts: string[] = [];
    const createWorker = () => {
      const worker = localWorker();
      const post = worker.postMessage;
      const first = made.push(worker) === 1;
      worker.postMessage = (message) => {
        const opens = "request" in message && message.request.kind === "open";
        if (first || !opens) post(message);
        else worker.onmessage?.({ data: { crashed } } as MessageEvent);
      };
      return worker;
    };
    const onRestart = ({ what }: { what: string }) => restarts.push(what);
    const loom = await open({ createWorker, onRestart });
    made[0]?.onmessage?.({ data: { crashed } } as MessageEvent);
    const refused = loom.generate({ input: "a" });
    await expect(refused).rejects.toMatchObject({ details: { times: 5 } });
    expect(made.length).toBe(5);
    expect(restarts).toEqual([...Array(4).fill(crashed.what), "The engine stays ended."]);
    expect(loom.ended?.details.times).toBe(5);
    loom.dispose();
  });

  /** Workers of which those made while `broken()` is true crash at every request. */
  function breakable(broken: () => boolean) {
    const made: WorkerLike[] = [];
    const createWorker = () => {
      const worker = localWorker();
      const post = worker.postMessage;
      const crashes = broken();
      worker.postMessage = (message) => {
        if (crashes) worker.onmessage?.({ data: { crashed } } as MessageEvent);
        else post(message);
      };
      made.push(worker);
      return worker;
    };
    return { made, createWorker };
  }

  /** Waits without the time that the client waits. */
  async function atOnce<T>(promise: Promise<T>): Promise<T> {
    let ended = false;
    promise.then(
      () => (ended = true),
      () => (ended = true),
    );
    while (!ended) await vi.advanceTimersByTimeAsync(100);
    return promise;
  }

  test("too often stays ended until restart(), which has a budget of its own", async () => {
    let broken = false;
    const { made, createWorker } = breakable(() => broken);
    const loom = await open({ createWorker });
    const right = await loom.generate({ input: "a" });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const ended = { what: "The engine stays ended.", details: { times: 5 } };
    for (let round = 1; round <= 2; round++) {
      broken = true;
      made.at(-1)?.onmessage?.({ data: { crashed } } as MessageEvent);
      await expect(atOnce(loom.generate({ input: "a" }).then())).rejects.toMatchObject(ended);
      // It says so where it ends again while it starts.
      await expect(atOnce(loom.restart())).rejects.toMatchObject(ended);
      expect(made.length).toBe(10 * round);
      broken = false;
      await atOnce(loom.restart());
      expect(loom.ended).toBeNull();
      expect((await atOnce(loom.generate({ input: "a" }).then())).text).toBe(right.text);
    }
    loom.dispose();
  });

  test("and cannot be started again is started by the next call that can", async () => {
    let gone = false;
    const { made, createWorker } = breakable(() => false);
    const create = () => {
      if (gone) throw new Error("offline");
      return createWorker();
    };
    const loom = await open({ createWorker: create });
    await loom.loadModules(["one"]);
    const composition = { modules: [{ id: "one", weight: 1 }], merge: "delta" as const };
    const right = await loom.generate({ input: "a", composition });
    gone = true;
    made[0]?.onmessage?.({ data: { crashed } } as MessageEvent);
    for (let time = 0; time < 2; time++) {
      await expect(loom.generate({ input: "a", composition })).rejects.toThrow("offline");
    }
    gone = false;
    expect((await loom.generate({ input: "a", composition })).text).toBe(right.text);
    expect(made).toHaveLength(2);
    loom.dispose();
  });

  test("fetches modules that could not be loaded again once it learns with them", async () => {
    const { made, createWorker } = breakable(() => false);
    const loom = await open({ createWorker });
    await loom.loadModules(["one"]);
    serveLibrary((path) =>
      path.includes("one") ? new Response("not here", { status: 404 }) : null,
    );
    stored.files.clear();
    made[0]?.onmessage?.({ data: { crashed } } as MessageEvent);
    expect((await loom.generate({ input: "a" })).text).not.toBe("");
    const examples = [{ input: "a", output: "b" }];
    const learning = loom.learn({ examples, modules: ["one"] });
    await expect(learning).rejects.toMatchObject({ code: "not-found" });
    serveLibrary();
    expect((await loom.learn({ examples, modules: ["one"] })).complete).toBe(true);
    loom.dispose();
  });

  test("takes another base where its own cannot be loaded again", async () => {
    const { made, createWorker } = breakable(() => false);
    const loom = await open({ createWorker });
    serveLibrary((path) => (path === "registry.json" ? null : new Response("", { status: 404 })));
    stored.files.clear();
    made[0]?.onmessage?.({ data: { crashed } } as MessageEvent);
    await expect(loom.generate({ input: "a" })).rejects.toMatchObject({ code: "not-found" });
    await expect(loom.load()).rejects.toMatchObject({ code: "not-found" });
    serveLibrary();
    expect((await loom.load()).id).toBe("small");
    expect((await loom.generate({ input: "a" })).text).not.toBe("");
    loom.dispose();
  });
});
