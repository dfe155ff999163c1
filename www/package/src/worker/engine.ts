// Which wasm build this machine can run, and the shape of what a build exports.

import type {
  BaseInfo,
  Build,
  Candidate,
  Composition,
  Device,
  Example,
  ExamplesFormat,
  FoundModules,
  GenerationStep,
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

/** One engine: a base model, the modules added to it, and at most one running piece of work. */
export interface Engine {
  /**
   * Takes over a base whose weights, of that hash, have all been pushed; the load cannot be used any
   * more.
   */
  finishBase(load: BaseLoad, sha256: string): BaseInfo;
  addModule(id: string, config: Uint8Array, weights: Uint8Array): ModuleInfo;
  /** What is published of the base with this id, and what it answers; null if nothing is. */
  verify(id: string): Verified | null;
  hasModule(id: string): boolean;
  startLearning(examples: Example[], modules: string[], options: LearnOptions): void;
  learningStep(): LearningStep;
  stopLearning(): LearnResult;
  startRetrieval(examples: Example[], candidates: Candidate[], most: number): void;
  retrievalStep(): RetrievalStep;
  /** What the base made of texts, to be kept. */
  embeddings(): Uint8Array;
  addEmbeddings(bytes: Uint8Array): void;
  startGeneration(input: string, composition: Composition | null, maxNewTokens: number): void;
  generationStep(): GenerationStep;
  startTest(examples: Example[], composition: Composition | null, maxNewTokens: number): void;
  testStep(): TestStep;
  stopTest(): TestResult;
  stop(): void;
  score(examples: Example[], composition: Composition | null): Score;
  memoryBytes(): number;
  /** Gives its memory back. */
  free(): void;
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
  BaseLoad: new (
    id: string,
    title: string,
    licence: string,
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
  /** The threaded build only. */
  initThreadPool?(threads: number): Promise<unknown>;
}

/** A build that runs. */
export interface LoadedEngine {
  module: EngineModule;
  /** Bytes of WebAssembly memory that it starts with. */
  memoryBytes: number;
}

/** More threads than this gain nothing on models of this size. */
const MOST_THREADS = 8;

/**
 * Picks the fastest build that runs here and says why it is that one.
 *
 * @param asked the number of threads asked for, or null for one per core
 * @throws an error report where the browser has no WebAssembly SIMD at all
 */
export function chooseBuild(capabilities: Capabilities, asked: number | null): Device {
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
    return { build: "threads", threads, simd: "relaxed", isolated, reason, memoryBytes };
  }
  const one = { threads: 1, isolated, memoryBytes };
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
};

/**
 * Loads a build and starts its threads.
 *
 * @param wasmUrl the folder that holds `threads/`, `relaxed/` and `simd128/`; null for the
 * package's own files
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
  if (device.build === "threads" && module.initThreadPool) {
    await module.initThreadPool(device.threads);
  }
  return { module, memoryBytes: memory.buffer.byteLength };
}
