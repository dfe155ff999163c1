// The threads of the engine: workers that run its glue, into which pack-dist.mjs bundles this module in
// place of wasm-bindgen-rayon's own, which waits without end for a thread that a browser does not start.

import {
  blobWorker,
  directWorker,
  hasNodeWorkers,
  isOtherOrigin,
  type ModuleWorker,
  type NotLoaded,
  nodePort,
  nodeWorker,
  scopePort,
} from "../module-worker.js";
import { withTimeout } from "../timeout.js";

const NAME = "loraloom-thread";
/** Seconds in which all threads start. */
const START_SECONDS = 20;

/** What wasm-bindgen-rayon gives to start threads with. */
export interface PoolBuilder {
  numThreads(): number;
  /** Address in the engine's memory of the channel that gives each thread its work. */
  receiver(): number;
  /** Called once all threads are ready. */
  build(): void;
}

/** Owner to thread. */
interface Start {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  receiver: number;
}

/** Thread to owner. */
type FromThread = { state: "listening" | "ready" } | NotLoaded;

/** The glue's exports that a thread uses. */
interface Glue {
  default(init: {
    module_or_path: WebAssembly.Module;
    memory: WebAssembly.Memory;
  }): Promise<unknown>;
  wbg_rayon_start_worker(receiver: number): void;
}

/** The workers of a pool that starts. */
interface Pool {
  workers: ModuleWorker[];
  failed: boolean;
}

/** Firefox ends workers that nothing refers to. */
const running: ModuleWorker[] = [];

/**
 * Starts the threads of a build.
 *
 * @throws whatever the first thread fails with, or a `TimeoutError`; then no thread is left
 */
export async function startWorkers(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  builder: PoolBuilder,
): Promise<void> {
  const start = { module, memory, receiver: builder.receiver() };
  const pool: Pool = { workers: [], failed: false };
  const threads = Array.from({ length: builder.numThreads() }, () => startThread(start, pool));
  try {
    await withTimeout(Promise.all(threads), START_SECONDS);
  } catch (error) {
    pool.failed = true;
    for (const worker of pool.workers) worker.terminate();
    throw error;
  }
  running.push(...pool.workers);
  builder.build();
}

/** Starts one thread of a pool. */
async function startThread(start: Start, pool: Pool): Promise<void> {
  const url = import.meta.url;
  const begin = async (create: () => ModuleWorker) => {
    if (pool.failed) return;
    const worker = create();
    pool.workers.push(worker);
    await ready(worker, start);
  };
  const inBlob = () => begin(() => blobWorker(url, NAME));
  if (hasNodeWorkers()) return begin(() => nodeWorker(new URL(url), NAME));
  if (isOtherOrigin(url)) return inBlob();
  // A policy may forbid either: the page's, or the host's where its scripts lack the header COEP.
  return begin(() => directWorker(url, NAME)).catch(inBlob);
}

/** Gives a thread its work; resolves once it waits for it. */
function ready(worker: ModuleWorker, start: Start): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if ("notLoaded" in data) reject(new Error(data.notLoaded));
      else if (data.state === "listening") worker.postMessage(start);
      else {
        // Later errors are uncaught ones of this worker, as a trap is.
        worker.onerror = null;
        resolve();
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message || "the browser did not start its worker"));
    };
  });
}

const port = nodePort(NAME) ?? scopePort(NAME);
if (port) {
  const post = (message: FromThread) => port.postMessage(message);
  port.onmessage = async ({ data }: MessageEvent<Start>) => {
    const { module, memory, receiver } = data;
    let glue: Glue;
    try {
      // This module again: it is bundled into the glue.
      glue = await import(/* @vite-ignore */ /* webpackIgnore: true */ import.meta.url);
      await glue.default({ module_or_path: module, memory });
    } catch (error) {
      post({ notLoaded: String(error) });
      return;
    }
    post({ state: "ready" });
    // Not in this promise, which would keep a trap to itself.
    setTimeout(() => glue.wbg_rayon_start_worker(receiver));
  };
  post({ state: "listening" });
}
