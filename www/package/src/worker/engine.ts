// The wasm builds: which one this machine can run, and loading it.

import { reasonOf } from "../errors.js";
import type * as engine from "../generated/engine.js";
import type { Build, Device, DeviceKind, GpuStatus } from "../protocol.js";
import { withTimeout } from "../timeout.js";
import type { Capabilities } from "./capabilities.js";
import { loraLoomError } from "./errors.js";
import { isTrap, keepFirstTrap } from "./first-trap.js";
import { NO_WEBGPU } from "./gpu.js";
import { isLocalFile, readLocalFile } from "./local-files.js";
import { createSharedMemory, isFull, START_BYTES } from "./memory.js";

export type { BaseLoad, ModuleSearch, Session, Sha256 } from "../generated/engine.js";

/** The callbacks of a long call. */
export type Hooks = Parameters<engine.Session["learn"]>[4];

/** The exports of a wasm build. */
export type EngineModule = Omit<typeof engine, "default" | "initSync" | "start"> & {
  /** Instantiates the build; with memory of the caller's only those with threads. */
  default(init: {
    module_or_path: engine.InitInput;
    memory?: WebAssembly.Memory;
  }): Promise<engine.InitOutput>;
  /** Starts threads beside the caller's; only in builds with threads. */
  initThreadPool?(threads: number): Promise<unknown>;
  /** Shares work with them. */
  useThreadPool?(): void;
};

/** A build, and what it is loaded with. */
export interface Choice {
  device: Device;
  /** The memory that its threads share; null for the build that makes its own. */
  memory: WebAssembly.Memory | null;
}

/** A build that runs. */
export interface LoadedEngine {
  module: EngineModule;
  /** Says that the engine trapped where no call could catch it: nothing calls it from then on. */
  onTrap(trap: WebAssembly.RuntimeError): void;
  /** Why its threads did not start, so that it has one; null where they run. */
  threadsFailure: string | null;
  /** Bytes of WebAssembly memory at the start. */
  memoryBytes: number;
  /** Whether its memory has no room left; only after a trap. */
  isFull(): boolean;
}

/** Seconds in which a build is fetched and compiled, on a slow connection. */
const LOAD_SECONDS = 180;

/** More threads than this gain nothing on models of this size. */
const MAX_THREADS = 8;

/** The state of a GPU that is not used. */
const UNUSED: GpuStatus = {
  active: false,
  name: "",
  memory: { weightsBytes: 0, embeddingBytes: 0, modulesBytes: 0, workBytes: 0 },
  reason: "",
};

/**
 * The fastest build that runs here, with the reason for it, and its memory.
 *
 * @param requested the number of threads, or null for one per core
 * @param kind what to run on: the CPU in place of a GPU that cannot be used, with the reason
 * @throws a `LoraLoomError` with code `unsupported` where the browser has no WebAssembly SIMD
 */
export function chooseBuild(
  capabilities: Capabilities,
  requested: number | null,
  kind: DeviceKind,
  createMemory = createSharedMemory,
): Choice {
  const device = chooseDevice(capabilities, requested, kind);
  if (device.build === "simd128") return { device, memory: null };
  const memory = createMemory();
  if (memory) return { device, memory };
  const without = { ...capabilities, sharedMemory: false };
  return { device: chooseDevice(without, requested, kind), memory };
}

function chooseDevice(
  capabilities: Capabilities,
  requested: number | null,
  kind: DeviceKind,
): Device {
  const cpu = chooseCpuBuild(capabilities, requested);
  if (kind === "wasm") return cpu;
  const { sharedMemory, adapter } = capabilities;
  const missing =
    adapter?.missing === null
      ? sharedMemory
        ? null
        : "The build with the GPU needs shared memory, which this browser does not give."
      : (adapter?.missing ?? NO_WEBGPU);
  if (missing !== null) return { ...cpu, gpu: { ...UNUSED, reason: missing } };
  return {
    ...cpu,
    build: "gpu",
    simd: "simd128",
    gpu: { ...UNUSED, name: adapter?.name ?? "" },
  };
}

function chooseCpuBuild(capabilities: Capabilities, requested: number | null): Device {
  const { simd, relaxedSimd, sharedMemory } = capabilities;
  const isolated = capabilities.isolated !== false;
  if (!simd) throw loraLoomError("no-simd", {});
  const cores = Math.max(1, capabilities.hardwareConcurrency);
  const threads = Math.max(1, Math.min(requested ?? Math.min(cores, MAX_THREADS), 64));
  const common = { isolated, memoryBytes: 0, gpu: null };
  const noRelaxedSimd = "plain SIMD, because WebAssembly has no relaxed SIMD here";
  if (isolated && capabilities.threads && sharedMemory && threads > 1) {
    const reason =
      requested === null
        ? `${capabilities.isolated === null ? "" : "the page is isolated and "}the machine has ${cores} cores`
        : `${threads} threads were requested, the machine has ${cores} cores`;
    return relaxedSimd
      ? { build: "threads", threads, simd: "relaxed", reason, ...common }
      : {
          build: "threads-simd128",
          threads,
          simd: "simd128",
          reason: `${reason}; ${noRelaxedSimd}`,
          ...common,
        };
  }
  const why = !isolated
    ? "one thread, because the server does not isolate the page (COOP and COEP headers)"
    : !capabilities.threads
      ? "one thread, because WebAssembly has no threads here"
      : !sharedMemory
        ? "one thread, because the browser gives no memory that threads can share"
        : requested === null
          ? "one thread, because the machine has one core"
          : "one thread, as requested";
  if (relaxedSimd && sharedMemory) {
    return { build: "threads", threads: 1, simd: "relaxed", reason: why, ...common };
  }
  const reason = `${why}; ${relaxedSimd ? "plain SIMD, because the build with relaxed SIMD needs shared memory" : noRelaxedSimd}`;
  return { build: "simd128", threads: 1, simd: "simd128", reason, ...common };
}

/** The files of each build; written out so that bundlers find and copy them. */
const FILES: Record<Build, { glue: () => URL; wasm: () => URL }> = {
  threads: {
    glue: () => new URL("../wasm/threads/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/threads/loraloom_bg.wasm", import.meta.url),
  },
  "threads-simd128": {
    glue: () => new URL("../wasm/threads-simd128/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/threads-simd128/loraloom_bg.wasm", import.meta.url),
  },
  gpu: {
    glue: () => new URL("../wasm/gpu/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/gpu/loraloom_bg.wasm", import.meta.url),
  },
  simd128: {
    glue: () => new URL("../wasm/simd128/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/simd128/loraloom_bg.wasm", import.meta.url),
  },
};

/**
 * Loads a build and starts its threads.
 *
 * @param wasmUrl the folder that holds a folder for each build; null for the package's own files
 */
export async function loadEngine(
  { device, memory: shared }: Choice,
  wasmUrl: string | null,
): Promise<LoadedEngine> {
  const files = FILES[device.build];
  const root = wasmUrl?.replace(/\/?$/, "/");
  const glue = root ? new URL(`${device.build}/loraloom.js`, root) : files.glue();
  const wasm = root ? new URL(`${device.build}/loraloom_bg.wasm`, root) : files.wasm();
  const started = start(glue, wasm, shared);
  const { module: exports, memory } = await withTimeout(started, LOAD_SECONDS).catch((error) => {
    const reason = reasonOf(error);
    if (error instanceof RangeError || (isTrap(error) && shared && isFull(shared)))
      throw loraLoomError("engine-memory", { reason, bytes: START_BYTES }, error);
    if (isTrap(error)) throw error;
    throw loraLoomError("wasm-not-loaded", { url: wasm.href, reason }, error);
  });
  let threadsFailure: string | null = null;
  if (device.threads > 1) {
    try {
      // This worker is one of the threads.
      await exports.initThreadPool?.(device.threads - 1);
      exports.useThreadPool?.();
    } catch (error) {
      threadsFailure = reasonOf(error);
    }
  }
  const memoryBytes = () => memory.buffer.byteLength;
  const guarded = keepFirstTrap({ ...exports, memoryBytes }, (name) => name === "memoryBytes");
  return {
    ...guarded,
    memoryBytes: memoryBytes(),
    threadsFailure,
    isFull: () => isFull(memory),
  };
}

async function start(
  glue: URL,
  wasm: URL,
  shared: WebAssembly.Memory | null,
): Promise<{ module: EngineModule; memory: WebAssembly.Memory }> {
  // The address is computed at run time, so bundlers must not resolve this import.
  const module: EngineModule = await import(/* @vite-ignore */ /* webpackIgnore: true */ glue.href);
  const source = isLocalFile(wasm.href) ? await readLocalFile(wasm.href) : wasm;
  const { memory } = await module.default({
    module_or_path: source,
    ...(shared && { memory: shared }),
  });
  return { module, memory };
}
