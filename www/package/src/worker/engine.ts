// Which wasm build this machine can run, and the shape of what a build exports.

import type {
  BaseInfo,
  Build,
  Candidate,
  Composition,
  Device,
  DeviceKind,
  Example,
  ExamplesFormat,
  FoundModules,
  GenerationStep,
  GpuStatus,
  LearningStep,
  LearnOptions,
  LearnResult,
  ModuleInfo,
  ModuleQuery,
  Precision,
  Recipe,
  Registry,
  RegistryFile,
  RegistryModule,
  RetrievalStep,
  Score,
  TestResult,
  TestStep,
  Verified,
} from "../generated/protocol.js";
import type { Capabilities } from "./capabilities.js";
import { NO_WEBGPU } from "./graphics.js";

/** An answer at once or, of an engine that may wait for the graphics card, a promise of it. */
type Answer<T> = T | Promise<T>;

/** One engine: a base model, the modules added to it, and at most one running piece of work. */
export interface Engine {
  /**
   * Takes over a base whose weights, of that hash, have all been pushed; the load cannot be used any
   * more.
   */
  finishBase(load: BaseLoad, sha256: string): Answer<BaseInfo>;
  /** Copies the base to the graphics card and checks it there; only of an engine that can use one. */
  openGpu?(): Promise<GpuStatus>;
  /** Whether the graphics card is used. */
  gpuStatus?(): Answer<GpuStatus>;
  addModule(id: string, config: Uint8Array, weights: Uint8Array): Answer<ModuleInfo>;
  /** What is published of the base with this id, and what it answers; null if nothing is. */
  verify(id: string): Answer<Verified | null>;
  hasModule(id: string): Answer<boolean>;
  startLearning(examples: Example[], modules: string[], options: LearnOptions): Answer<void>;
  learningStep(): Answer<LearningStep>;
  stopLearning(): Answer<LearnResult>;
  startRetrieval(examples: Example[], candidates: Candidate[], most: number): Answer<void>;
  retrievalStep(): Answer<RetrievalStep>;
  /** What the base made of texts, to be kept. */
  embeddings(): Answer<Uint8Array>;
  addEmbeddings(bytes: Uint8Array): Answer<void>;
  startGeneration(
    input: string,
    composition: Composition | null,
    maxNewTokens: number,
  ): Answer<void>;
  generationStep(): Answer<GenerationStep>;
  startTest(
    examples: Example[],
    composition: Composition | null,
    maxNewTokens: number,
  ): Answer<void>;
  testStep(): Answer<TestStep>;
  stopTest(): Answer<TestResult>;
  stop(): Answer<void>;
  score(examples: Example[], composition: Composition | null): Answer<Score>;
  memoryBytes(): Answer<number>;
  /** Gives its memory back. */
  free(): Answer<void>;
}

/** A base model whose weights are packed while they arrive. */
export interface BaseLoad {
  push(bytes: Uint8Array): void;
  /** Ends a file of weights; another one may follow. */
  endFile(): void;
  /** At most `most` bytes of a packed copy from `offset` on; none behind its end. */
  packedPiece(sha256: string, offset: number, most: number): Uint8Array;
  /** Takes a packed copy's bytes in place of the files'. */
  pushPacked(bytes: Uint8Array): void;
  /** Ends a packed copy; answers with the hash of the file that it was made from. */
  endPacked(): string;
  /** Gives its memory back before it is whole. */
  free(): void;
}

/** An answer, or the registry's files to hand to `take` before asking again. */
export type Lookup<T> = { found: T } | { missing: RegistryFile[] };

/** Finds modules of a registry in what it was given of it. */
export interface Finder {
  isWhole(): boolean;
  take(path: string, bytes: Uint8Array): void;
  search(query: ModuleQuery): Lookup<FoundModules>;
  ofIds(ids: string[]): Lookup<RegistryModule[]>;
  candidates(examples: Example[], base: string, most: number): Lookup<Candidate[]>;
}

/** A running SHA-256. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** What the glue module of a wasm build exports. */
export interface EngineModule {
  default(options: { module_or_path: URL | string }): Promise<{ memory: WebAssembly.Memory }>;
  Engine: new () => Engine;
  /** The build with the graphics card only. */
  GpuEngine?: new () => Engine;
  BaseLoad: new (
    id: string,
    title: string,
    license: string,
    config: Uint8Array,
    tokenizer: Uint8Array,
    precision: Precision,
  ) => BaseLoad;
  Sha256: new () => Hasher;
  /** What a packed copy of files of weights is kept under. */
  packedKey(sources: string[], precision: Precision): string;
  Finder: new (registry: Registry) => Finder;
  /** The names of the files that an index of shards speaks of. */
  shardNames(index: Uint8Array): string[];
  parseRegistry(bytes: Uint8Array): Registry;
  parseExamples(text: string, format: ExamplesFormat): Example[];
  encodeRecipe(recipe: Recipe): string;
  decodeRecipe(fragment: string): Recipe;
  defaultLearnOptions(): LearnOptions;
  publishedLearnOptions(): LearnOptions;
  /** Starts threads beside the caller's; the builds with threads only. */
  initThreadPool?(threads: number): Promise<unknown>;
  /** Shares work with them. */
  useThreadPool?(): void;
}

/** A build that runs. */
export interface LoadedEngine {
  module: EngineModule;
  /** Bytes of WebAssembly memory that it starts with. */
  memoryBytes: number;
}

/** More threads than this gain nothing on models of this size. */
const MOST_THREADS = 8;

/** A graphics card that is not used. */
const UNUSED: GpuStatus = {
  active: false,
  name: "",
  memory: { weightsBytes: 0, embeddingBytes: 0, modulesBytes: 0, workBytes: 0 },
  reason: "",
};

/**
 * Picks the fastest build that runs here and says why it is that one.
 *
 * @param asked the number of threads asked for, or null for one per core
 * @param kind what to run on; where there is no graphics card to use, it is the CPU, with the reason
 * @throws an error report where the browser has no WebAssembly SIMD at all
 */
export function chooseBuild(
  capabilities: Capabilities,
  asked: number | null,
  kind: DeviceKind,
): Device {
  const cpu = chooseCpuBuild(capabilities, asked);
  if (kind === "wasm") return cpu;
  const { relaxedSimd, adapter } = capabilities;
  if (!adapter || adapter.missing) {
    return { ...cpu, gpu: { ...UNUSED, reason: adapter?.missing ?? NO_WEBGPU } };
  }
  if (!relaxedSimd) {
    const reason =
      "The build with the graphics card needs relaxed SIMD, which this browser does not have.";
    return { ...cpu, gpu: { ...UNUSED, reason } };
  }
  return { ...cpu, build: "gpu", gpu: { ...UNUSED, name: adapter.name } };
}

function chooseCpuBuild(capabilities: Capabilities, asked: number | null): Device {
  const { simd, relaxedSimd, isolated } = capabilities;
  const memoryBytes = 0;
  if (!simd) {
    throw {
      what: "This browser cannot run the model.",
      why: "It has no WebAssembly SIMD, which every build of the engine needs.",
      next: "Use Chrome or Edge 116+, Firefox 124+ or Safari 17.4+.",
    };
  }
  const cores = Math.max(1, capabilities.hardwareConcurrency);
  const threads = Math.max(1, Math.min(asked ?? Math.min(cores, MOST_THREADS), 64));
  const canThread = isolated && capabilities.threads && relaxedSimd;
  if (canThread && threads > 1) {
    const reason =
      asked === null
        ? `the page is isolated and the machine has ${cores} cores`
        : `${threads} threads were asked for, the machine has ${cores} cores`;
    return { build: "threads", threads, simd: "relaxed", isolated, reason, memoryBytes, gpu: null };
  }
  const one = { threads: 1, isolated, memoryBytes, gpu: null };
  const why = !isolated
    ? "one thread, because the server does not isolate the page (COOP and COEP headers)"
    : !capabilities.threads
      ? "one thread, because the browser has no WebAssembly threads"
      : threads === 1
        ? asked === null
          ? "one thread, because the machine has one core"
          : "one thread, as asked"
        : "one thread, because the threaded build needs relaxed SIMD";
  return relaxedSimd
    ? { build: "relaxed", simd: "relaxed", reason: why, ...one }
    : {
        build: "simd128",
        simd: "simd128",
        reason: `${why}; plain SIMD, because the browser has no relaxed SIMD`,
        ...one,
      };
}

/** The files of each build; written out so that bundlers find and copy them. */
const FILES: Record<Build, { glue: () => URL; wasm: () => URL }> = {
  threads: {
    glue: () => new URL("../wasm/threads/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/threads/loraloom_bg.wasm", import.meta.url),
  },
  relaxed: {
    glue: () => new URL("../wasm/relaxed/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/relaxed/loraloom_bg.wasm", import.meta.url),
  },
  simd128: {
    glue: () => new URL("../wasm/simd128/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/simd128/loraloom_bg.wasm", import.meta.url),
  },
  gpu: {
    glue: () => new URL("../wasm/gpu/loraloom.js", import.meta.url),
    wasm: () => new URL("../wasm/gpu/loraloom_bg.wasm", import.meta.url),
  },
};

/**
 * Loads a build and starts its threads.
 *
 * @param wasmUrl the folder that holds a folder for each build; null for the package's own files
 */
export async function loadEngine(device: Device, wasmUrl: string | null): Promise<LoadedEngine> {
  const files = FILES[device.build];
  const glue = wasmUrl ? new URL(`${device.build}/loraloom.js`, wasmUrl) : files.glue();
  const wasm = wasmUrl ? new URL(`${device.build}/loraloom_bg.wasm`, wasmUrl) : files.wasm();
  let module: EngineModule;
  let memory: WebAssembly.Memory;
  try {
    // The address is known only at run time, so bundlers must leave this import alone.
    module = await import(/* @vite-ignore */ /* webpackIgnore: true */ glue.href);
    ({ memory } = await module.default({ module_or_path: wasm }));
  } catch (error) {
    throw {
      what: "The engine could not be loaded.",
      why: `${wasm.href} did not load: ${error instanceof Error ? error.message : error}.`,
      next: "Check the connection and that the site's wasm folder is served, then try again.",
    };
  }
  if (device.threads > 1) {
    // This worker is one of the threads.
    await module.initThreadPool?.(device.threads - 1);
    module.useThreadPool?.();
  }
  return { module, memoryBytes: memory.buffer.byteLength };
}
