// A worker in this thread, over the fake engine, and a client of it.

import { LoraLoom } from "../src/client.js";
import type { WorkerLike } from "../src/link.js";
import type { InspectOptions } from "../src/options.js";
import type { FromWorker } from "../src/protocol.js";
import { filesSource } from "../src/sources.js";
import { startWorker } from "../src/worker/serve.js";
import { WorkerSession } from "../src/worker/session.js";
import { openStore } from "../src/worker/store.js";
import { fakeGpuModule, fakeModule } from "./fake-engine.js";
import { FakeGpuSession, FakeSession } from "./fake-session.js";
import { MemoryFolder } from "./file-system.js";
import { ORIGIN } from "./server.js";

/** The workers made so far. */
export const workers: { ended: boolean }[] = [];
/** The files that they store. */
export const stored = new MemoryFolder();

/** Creates a worker; messages are cloned, as between threads. */
export function localWorker({ threadsFailure = null as string | null } = {}): WorkerLike {
  const state = { ended: false };
  workers.push(state);
  const session = new WorkerSession({
    detectCapabilities: async () => ({
      simd: true,
      relaxedSimd: true,
      threads: false,
      sharedMemory: true,
      isolated: false,
      hardwareConcurrency: 1,
      adapter: { name: "GPU", missing: null },
    }),
    loadEngine: async ({ device }) => ({
      module: device.build === "gpu" ? fakeGpuModule : fakeModule,
      onTrap: () => undefined,
      memoryBytes: 65536,
      threadsFailure,
      isFull: () => false,
    }),
    openStore: () => openStore({ getDirectory: stored.getDirectory }),
  });
  const worker: WorkerLike = {
    onmessage: null,
    onerror: null,
    postMessage: (message) => {
      const data = structuredClone(message);
      setTimeout(() => entry.receive(data));
    },
    terminate: () => {
      state.ended = true;
    },
  };
  const entry = startWorker(session, (message: FromWorker) => {
    if (!state.ended) worker.onmessage?.({ data: structuredClone(message) } as MessageEvent);
  });
  FakeSession.onTrap = entry.onUncaught;
  setTimeout(() => worker.onmessage?.({ data: { ready: true } } as MessageEvent));
  return worker;
}

/** Forgets the workers made so far, and the faults of their sessions. */
export function resetWorkers(): void {
  workers.length = 0;
  FakeSession.steps = 5;
  FakeSession.trapAt = Number.POSITIVE_INFINITY;
  FakeGpuSession.losesAt = Number.POSITIVE_INFINITY;
}

/** The client of the served library. */
export const open = (options: Partial<InspectOptions> = {}) =>
  LoraLoom.open({ registryUrl: `${ORIGIN}registry.json`, createWorker: localWorker, ...options });

/** The two files of a PEFT folder. */
export const peftFolder = () =>
  filesSource([
    { path: "mine/adapter_config.json", contents: new Blob(["{}"]) },
    { path: "mine/adapter_model.safetensors", contents: new Blob(["w"]) },
  ]);
