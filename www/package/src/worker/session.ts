// One session: a registry, an engine with a base and modules, and the requests made of them.
// Long work runs step by step with a turn of the event loop in between, so a cancel is seen at once.

import type {
  Composition,
  Device,
  DeviceKind,
  ErrorReport,
  Event,
  Example,
  GpuStatus,
  Inspected,
  LearnResult,
  ModuleInfo,
  ModuleLoss,
  Registry,
  Request,
  Source,
  Storage,
} from "../generated/protocol.js";
import type { Answers } from "../messages.js";
import { loadBase } from "./base.js";
import type { Capabilities } from "./capabilities.js";
import type { DownloadContext, Wanted } from "./download.js";
import type { Engine, EngineModule, LoadedEngine } from "./engine.js";
import { chooseBuild } from "./engine.js";
import { fetchFiles, fetchRegistry } from "./fetch.js";
import { Finding } from "./finding.js";
import {
  adapterFolder,
  type BasePieces,
  baseFolder,
  type Piece,
  type RegistryPlace,
  readPieces,
  registryBase,
  registryModule,
  registryTest,
} from "./folder.js";
import { oneAfterAnother } from "./graphics.js";
import { openStore, type Store, toStoredFile } from "./store.js";
import { nextTurn } from "./turn.js";

/** What a session takes from outside: replaced in unit tests. */
export interface Surroundings {
  detectCapabilities(kind: DeviceKind): Promise<Capabilities>;
  loadEngine(device: Device, wasmUrl: string | null): Promise<LoadedEngine>;
  openStore?: () => Promise<Store>;
}

/** What a request is given to report with and to be stopped by. */
export interface Task {
  signal: AbortSignal;
  onEvent(event: Event): void;
}

/** The work of which only one runs at a time. */
const LONG = new Set<Request["kind"]>([
  "learn",
  "leaveOneOut",
  "generate",
  "test",
  "score",
  "suggest",
]);

const DOING: Partial<Record<Request["kind"], string>> = {
  learn: "Learning",
  leaveOneOut: "Measuring the modules",
  generate: "Answering",
  test: "The test",
  score: "Scoring",
  suggest: "The search for modules",
};

function report(what: string, why: string, next: string): ErrorReport {
  return { what, why, next };
}

/** One session of the worker. */
export class Session {
  readonly #around: Surroundings;
  #module: EngineModule | null = null;
  #engine: Engine | null = null;
  /** The graphics card as it was last told of; null where it is not asked for. */
  #gpu: GpuStatus | null = null;
  #registry: Registry | null = null;
  #finding: Finding | null = null;
  #place: RegistryPlace = { url: "", hub: "" };
  #baseId = "";
  /** What the base's embeddings of texts are kept under. */
  #embeddingsKey: string | null = null;
  #stallSeconds = 20;
  #store: Promise<Store> | null = null;
  #running: Request["kind"] | null = null;
  readonly #infos = new Map<string, ModuleInfo>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** Answers one request. Throws an error report, or the signal's reason where it was aborted. */
  async handle(request: Request, task: Task): Promise<Answers[Request["kind"]]> {
    if (!LONG.has(request.kind)) return this.#dispatch(request, task);
    if (this.#running) {
      throw report(
        `${DOING[request.kind]} did not start.`,
        `${DOING[this.#running]} is still running, and the model does one thing at a time.`,
        "Wait for it to finish, or stop it first.",
      );
    }
    this.#running = request.kind;
    try {
      return await this.#dispatch(request, task);
    } finally {
      this.#running = null;
      await this.#tellGpu(task);
    }
  }

  /** Tells the page if the graphics card is used since, or is not any more. */
  async #tellGpu(task: Task): Promise<void> {
    const status = await this.#engine?.gpuStatus?.();
    if (!status || !this.#gpu) return;
    // WebGPU has several names for a card; the engine knows one, which is often empty.
    status.name ||= this.#gpu.name;
    const known = this.#gpu;
    this.#gpu = status;
    if (JSON.stringify(status) !== JSON.stringify(known)) task.onEvent({ kind: "gpu", status });
  }

  #dispatch(request: Request, task: Task): Promise<Answers[Request["kind"]]> {
    switch (request.kind) {
      case "inspect":
        return this.#inspect(request, task);
      case "open":
        return this.#open(request, task);
      case "verify":
        return this.#verify();
      case "search":
        return this.#find(task, (finding, context) => finding.search(request.query, context));
      case "entries":
        return this.#find(task, (finding, context) => finding.entries(request.ids, context));
      case "suggest":
        return this.#suggest(request, task);
      case "loadModules":
        return this.#loadModules(request.ids, task);
      case "addModule":
        return this.#addModule(request, task);
      case "storage":
        return this.#storage();
      case "deleteStored":
        return this.#deleteStored(request.keys);
      case "learn":
        return this.#learn(request, task);
      case "leaveOneOut":
        return this.#leaveOneOut(request.examples, request.composition, task);
      case "generate":
        return this.#generate(request, task);
      case "test":
        return this.#test(request, task);
      case "score":
        return this.#score(request.examples, request.composition);
      case "fetchTest":
        return this.#fetchTest(request.taskId, task);
      case "parseExamples":
        return Promise.resolve(this.#wasm().parseExamples(request.text, request.format));
      case "encodeRecipe":
        return Promise.resolve(this.#wasm().encodeRecipe(request.recipe));
      case "decodeRecipe":
        return Promise.resolve(this.#wasm().decodeRecipe(request.fragment));
      case "memory":
        return Promise.resolve(this.#engine?.memoryBytes() ?? 0);
    }
  }

  #wasm(): EngineModule {
    if (this.#module) return this.#module;
    throw report("Nothing is loaded yet.", "The engine was not started.", "Open a library first.");
  }

  #ready(): Engine {
    if (this.#engine) return this.#engine;
    throw report(
      "The model is not loaded yet.",
      "This needs the base model, and it was not fetched.",
      "Load the model first.",
    );
  }

  #library(): Registry {
    this.#wasm();
    return this.#registry as Registry;
  }

  #opened(): Promise<Store> {
    this.#store ??= (this.#around.openStore ?? openStore)();
    return this.#store;
  }

  async #download(task: Task): Promise<DownloadContext> {
    const module = this.#wasm();
    return {
      signal: task.signal,
      stallSeconds: this.#stallSeconds,
      newHasher: () => new module.Sha256(),
      onEvent: task.onEvent,
      store: await this.#opened(),
    };
  }

  async #inspect(request: Extract<Request, { kind: "inspect" }>, task: Task): Promise<Inspected> {
    const capabilities = await this.#around.detectCapabilities(request.device);
    const device = chooseBuild(capabilities, request.threads, request.device);
    task.onEvent({ kind: "stage", text: "Starting the engine" });
    const { module, memoryBytes } = await this.#around.loadEngine(device, request.wasmUrl);
    this.#module = module;
    device.memoryBytes = memoryBytes;
    this.#gpu = device.gpu;
    this.#stallSeconds = request.stallSeconds;
    task.onEvent({ kind: "stage", text: "Reading the module library" });
    const bytes = await fetchRegistry(request.registryUrl, await this.#download(task));
    this.#registry = module.parseRegistry(bytes);
    this.#place = { url: request.registryUrl, hub: request.hub };
    this.#finding = new Finding(new module.Finder(this.#registry), request.registryUrl);
    return {
      registry: this.#registry,
      device,
      defaults: module.defaultLearnOptions(),
      published: module.publishedLearnOptions(),
    };
  }

  /** The files of a base, by where the request says they are. */
  async #pieces(source: Source, context: DownloadContext): Promise<BasePieces> {
    const folder = {
      download: context,
      read: async (piece: Piece) => (await readPieces([piece], context))[0] as Uint8Array,
      shardNames: (index: Uint8Array) => this.#wasm().shardNames(index),
    };
    if (source.kind !== "registry") return baseFolder(source, folder);
    const { bases } = this.#library();
    const base = source.id ? bases.find(({ id }) => id === source.id) : bases[0];
    if (!base) {
      throw report(
        "The base model was not found.",
        `The library has no base "${source.id ?? ""}"; it has ${bases.map(({ id }) => id).join(", ") || "none"}.`,
        "Choose one of those, or another library.",
      );
    }
    return registryBase(base, this.#place, folder);
  }

  async #open({ source, precision }: Extract<Request, { kind: "open" }>, task: Task) {
    const context = await this.#download(task);
    if (context.store.kind === "memory") {
      task.onEvent({
        kind: "stage",
        text: "This browser keeps no files for the page: they will be fetched again next time",
      });
    }
    const pieces = await this.#pieces(source, context);
    const { load, sha256 } = await loadBase(pieces, precision, this.#wasm(), context);
    task.onEvent({ kind: "stage", text: "Putting the model together" });
    await nextTurn();
    if (task.signal.aborted) {
      load.free();
      task.signal.throwIfAborted();
    }
    const engine = this.#newEngine();
    const info = await engine.finishBase(load, sha256);
    this.#engine?.free();
    this.#engine = engine;
    this.#baseId = pieces.id;
    this.#embeddingsKey = info.sha256 && `embeddings-${precision}-${info.sha256}`;
    this.#infos.clear();
    if (engine.openGpu) {
      const text = "Copying the model to the graphics card, and checking it there";
      task.onEvent({ kind: "stage", text });
      await engine.openGpu();
      await this.#tellGpu(task);
    }
    return info;
  }

  #newEngine(): Engine {
    const { Engine, GpuEngine } = this.#wasm();
    return GpuEngine ? oneAfterAnother(new GpuEngine()) : new Engine();
  }

  async #verify() {
    return this.#ready().verify(this.#baseId);
  }

  async #score(examples: Example[], composition: Composition | null) {
    return this.#ready().score(examples, composition);
  }

  async #loadModules(ids: string[], task: Task): Promise<ModuleInfo[]> {
    const engine = this.#ready();
    const missing = ids.filter((id) => !this.#infos.has(id));
    const entries = await this.#find(task, (finding, context) => finding.entries(missing, context));
    const modules = missing.map((id) => {
      const module = entries.find((one) => one.id === id);
      if (!module) {
        throw report(
          `The module "${id}" was not found.`,
          "The library does not list it.",
          "Choose a module from the library, or add its PEFT folder.",
        );
      }
      if (module.base !== this.#baseId) {
        throw report(
          `The module "${id}" does not fit.`,
          `It was trained for the base "${module.base}"; "${this.#baseId}" is loaded.`,
          "Choose modules of the loaded base.",
        );
      }
      return module;
    });
    const context = await this.#download(task);
    const wanted: Wanted[] = [];
    for (const module of modules) {
      const { config, weights } = await registryModule(module, this.#place, context);
      wanted.push(config, weights);
    }
    const files = await fetchFiles(wanted, context);
    for (const [index, { id }] of modules.entries()) {
      const config = files[2 * index] as Uint8Array;
      const weights = files[2 * index + 1] as Uint8Array;
      this.#infos.set(id, await engine.addModule(id, config, weights));
      await nextTurn();
      task.signal.throwIfAborted();
    }
    return ids.map((id) => this.#infos.get(id) as ModuleInfo);
  }

  async #addModule(
    { id, source }: Extract<Request, { kind: "addModule" }>,
    task: Task,
  ): Promise<ModuleInfo> {
    const engine = this.#ready();
    if (source.kind === "registry") {
      const [info] = await this.#loadModules([source.id ?? id], task);
      return info as ModuleInfo;
    }
    const context = await this.#download(task);
    const pieces = await adapterFolder(source, context);
    const [config, weights] = await readPieces([pieces.config, pieces.weights], context);
    const info = await engine.addModule(id, config as Uint8Array, weights as Uint8Array);
    this.#infos.set(id, info);
    return info;
  }

  async #find<T>(
    task: Task,
    ask: (finding: Finding, context: DownloadContext) => Promise<T>,
  ): Promise<T> {
    this.#wasm();
    return ask(this.#finding as Finding, await this.#download(task));
  }

  #suggest({ examples, most }: Extract<Request, { kind: "suggest" }>, task: Task) {
    const engine = this.#ready();
    return this.#find(task, (finding, context) =>
      finding.suggest(examples, most, {
        ...context,
        engine,
        base: this.#baseId,
        embeddingsKey: this.#embeddingsKey,
      }),
    );
  }

  async #storage(): Promise<Storage> {
    const store = await this.#opened();
    const files = (await store.list()).map(toStoredFile).sort((a, b) => b.bytes - a.bytes);
    const manager = globalThis.navigator?.storage;
    const estimate = await manager?.estimate?.().catch(() => null);
    return {
      kind: store.kind,
      persisted: (await manager?.persisted?.().catch(() => false)) ?? false,
      usage: estimate?.usage ?? null,
      quota: estimate?.quota ?? null,
      files,
    };
  }

  async #deleteStored(keys: string[]): Promise<Storage> {
    const store = await this.#opened();
    for (const key of keys) await store.remove(key);
    return this.#storage();
  }

  async #learn(
    { examples, modules, options }: Extract<Request, { kind: "learn" }>,
    task: Task,
  ): Promise<LearnResult> {
    const engine = this.#ready();
    await engine.startLearning(examples, modules, options);
    for (;;) {
      await nextTurn();
      if (task.signal.aborted) return engine.stopLearning();
      const { evaluation, selected, result } = await engine.learningStep();
      await this.#tellGpu(task);
      if (selected) task.onEvent({ kind: "selected", modules: selected });
      if (evaluation) task.onEvent({ kind: "evaluation", evaluation });
      if (result) return result;
    }
  }

  async #leaveOneOut(
    examples: Example[],
    { modules, merge }: Composition,
    task: Task,
  ): Promise<ModuleLoss[]> {
    const engine = this.#ready();
    const losses: ModuleLoss[] = [];
    for (const { id } of modules) {
      await nextTurn();
      task.signal.throwIfAborted();
      const others = modules.filter((module) => module.id !== id);
      const rest = others.length ? { modules: others, merge } : null;
      const { loss } = await engine.score(examples, rest);
      losses.push({ id, loss });
      task.onEvent({ kind: "tested", done: losses.length, total: modules.length, correct: 0 });
    }
    return losses;
  }

  async #generate(
    { input, composition, maxNewTokens }: Extract<Request, { kind: "generate" }>,
    task: Task,
  ) {
    const engine = this.#ready();
    const started = performance.now();
    await engine.startGeneration(input, composition, maxNewTokens);
    let text = "";
    let tokens = 0;
    for (;;) {
      await nextTurn();
      if (task.signal.aborted) {
        await engine.stop();
        const seconds = (performance.now() - started) / 1000;
        return { text, tokens, seconds, complete: false };
      }
      const step = await engine.generationStep();
      await this.#tellGpu(task);
      ({ text, tokens } = step);
      task.onEvent({ kind: "token", text });
      if (step.result) return step.result;
    }
  }

  async #test(
    { examples, composition, maxNewTokens }: Extract<Request, { kind: "test" }>,
    task: Task,
  ) {
    const engine = this.#ready();
    await engine.startTest(examples, composition, maxNewTokens);
    for (;;) {
      await nextTurn();
      if (task.signal.aborted) return engine.stopTest();
      const { result, ...counts } = await engine.testStep();
      await this.#tellGpu(task);
      task.onEvent({ kind: "tested", ...counts });
      if (result) return result;
    }
  }

  async #fetchTest(taskId: string, task: Task): Promise<Example[]> {
    const found = this.#library().tasks.find(({ id }) => id === taskId);
    if (!found) {
      throw report(
        "The test set was not found.",
        `The library has no task "${taskId}".`,
        "Choose a task of the library.",
      );
    }
    const wanted = registryTest(found, this.#place);
    const [bytes] = await fetchFiles([wanted], await this.#download(task));
    return this.#wasm().parseExamples(new TextDecoder().decode(bytes), "jsonl");
  }
}
