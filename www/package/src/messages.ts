// The envelope of the worker protocol: what the page posts to the worker and what comes back.

import type {
  BaseInfo,
  ErrorReport,
  Event,
  Example,
  FoundModules,
  Generated,
  Inspected,
  LearnResult,
  ModuleInfo,
  ModuleLoss,
  Recipe,
  RegistryModule,
  Request,
  Score,
  Storage,
  Suggestion,
  TestResult,
  Verified,
} from "./generated/protocol.js";

/** The progress of a download, in bytes; files from the cache report too. */
export type Progress = Extract<Event, { kind: "progress" }>;

/** The answer to each kind of request. */
export type Answers = {
  inspect: Inspected;
  open: BaseInfo;
  verify: Verified | null;
  search: FoundModules;
  entries: RegistryModule[];
  suggest: Suggestion[];
  loadModules: ModuleInfo[];
  addModule: ModuleInfo;
  storage: Storage;
  deleteStored: Storage;
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
