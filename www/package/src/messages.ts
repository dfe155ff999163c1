// The envelope of the worker protocol: what the page posts to the worker and what comes back.

import type {
  BaseInfo,
  Composition,
  Device,
  ErrorReport,
  Evaluation,
  Example,
  Generated,
  LearnOptions,
  LearnResult,
  ModuleInfo,
  Precision,
  Recipe,
  Registry,
  TestResult,
} from "./generated/protocol.js";

/** What is known before any model is downloaded. */
export type Inspected = {
  /** The registry, checked. */
  registry: Registry;
  /** The wasm build picked on this machine, and why. */
  device: Device;
  /** The options that `learn` uses where none are given. */
  defaults: LearnOptions;
  /** The options of the published method. */
  published: LearnOptions;
};

/** The loss of one module alone, or of the composition without it. */
export type ModuleLoss = { id: string; loss: number };

/** The loss over the examples and of each, as the mean cross-entropy of the output's tokens. */
export type Score = { loss: number; examples: { loss: number; tokens: number }[] };

/** Formats in which examples can be pasted. */
export type ExamplesFormat = "auto" | "jsonl" | "csv" | "tsv";

/** What the page asks of the worker. */
export type Request =
  | {
      kind: "inspect";
      registryUrl: string;
      threads: number | null;
      wasmUrl: string | null;
      stallSeconds: number;
    }
  | { kind: "open"; baseId: string | null; precision: Precision }
  | { kind: "loadModules"; ids: string[] }
  | { kind: "addModule"; id: string; config: Uint8Array; weights: Uint8Array }
  | { kind: "learn"; examples: Example[]; modules: string[]; options: LearnOptions }
  | { kind: "leaveOneOut"; examples: Example[]; composition: Composition }
  | {
      kind: "generate";
      input: string;
      composition: Composition | null;
      maxNewTokens: number;
    }
  | {
      kind: "test";
      examples: Example[];
      composition: Composition | null;
      maxNewTokens: number;
    }
  | { kind: "score"; examples: Example[]; composition: Composition | null }
  | { kind: "fetchTest"; taskId: string }
  | { kind: "parseExamples"; text: string; format: ExamplesFormat }
  | { kind: "encodeRecipe"; recipe: Recipe }
  | { kind: "decodeRecipe"; fragment: string }
  | { kind: "memory" };

/** What the worker reports while a request runs. */
export type Event =
  | {
      kind: "progress";
      file: string;
      loaded: number;
      total: number;
      overallLoaded: number;
      overallTotal: number;
      cached: boolean;
    }
  | { kind: "stage"; text: string }
  | { kind: "selected"; modules: ModuleLoss[] }
  | { kind: "evaluation"; evaluation: Evaluation }
  | { kind: "token"; text: string }
  | { kind: "tested"; done: number; total: number; correct: number };

/** The progress of a download, in bytes; files from the cache report too. */
export type Progress = Extract<Event, { kind: "progress" }>;

/** The answer to each kind of request. */
export type Answers = {
  inspect: Inspected;
  open: BaseInfo;
  loadModules: ModuleInfo[];
  addModule: ModuleInfo;
  learn: LearnResult;
  leaveOneOut: ModuleLoss[];
  generate: Generated;
  test: TestResult;
  score: Score;
  fetchTest: Example[];
  parseExamples: Example[];
  encodeRecipe: string;
  decodeRecipe: Recipe;
  memory: number;
};

/** Page to worker. */
export type ToWorker = { id: number; request: Request } | { id: number; cancel: true };

/** Worker to page. `crashed` says that the engine cannot go on and the worker must be replaced. */
export type FromWorker =
  | { id: number; event: Event }
  | { id: number; result: unknown }
  | { id: number; aborted: true }
  | { id: number; error: ErrorReport }
  | { id: number; crashed: ErrorReport };
