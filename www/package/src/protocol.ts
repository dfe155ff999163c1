// The protocol between the page and its worker: every request with its answer and its events, and the
// types that only TypeScript uses. The client's calls, the worker's handlers and the tests derive from
// `Requests`. The engine's own types are generated from Rust.

import type {
  Assessment,
  BaseInfo,
  Composition,
  ErrorReport,
  Evaluation,
  Example,
  ExamplesFormat,
  FoundModules,
  Generated,
  GpuStatus,
  LearnOptions,
  LearnResult,
  ModuleInfo,
  ModuleLoss,
  ModuleQuery,
  PeftFiles,
  Precision,
  ReadExamples,
  Recipe,
  RecipeDraft,
  Registry,
  RegistryModule,
  RemoteFolder,
  Routed,
  RouteOptions,
  Score,
  SessionEvent,
  Setting,
  StoredComposition,
  Suggestion,
  TestResult,
  TunedScales,
  TuneOptions,
  TuneResult,
  Verified,
} from "./generated/types.js";
import type { NotLoaded } from "./module-worker.js";

export type * from "./generated/types.js";
export type { NotLoaded } from "./module-worker.js";

/** Where the files of a base model or of a module are. */
export type Source =
  /** An entry of the registry; the first base where `id` is null. */
  | { kind: "registry"; id: string | null }
  /** What a person typed: an id of the hub, or the address of one of its pages or of a folder. */
  | { kind: "address"; text: string }
  /** A folder of a hub's repository, or of a static host. */
  | RemoteFolder
  /** Files of this computer; `folder` is the path of the one that is meant, where there are several. */
  | { kind: "files"; files: LocalFile[]; folder?: string };

/** Where the files of a model or a module came from. */
export interface AtCommit {
  /** The commit of the hub's repository; null for files from elsewhere. */
  commit: string | null;
}

/** A loaded base model, and where its files came from. */
export type LoadedBase = BaseInfo & AtCommit;

/** A loaded module, and where its files came from. */
export type LoadedModule = ModuleInfo & AtCommit;

/** Files of this computer. */
export type FilesSource = Extract<Source, { kind: "files" }>;

/** A file of this computer. */
export interface LocalFile {
  /** Its path within what was chosen, with `/` between its parts. */
  path: string;
  /** Its contents. */
  contents: Blob;
}

/** What to run the model on. */
export type DeviceKind = "wasm" | "webgpu";
/** A WebAssembly build of the engine. */
export type Build = "threads" | "threads-simd128" | "gpu" | "simd128";
/** The vector instructions of a build. */
export type Simd = "relaxed" | "simd128";

/** What the engine runs on, and why. */
export interface Device {
  /** The WebAssembly build in use. */
  build: Build;
  /** Number of threads. */
  threads: number;
  /** Its vector instructions. */
  simd: Simd;
  /** Whether the page is cross-origin isolated, which threads require. */
  isolated: boolean;
  /** Why this build was chosen, as a phrase. */
  reason: string;
  /** Bytes of WebAssembly memory at the start. */
  memoryBytes: number;
  /** State of the GPU; null unless `device: "webgpu"` was given. */
  gpu: GpuStatus | null;
}

/** What is read before a model is fetched. */
export interface Inspected {
  /** The module library. */
  registry: Registry;
  /** What the engine runs on. */
  device: Device;
  /** Default options of learning. */
  defaults: LearnOptions;
  /** Options of the published method. */
  published: LearnOptions;
  /** Limits, default, label and help of each option of learning. */
  settings: Setting[];
}

/** Where fetched files are stored. */
export type StoreKind = "file-system" | "cache" | "memory";

/** A stored file. */
export interface StoredFile {
  /** Its key: its SHA-256, `url-` and the SHA-256 of its address, or `packed-…` for packed weights. */
  key: string;
  /** The address it was fetched from. */
  url: string;
  /** Bytes stored. */
  bytes: number;
  /** False for a partial download, which is resumed when the file is needed. */
  complete: boolean;
  /** SHA-256 of the contents; null while incomplete. */
  sha256: string | null;
  /** True where the hash is that of the first download; false where it was given beforehand. */
  pinned: boolean;
  /** Whether it holds packed weights, which load faster than the model's own files. */
  packed: boolean;
}

/** What the browser stores for this site. */
export interface Storage {
  /** The kind of storage. */
  kind: StoreKind;
  /** Whether the browser promised not to evict it. */
  persisted: boolean;
  /** Bytes that the site uses; null where the browser does not report it. */
  usage: number | null;
  /** Bytes that the site may use; null where the browser does not report it. */
  quota: number | null;
  /** The files, largest first. */
  files: StoredFile[];
}

/** The progress of a download in bytes; files read from storage are reported too. */
export interface Progress {
  /** The file's name. */
  file: string;
  /** Bytes of the file so far. */
  loaded: number;
  /** Bytes of the file. */
  total: number;
  /** Bytes of all files of this call so far. */
  overallLoaded: number;
  /** Bytes of all files of this call. */
  overallTotal: number;
  /** Whether the bytes come from storage. */
  cached: boolean;
}

/** Progress of a download. */
export type ProgressEvent = { kind: "progress" } & Progress;
/** The current stage of a call, as a phrase. */
export type StageEvent = { kind: "stage"; text: string };
/** Events of the engine of one kind. */
export type EngineEvent<K extends SessionEvent["kind"]> = Extract<SessionEvent, { kind: K }>;

/** Every request that the worker answers. Each can also report {@link ProgressEvent} and {@link StageEvent}. */
export interface Requests {
  inspect: {
    request: {
      registryUrl: string;
      device: DeviceKind;
      /** Null for one per core. */
      threads: number | null;
      /** Folder of the wasm builds; null for the package's own. */
      wasmUrl: string | null;
      hub: string;
      stallSeconds: number;
      /** Path or `file:` address of a folder for stored files, in Node; null for the browser's storage. */
      storageFolder: string | null;
    };
    answer: Inspected;
    event: never;
  };
  open: {
    request: { source: Source; precision: Precision };
    answer: LoadedBase;
    event: EngineEvent<"gpu">;
  };
  verify: { request: object; answer: Verified | null; event: never };
  search: { request: { query: ModuleQuery }; answer: FoundModules; event: never };
  entries: { request: { ids: string[] }; answer: RegistryModule[]; event: never };
  suggest: {
    request: { examples: Example[]; limit: number };
    answer: Suggestion[];
    event: EngineEvent<"step" | "gpu">;
  };
  loadModules: { request: { ids: string[] }; answer: LoadedModule[]; event: never };
  addModule: { request: { id: string; source: Source }; answer: LoadedModule; event: never };
  /** The paths of the PEFT folders among files of this computer. */
  adapterFolders: { request: { source: FilesSource }; answer: string[]; event: never };
  storage: { request: object; answer: Storage; event: never };
  deleteStored: { request: { keys: string[] }; answer: Storage; event: never };
  learn: {
    request: {
      examples: Example[];
      modules: string[];
      options: LearnOptions;
      /** Evaluations of a run that was stopped. */
      history: Evaluation[];
    };
    answer: LearnResult;
    event: EngineEvent<"unwritable" | "estimate" | "selected" | "evaluation" | "gpu">;
  };
  tune: {
    request: {
      examples: Example[];
      composition: Composition;
      options: Partial<TuneOptions>;
      id: string;
    };
    answer: TuneResult;
    event: EngineEvent<"tuned" | "step" | "gpu">;
  };
  addScaled: {
    request: { id: string; composition: Composition; scales: TunedScales };
    answer: ModuleInfo;
    event: never;
  };
  assess: {
    request: { examples: Example[]; composition: Composition | null };
    answer: Assessment;
    event: EngineEvent<"gpu">;
  };
  exportAdapter: { request: { composition: Composition }; answer: PeftFiles; event: never };
  leaveOneOut: {
    request: { examples: Example[]; composition: Composition };
    answer: ModuleLoss[];
    event: EngineEvent<"step" | "gpu">;
  };
  generate: {
    request: { input: string; composition: Composition | null; maxNewTokens: number };
    answer: Generated;
    event: EngineEvent<"token" | "gpu">;
  };
  route: {
    request: { input: string; compositions: StoredComposition[]; options: Partial<RouteOptions> };
    answer: Routed;
    event: EngineEvent<"step" | "gpu">;
  };
  test: {
    request: { examples: Example[]; composition: Composition | null; maxNewTokens: number };
    answer: TestResult;
    event: EngineEvent<"tested" | "gpu">;
  };
  score: {
    request: { examples: Example[]; composition: Composition | null };
    answer: Score;
    event: never;
  };
  fetchTest: { request: { taskId: string }; answer: Example[]; event: never };
  parseExamples: {
    request: { text: string | Uint8Array; format: ExamplesFormat };
    answer: Example[];
    event: never;
  };
  readExamples: {
    request: { text: string | Uint8Array; format: ExamplesFormat };
    answer: ReadExamples;
    event: never;
  };
  share: {
    request: Omit<RecipeDraft, "base" | "precision">;
    answer: string;
    event: never;
  };
  decode: { request: { fragment: string }; answer: Recipe; event: never };
  /** Checks a recipe against the library, and against the loaded weights where `loaded` is true. */
  checkRecipe: { request: { recipe: Recipe; loaded: boolean }; answer: null; event: never };
  memoryBytes: { request: object; answer: number; event: never };
}

/** The kinds of requests. */
export type RequestKind = keyof Requests;
/** A request, tagged by its kind. */
export type WorkerRequest<K extends RequestKind = RequestKind> = {
  [P in K]: { kind: P } & Requests[P]["request"];
}[K];
/** The answer to a request. */
export type Answer<K extends RequestKind> = Requests[K]["answer"];
/** What a request reports while it runs. */
export type WorkerEvent<K extends RequestKind = RequestKind> =
  | ProgressEvent
  | StageEvent
  | Requests[K]["event"];

/**
 * Page to worker. `stop` ends a call with what was reached; `abort` rejects it.
 */
export type ToWorker =
  | { id: number; request: WorkerRequest }
  | { id: number; stop: true }
  | { id: number; abort: true };

/**
 * Worker to page. `ready` comes first, or `notLoaded` in its place where a script on another origin does
 * not load. After `crashed` the engine is unusable and the page replaces the worker.
 */
export type FromWorker =
  | { ready: true }
  | NotLoaded
  | { id: number; event: WorkerEvent }
  | { id: number; result: Answer<RequestKind> }
  | { id: number; aborted: true }
  | { id: number; error: ErrorReport; cause?: unknown }
  | { crashed: ErrorReport };
