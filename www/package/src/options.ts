// Options and results of the client's calls, beside the types of the protocol.

import type { LoraLoom } from "./client.js";
import type { LoraLoomError } from "./errors.js";
import type { CallOptions, WorkerLike } from "./link.js";
import type {
  Composition,
  DeviceKind,
  Evaluation,
  Example,
  Generated,
  GpuStatus,
  LearnOptions,
  LearnResult,
  ModuleLoss,
  Precision,
  Recipe,
  RouteOptions,
  Source,
  TestResult,
  TunedScales,
  TuneOptions,
  TuneResult,
  TuneStep,
  UnwritableOutput,
} from "./protocol.js";
import type { RunningCall } from "./running-call.js";
import type { addressSource, DEFAULT_HUB, filesSource } from "./sources.js";

/** Where the library is, and how to run the engine. */
export interface InspectOptions extends CallOptions {
  /** Address of `registry.json` or of its folder, relative to the page; in Node also a path. */
  registryUrl: string | URL;
  /**
   * `wasm` (default) runs on the CPU. `webgpu` runs on the GPU after checking it against the CPU on the
   * loaded model, and falls back to the CPU where the GPU is missing, wrong or lost:
   * {@link LoraLoom.device} has the reason.
   */
  device?: DeviceKind;
  /** Number of threads. Default: one per core, at most 8. One thread needs no isolated page. */
  threads?: number;
  /**
   * Address of a copy of `dist/wasm`, for bundlers that do not copy the package's files and for pages
   * whose policy allows no other site.
   */
  wasmUrl?: string | URL;
  /** Address of the hub that ids without an address belong to. Default: {@link DEFAULT_HUB}. */
  hub?: string;
  /**
   * Creates the worker by the script `dist/worker.js`, for bundlers that do not support
   * `new URL(…, import.meta.url)` and for pages whose policy allows no `blob:` worker.
   */
  createWorker?: () => WorkerLike;
  /** Seconds without a byte after which a download is retried. Default: 15. */
  stallSeconds?: number;
  /**
   * Path or `file:` address of a folder in which Node stores fetched files. Default: none, so that
   * each process fetches them again. Browsers have storage of their own and reject this option.
   */
  storageFolder?: string | URL;
  /**
   * Called when the engine crashed. A new one is started with what was loaded; after five crashes within a minute none
   * is, until {@link LoraLoom.restart} is called.
   */
  onRestart?: (error: LoraLoomError) => void;
  /** Called when the state of the GPU changed. */
  onGpu?: (status: GpuStatus) => void;
}

/** Which base model to load. */
export interface LoadOptions extends CallOptions {
  /** Id of a base in the registry. Default: the first one. */
  baseId?: string;
  /**
   * Place of a base outside the registry: a hub's id such as `google/flan-t5-small`, the address of a
   * folder, or the result of {@link addressSource} or {@link filesSource}.
   */
  source?: Source | string;
  /** `int8` (default) keeps the weights in 8 bits; `f32` is exact and four times as large. */
  precision?: Precision;
}

/** Where the library is, how to run the engine, and which base model to load. */
export type OpenOptions = InspectOptions & LoadOptions;

/** A running {@link LoraLoom.learn}; its steps are the evaluations. */
export type LearnCall = RunningCall<LearnResult, Evaluation>;
/** A running {@link LoraLoom.tune}; its steps are those of tuning. */
export type TuneCall = RunningCall<TuneResult, TuneStep>;
/** A running {@link LoraLoom.generate}; its steps are the text so far, after every token. */
export type GenerateCall = RunningCall<Generated, string>;
/** A running {@link LoraLoom.test}; its steps are the counts after every answer. */
export type TestCall = RunningCall<TestResult, TestProgress>;

/** Counts of a running test. */
export interface TestProgress {
  /** Items answered. */
  done: number;
  /** Items in all. */
  total: number;
  /** Exact matches so far. */
  correct: number;
}

/** Counts of a running call. */
export interface StepProgress {
  /** Steps done. */
  done: number;
  /** Steps in all. */
  total: number;
}

/** Input of {@link LoraLoom.learn}. */
export interface LearnInput extends CallOptions {
  /** Examples to learn from, usually five. */
  examples: Example[];
  /** Ids of the candidate modules. Default: all modules of the library that fit the base. */
  modules?: string[];
  /** Options that differ from {@link LoraLoom.defaults}. */
  options?: Partial<LearnOptions>;
  /** Result of an earlier run that was stopped, with the same examples, modules and options. */
  resume?: Pick<LearnResult, "history">;
  /** Called after every evaluation of the loss. */
  onEvaluation?: (evaluation: Evaluation) => void;
  /**
   * Called once, early, with the time that an evaluation of all examples and the whole budget take, in seconds, if
   * there are more examples than are evaluated at once.
   */
  onEstimate?: (seconds: { evaluation: number; total: number }) => void;
  /** Called with the selected modules and the loss of each alone. */
  onSelected?: (modules: ModuleLoss[]) => void;
  /** Called before the first evaluation with the outputs that the model cannot write, if there are any. */
  onUnwritable?: (outputs: UnwritableOutput[]) => void;
}

/** Input of {@link LoraLoom.tune}. */
export interface TuneInput extends CallOptions {
  /** Examples to tune on, usually those that the composition was learned from. */
  examples: Example[];
  /** Modules and their weights. */
  composition: Composition;
  /** Id of the tuned module. Default: `tuned`. */
  id?: string;
  /** What is tuned and how much. Default: B of every layer, by 10 steps. */
  options?: Partial<TuneOptions>;
  /** Called after every step. */
  onStep?: (step: TuneStep) => void;
  /** Called after each part of the examples that was left out, with the number of parts. */
  onLeftOut?: (progress: { done: number; total: number }) => void;
}

/** Input of {@link LoraLoom.addScaled}. */
export interface AddScaledInput {
  /** The composition that was tuned; its modules are loaded. */
  composition: Composition;
  /** The result's scales. */
  scales: TunedScales;
  /** Id of the module. Default: `tuned`. */
  id?: string;
}

/** Input of {@link LoraLoom.suggest}. */
export interface SuggestInput extends CallOptions {
  /** Examples of the task, usually five. */
  examples: Example[];
  /** Maximum number of modules. Default: 20, as in LoraHub. */
  limit?: number;
  /** Called after each batch of descriptions is encoded. */
  onStep?: (progress: StepProgress) => void;
}

/** Input of {@link LoraLoom.generate}. */
export interface GenerateInput extends CallOptions {
  /** Input text. */
  input: string;
  /** Modules and their weights. Default: none, the base model alone. */
  composition?: Composition | null;
  /** Maximum number of new tokens. Default: 64. */
  maxNewTokens?: number;
  /** Called with the text so far after every token. */
  onToken?: (text: string) => void;
}

/** A composition that inputs can be routed to. */
export interface RoutedComposition {
  /** Modules and their weights. */
  composition: Composition;
  /** Examples of its task, usually those that it was learned from. Their inputs are compared. */
  examples: Pick<Example, "input">[];
}

/** Options of {@link LoraLoom.route}; those of the engine have its defaults. */
export interface RouteInput extends CallOptions, Partial<RouteOptions> {
  /** The compositions to choose among; their modules are loaded. */
  compositions: RoutedComposition[];
  /** Called after each composition. */
  onStep?: (progress: StepProgress) => void;
}

/** Input of {@link LoraLoom.test}. */
export interface TestInput extends CallOptions {
  /** Inputs with the expected outputs. */
  examples: Example[];
  /** Modules and their weights. Default: none, the base model alone. */
  composition?: Composition | null;
  /** Maximum number of new tokens of each answer. Default: 64. */
  maxNewTokens?: number;
  /** Called after every answer. */
  onTested?: (progress: TestProgress) => void;
}

/** Input of {@link LoraLoom.score}. */
export interface ScoreInput extends CallOptions {
  /** Inputs with the expected outputs. */
  examples: Example[];
  /** Modules and their weights. Default: none, the base model alone. */
  composition?: Composition | null;
}

/** Input of {@link LoraLoom.assess}. */
export type AssessInput = ScoreInput;

/** Input of {@link LoraLoom.leaveOneOut}. */
export interface LeaveOneOutInput extends CallOptions {
  /** Inputs with the expected outputs. */
  examples: Example[];
  /** Modules and their weights. */
  composition: Composition;
  /** Called after each module. */
  onStep?: (progress: StepProgress) => void;
}

/** Input of {@link LoraLoom.share}. */
export interface ShareInput {
  /** Modules and their weights. */
  composition: Composition;
  /** Its scales, where they were tuned: {@link LoraLoom.tune} with the part `scales`. */
  scales?: TunedScales;
  /** Name of the task. */
  title: string;
  /** What the task is, in one line. */
  instruction?: string | null;
  /** Examples to put into the link. Default: none. */
  examples?: Example[];
  /** Address of the registry in the link. Default: the address of the open one. */
  registry?: string;
}

/** Result of {@link LoraLoom.restore}. */
export interface Restored {
  /** The recipe in the link. */
  recipe: Recipe;
  /** Its composition, of a tuned one the tuned module alone; every module is loaded. */
  composition: Composition;
}
