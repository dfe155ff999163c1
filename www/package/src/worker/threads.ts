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
import { createGrowing, growthCheck } from "./memory.js";

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
  /** Memory that the owner grows once the thread is loaded. */
  growing: WebAssembly.Memory;
}

/** Thread to owner. */
type FromThread =
  | { state: "listening" }
  | { state: "loaded" }
  | { state: "ready"; noticesGrowth: boolean }
  | NotLoaded;

/** The glue's exports that a thread uses. */
interface Glue {
  default(init: {
    module_or_path: WebAssembly.Module;
    memory: WebAssembly.Memory;
  }): Promise<unknown>;
  wbg_rayon_start_worker(receiver: number): void;
  /** Says that this thread has trapped: the engine's thread, which waits for it, then traps too. */
  threadStopped(): void;
}

/** The workers of a pool that starts. */
interface Pool {
  workers: ModuleWorker[];
  failed: boolean;
  /** Whether each thread notices that another has grown their memory. */
  noticesGrowth: boolean;
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
  const pool: Pool = { workers: [], failed: false, noticesGrowth: true };
  const threads = Array.from({ length: builder.numThreads() }, () => startThread(start, pool));
  try {
    await withTimeout(Promise.all(threads), START_SECONDS);
    if (!pool.noticesGrowth) {
      throw new Error("this browser's threads do not notice that their memory grows");
    }
  } catch (error) {
    pool.failed = true;
    for (const worker of pool.workers) worker.terminate();
    throw error;
  }
  running.push(...pool.workers);
  builder.build();
}

/** Starts one thread of a pool. */
async function startThread(start: Omit<Start, "growing">, pool: Pool): Promise<void> {
  const url = import.meta.url;
  const begin = async (create: () => ModuleWorker) => {
    if (pool.failed) return;
    const worker = create();
    pool.workers.push(worker);
    const noticesGrowth = await ready(worker, { ...start, growing: createGrowing() });
    pool.noticesGrowth &&= noticesGrowth;
  };
  const inBlob = () => begin(() => blobWorker(url, NAME));
  if (hasNodeWorkers()) return begin(() => nodeWorker(new URL(url), NAME));
  if (isOtherOrigin(url)) return inBlob();
  // A policy may forbid either: the page's, or the host's where its scripts lack the header COEP.
  return begin(() => directWorker(url, NAME)).catch(inBlob);
}

/** Gives a thread its work; resolves once it waits for it, with whether it notices that its memory grows. */
function ready(worker: ModuleWorker, start: Start): Promise<boolean> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if ("notLoaded" in data) reject(new Error(data.notLoaded));
      else if (data.state === "listening") worker.postMessage(start);
      else if (data.state === "loaded") {
        start.growing.grow(1);
        worker.postMessage("grown");
      } else {
        // A later error is a trap, which its thread has told the engine's: see `threadStopped`.
        worker.onerror = null;
        resolve(data.noticesGrowth);
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message || "the browser did not start its worker"));
    };
  });
}

const port = nodePort(NAME) ?? scopePort(NAME);
// WebKit evaluates this module once more where it imports itself.
if (port && !port.onmessage) {
  const post = (message: FromThread) => port.postMessage(message);
  port.onmessage = async ({ data }: MessageEvent<Start>) => {
    const { module, memory, receiver, growing } = data;
    let glue: Glue;
    let noticesGrowth: () => boolean;
    try {
      // This module again: it is bundled into the glue.
      glue = await import(/* @vite-ignore */ /* webpackIgnore: true */ import.meta.url);
      await glue.default({ module_or_path: module, memory });
      noticesGrowth = await growthCheck(growing);
    } catch (error) {
      post({ notLoaded: String(error) });
      return;
    }
    port.onmessage = () => {
      post({ state: "ready", noticesGrowth: noticesGrowth() });
      setTimeout(() => {
        try {
          glue.wbg_rayon_start_worker(receiver);
        } catch (error) {
          glue.threadStopped();
          throw error;
        }
      });
    };
    post({ state: "loaded" });
  };
  post({ state: "listening" });
}
