// What the client's calls take and answer with, beside the types of the protocol.

import type { LoraLoom } from "./client.js";
import type {
  Composition,
  DeviceKind,
  ErrorReport,
  Evaluation,
  Example,
  GpuStatus,
  LearnOptions,
  ModuleLoss,
  Precision,
  Recipe,
  Source,
} from "./generated/protocol.js";
import type { CallOptions, WorkerLike } from "./link.js";
import type { DEFAULT_HUB, filesSource, parseSource } from "./sources.js";

/** Where the library is and how to run the engine. */
export interface InspectOptions extends CallOptions {
  /** The address of `registry.json`, relative to the page. */
  registryUrl: string | URL;
  /**
   * `wasm` (default) runs on the processor. `webgpu` runs on the graphics card, checks it against the
   * processor on the model that is loaded, and goes on there where it is missing, wrong or lost:
   * {@link LoraLoom.device} says so and why.
   */
  device?: DeviceKind;
  /** Threads to use; one per core (at most 8) where left out. One thread needs no isolated page. */
  threads?: number;
  /** The folder that holds the wasm builds, for bundlers that do not copy the package's files. */
  wasmUrl?: string | URL;
  /** The hub that ids without an address belong to; the default is {@link DEFAULT_HUB}. */
  hub?: string;
  /** Makes the worker, for bundlers that do not understand `new URL(…, import.meta.url)`. */
  createWorker?: () => WorkerLike;
  /** Seconds without a byte after which a server counts as stalled. Default 15. */
  stallSeconds?: number;
  /** Told when the engine crashed and a new one is being started with what was loaded. */
  onRestart?: (report: ErrorReport) => void;
  /** Told when the graphics card is used, or is not any more, and why. */
  onGpu?: (status: GpuStatus) => void;
}

/** Which base to load. */
export interface LoadOptions extends CallOptions {
  /** The base's id in the registry; the first one where left out. */
  baseId?: string;
  /**
   * Where the base is, if not in the registry: a hub's id such as `google/flan-t5-small`, the address
   * of a folder, or what {@link parseSource} and {@link filesSource} give.
   */
  source?: Source | string;
  /** `int8` (default) keeps the weights in 8 bits; `f32` is exact and four times as large. */
  precision?: Precision;
}

/** Where the library is, how to run the engine, and which base to load. */
export type OpenOptions = InspectOptions & LoadOptions;

/** What to learn from. */
export interface LearnCall extends CallOptions {
  /** The examples, usually five. */
  examples: Example[];
  /** The candidate modules; all of the library that fit the base where left out. */
  modules?: string[];
  /** Options that differ from `defaults`. */
  options?: Partial<LearnOptions>;
  /** Told of every evaluation of the loss. */
  onEvaluation?: (evaluation: Evaluation) => void;
  /** Told of the modules chosen, with the loss of each alone. */
  onSelected?: (modules: ModuleLoss[]) => void;
}

/** What modules to look for, and with what. */
export interface SuggestCall extends CallOptions {
  /** The examples, usually five. */
  examples: Example[];
  /** At most so many modules. Default 20, as LoraHub takes. */
  most?: number;
  /** Told of the descriptions read so far. */
  onRead?: (counts: { done: number; total: number }) => void;
}

/** What to answer. */
export interface GenerateCall extends CallOptions {
  /** The input text. */
  input: string;
  /** The modules and their weights; null or left out for the base alone. */
  composition?: Composition | null;
  /** At most so many tokens. Default 64. */
  maxNewTokens?: number;
  /** Told of the text so far after every token. */
  onToken?: (text: string) => void;
}

/** What to test on. */
export interface TestCall extends CallOptions {
  /** The inputs with the outputs expected. */
  examples: Example[];
  /** The modules and their weights; null or left out for the base alone. */
  composition?: Composition | null;
  /** At most so many tokens for each answer. Default 64. */
  maxNewTokens?: number;
  /** Told after every answer. */
  onTested?: (counts: { done: number; total: number; correct: number }) => void;
}

/** What a link holds. */
export interface ShareCall {
  /** The modules and their weights. */
  composition: Composition;
  /** The task's name. */
  title: string;
  /** A line that tells what the task is. */
  instruction?: string | null;
  /** Examples go into the link only when given here. */
  examples?: Example[];
  /** How the registry is named in the link; its address where left out. */
  registry?: string;
}

/** What came out of a link. */
export interface Restored {
  /** The recipe as the link holds it. */
  recipe: Recipe;
  /** Its composition, with every module loaded. */
  composition: Composition;
}
