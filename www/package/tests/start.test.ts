// Starting the worker and its threads: what forbids or delays it is an error with a next step or a word
// in the facts, never a call that waits without end.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LoraLoom } from "../src/client.js";
import type { WorkerLike } from "../src/link.js";
import type { ToWorker } from "../src/protocol.js";
import { startWorkers } from "../src/worker/threads.js";
import { localWorker } from "./local-worker.js";
import { ORIGIN, serveLibrary } from "./server.js";

const registryUrl = `${ORIGIN}registry.json`;

/** A worker that does what `begin` does, and records what it gets. */
function scripted(begin: (worker: WorkerLike) => void = () => undefined) {
  const made: { posted: ToWorker[]; ended: boolean }[] = [];
  const create = (): WorkerLike => {
    const state = { posted: [] as ToWorker[], ended: false };
    made.push(state);
    const worker: WorkerLike = {
      onmessage: null,
      onerror: null,
      postMessage: (message) => state.posted.push(message),
      terminate: () => {
        state.ended = true;
      },
    };
    setTimeout(() => begin(worker));
    return worker;
  };
  return { create, made };
}

const errorEvent = (message: string) =>
  ({ message, error: null, preventDefault: () => undefined }) as unknown as ErrorEvent;

beforeEach(() => void serveLibrary());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the worker", () => {
  test("a page that refuses it is told what to allow, and which options there are", async () => {
    const refused = new DOMException("Failed to construct 'Worker'", "SecurityError");
    const createWorker = () => {
      throw refused;
    };
    const error = await LoraLoom.inspect({ registryUrl, createWorker }).catch((error) => error);
    expect(error).toMatchObject({ code: "unsupported", cause: refused });
    expect(error.why).toContain("Failed to construct 'Worker'");
    for (const word of ["worker-src", "blob:", "createWorker", "wasmUrl"]) {
      expect(error.next).toContain(word);
    }
  });

  test("a script that does not load is reported, and not tried again and again", async () => {
    for (const begin of [
      (worker: WorkerLike) => worker.onerror?.(errorEvent("")),
      (worker: WorkerLike) =>
        worker.onmessage?.({ data: { notLoaded: "TypeError: failed" } } as MessageEvent),
    ]) {
      const { create, made } = scripted(begin);
      const open = LoraLoom.inspect({ registryUrl, createWorker: create });
      await expect(open).rejects.toMatchObject({ code: "network" });
      await expect(open).rejects.toThrow("createWorker");
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(made.map(({ ended }) => ended)).toEqual([true]);
    }
  });

  test("one that never runs is given up after half a minute", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { create, made } = scripted();
    const open = LoraLoom.inspect({ registryUrl, createWorker: create });
    const refused = expect(open).rejects.toMatchObject({
      code: "network",
      details: { seconds: 30 },
    });
    await vi.advanceTimersByTimeAsync(31_000);
    await refused;
    expect(made).toEqual([{ posted: [], ended: true }]);
  });

  test("messages wait until it runs: before that, nothing receives them", async () => {
    let run: () => void = () => undefined;
    const { create, made } = scripted((worker) => {
      run = () => worker.onmessage?.({ data: { ready: true } } as MessageEvent);
    });
    void LoraLoom.inspect({ registryUrl, createWorker: create }).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(made[0]?.posted).toEqual([]);
    run();
    expect(made[0]?.posted).toMatchObject([{ request: { kind: "inspect" } }]);
  });

  test("after a failed start the next engine starts", async () => {
    const { create } = scripted((worker) => worker.onerror?.(errorEvent("offline")));
    await expect(LoraLoom.inspect({ registryUrl, createWorker: create })).rejects.toThrow(
      "offline",
    );
    const loom = await LoraLoom.inspect({ registryUrl, createWorker: localWorker });
    expect(loom.registry.bases).not.toEqual([]);
    loom.dispose();
  });
});

describe("the engine's threads", () => {
  type Message = { data: { state?: string; noticesGrowth?: boolean; notLoaded?: string } };

  /** Replaces the browser's workers by threads that do what `begin` does; returns the addresses. */
  function browser(begin: (worker: WorkerLike, url: string) => void, noticesGrowth = true) {
    const urls: string[] = [];
    const ended: string[] = [];
    class Thread {
      onmessage: ((message: Message) => void) | null = null;
      onerror: ((event: ErrorEvent) => void) | null = null;
      #url: string;
      constructor(url: string) {
        this.#url = String(url).startsWith("blob:") ? "blob" : "direct";
        urls.push(this.#url);
        begin(this as unknown as WorkerLike, this.#url);
      }
      addEventListener() {}
      postMessage() {
        setTimeout(() => this.onmessage?.({ data: { state: "ready", noticesGrowth } }));
      }
      terminate() {
        ended.push(this.#url);
      }
    }
    vi.stubGlobal("document", {});
    vi.stubGlobal("Worker", Thread);
    return { urls, ended };
  }

  const listen = (worker: WorkerLike) =>
    setTimeout(() => worker.onmessage?.({ data: { state: "listening" } } as never));
  const module = null as unknown as WebAssembly.Module;
  const memory = null as unknown as WebAssembly.Memory;
  const pool = () => ({ numThreads: () => 2, receiver: () => 7, build: vi.fn() });

  test("start, and then the pool is built", async () => {
    const { urls, ended } = browser(listen);
    const builder = pool();
    await startWorkers(module, memory, builder);
    expect(builder.build).toHaveBeenCalledOnce();
    expect([urls, ended]).toEqual([["direct", "direct"], []]);
  });

  test("are ended where they do not notice that their memory grows", async () => {
    const { urls, ended } = browser(listen, false);
    const builder = pool();
    const started = startWorkers(module, memory, builder);
    await expect(started).rejects.toThrow("do not notice that their memory grows");
    expect(builder.build).not.toHaveBeenCalled();
    expect(ended).toEqual(urls);
  });

  test("start by a blob: where the script itself is refused", async () => {
    const { urls } = browser((worker, url) => {
      if (url === "blob") listen(worker);
      else setTimeout(() => worker.onerror?.(errorEvent("")));
    });
    const builder = pool();
    await startWorkers(module, memory, builder);
    expect(urls.sort()).toEqual(["blob", "blob", "direct", "direct"]);
    expect(builder.build).toHaveBeenCalledOnce();
  });

  test("are all ended where a policy forbids both, with the browser's reason", async () => {
    const { ended } = browser((worker, url) => {
      if (url === "blob") throw new DOMException("denied by a policy", "SecurityError");
      setTimeout(() => worker.onerror?.(errorEvent("")));
    });
    const builder = pool();
    await expect(startWorkers(module, memory, builder)).rejects.toThrow("denied by a policy");
    expect(builder.build).not.toHaveBeenCalled();
    expect(ended).toEqual(["direct", "direct"]);
  });

  test("are ended where one never starts", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let first = true;
    const { ended } = browser((worker) => {
      if (first) listen(worker);
      first = false;
    });
    const builder = pool();
    const refused = expect(startWorkers(module, memory, builder)).rejects.toThrow("20 seconds");
    await vi.advanceTimersByTimeAsync(21_000);
    await refused;
    expect(builder.build).not.toHaveBeenCalled();
    expect(ended).toHaveLength(2);
  });

  test("that fail leave one thread, with a word in the facts", async () => {
    const createWorker = () => localWorker({ threadsFailure: "blocked by a policy" });
    const loom = await LoraLoom.inspect({ registryUrl, createWorker });
    expect(loom.device.threads).toBe(1);
    expect(loom.device.reason).toContain("blocked by a policy");
    loom.dispose();
  });
});
