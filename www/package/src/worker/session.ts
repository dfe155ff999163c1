// The worker's handlers, one for each kind of request: a module library, the engine's session with a
// base and modules, and the stored files.

import { isErrorReport, LoraLoomError, reasonOf } from "../errors.js";
import type {
  Answer,
  BaseInfo,
  Device,
  DeviceKind,
  Example,
  GpuStatus,
  Inspected,
  LearnResult,
  LoadedBase,
  LoadedModule,
  ModuleInfo,
  PeftFiles,
  ReadExamples,
  RequestKind,
  Requests,
  SessionEvent,
  Storage,
  TuneResult,
  WorkerEvent,
  WorkerRequest,
} from "../protocol.js";
import { loadBase } from "./base.js";
import type { Capabilities } from "./capabilities.js";
import { type DownloadContext, forget, type RemoteFile } from "./download.js";
import { EmbeddingStore } from "./embeddings.js";
import {
  type Choice,
  chooseBuild,
  type EngineModule,
  type Hooks,
  type LoadedEngine,
  type Session,
} from "./engine.js";
import { aboutLocalFiles, type LongCall, loraLoomError } from "./errors.js";
import { fetchFiles } from "./fetch.js";
import { adapterFolder, baseFolder } from "./folder.js";
import { Library } from "./library.js";
import { isLocalFile } from "./local-files.js";
import { adapterFolders } from "./picked-files.js";
import { readPieces, remoteFiles, smallPieces } from "./pieces.js";
import { folderPath, openFolderStore, openStore, type Store, toStoredFile } from "./store.js";
import { nextTurn, serializeCalls } from "./turn.js";

/** What a session depends on; unit tests replace it. */
export interface SessionDeps {
  detectCapabilities(kind: DeviceKind): Promise<Capabilities>;
  loadEngine(choice: Choice, wasmUrl: string | null): Promise<LoadedEngine>;
  openStore?: () => Promise<Store>;
}

/** How a request reports, and how it is ended. */
export interface Task<K extends RequestKind = RequestKind> {
  /** Ends the request, which then rejects. */
  signal: AbortSignal;
  /** Ends the request with what was reached. */
  stop: AbortSignal;
  onEvent(event: WorkerEvent<K>): void;
}

type Handlers = {
  [K in RequestKind]: (
    request: Requests[K]["request"],
    task: Task<K>,
  ) => Answer<K> | Promise<Answer<K>>;
};

type Input<K extends RequestKind> = Requests[K]["request"];

/** An engine that runs, and the library that was opened with it. */
interface Engine {
  module: EngineModule;
  session: Session;
  device: Device;
  library: Library;
  stallSeconds: number;
}

/** The base in the session. */
interface CurrentBase {
  info: BaseInfo;
  /** Its id in the library, which can be another than the one that its files name. */
  id: string;
  embeddings: EmbeddingStore | null;
}

/** The handlers of a worker. */
export class WorkerSession implements Handlers {
  readonly #deps: SessionDeps;
  readonly #serialize = serializeCalls();
  readonly #modules = new Map<string, LoadedModule>();
  /** Ids of the modules that are not the library's. */
  readonly #local = new Set<string>();
  #engine: Engine | null = null;
  #onTrap: (trap: WebAssembly.RuntimeError) => void = () => undefined;
  #isFull = () => false;
  #base: CurrentBase | null = null;
  #store: Promise<Store> | null = null;
  #storageFolder: string | null = null;
  #running: LongCall | null = null;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  async inspect(request: Input<"inspect">, task: Task<"inspect">): Promise<Inspected> {
    const { registryUrl, hub, stallSeconds, storageFolder } = request;
    this.#storageFolder = storageFolder === null ? null : folderPath(storageFolder);
    const capabilities = await this.#deps.detectCapabilities(request.device);
    const choice = chooseBuild(capabilities, request.threads, request.device);
    const { device } = choice;
    task.onEvent({ kind: "stage", text: "Starting the engine" });
    const engine = await this.#deps.loadEngine(choice, request.wasmUrl);
    const { module, threadsFailure } = engine;
    this.#onTrap = engine.onTrap;
    this.#isFull = engine.isFull;
    device.memoryBytes = engine.memoryBytes;
    if (threadsFailure !== null) {
      device.threads = 1;
      device.reason = `one thread, because the others did not start: ${threadsFailure}`;
    }
    task.onEvent({ kind: "stage", text: "Reading the module library" });
    const context = await this.#context(module, stallSeconds, task);
    const library = await Library.open({ registryUrl, hub }, module, context);
    this.#engine = { module, session: new module.Session(), device, library, stallSeconds };
    return {
      registry: library.registry,
      device,
      defaults: module.defaultLearnOptions(),
      published: module.publishedLearnOptions(),
      settings: module.learnSettings(),
    };
  }

  async open(input: Input<"open">, task: Task<"open">): Promise<LoadedBase> {
    const { source } = input;
    const from = source.kind === "registry" ? source : this.#started().library.resolve(source);
    const isLocal = from.kind === "files" || (from.kind === "folder" && isLocalFile(from.url));
    return this.#open(input, task).catch((error) => {
      throw isLocal ? aboutLocalFiles(error) : error;
    });
  }

  async #open({ source, precision }: Input<"open">, task: Task<"open">): Promise<LoadedBase> {
    const { module, session, device, library } = this.#started();
    const context = await this.#download(task);
    if (context.store.kind === "memory") {
      task.onEvent({
        kind: "stage",
        text: "No files are stored here: they will be fetched again next time",
      });
    }
    const pieces =
      source.kind === "registry"
        ? await library.basePieces(source.id, context)
        : await baseFolder(library.resolve(source), module, context);
    const all = [...smallPieces(pieces), ...pieces.weights];
    const { load, sha256 } = await keepIfRead(remoteFiles(all), context, () =>
      loadBase(pieces, precision, module, context),
    );
    task.onEvent({ kind: "stage", text: "Putting the model together" });
    return this.#serialize(async () => {
      await nextTurn();
      if (task.signal.aborted) {
        load.free();
        task.signal.throwIfAborted();
      }
      const info = await keepIfRead(remoteFiles(all), context, () =>
        session.finishBase(load, sha256),
      );
      const { id } = pieces;
      const url = new URL(`descriptions read by ${id.replaceAll("/", " ")}`, library.url).href;
      // The configuration and the tokenizer change them too.
      const key = `embeddings-${precision}-${info.filesSha256}`;
      this.#base = { info, id, embeddings: info.filesSha256 ? new EmbeddingStore(key, url) : null };
      this.#modules.clear();
      this.#local.clear();
      if (device.build === "gpu") {
        task.onEvent({
          kind: "stage",
          text: "Copying the model to the GPU, and checking it there",
        });
        const status = await session.openGpu();
        if (status) task.onEvent({ kind: "gpu", status: this.#named(status) });
      }
      return { ...info, commit: pieces.commit };
    });
  }

  verify() {
    const { session, base } = this.#ready();
    return this.#serialize(() => session.verify(base.id));
  }

  async search({ query }: Input<"search">, task: Task<"search">) {
    return this.#started().library.search(query, await this.#download(task));
  }

  async entries({ ids }: Input<"entries">, task: Task<"entries">) {
    return this.#started().library.entries(ids, await this.#download(task));
  }

  suggest({ examples, limit }: Input<"suggest">, task: Task<"suggest">) {
    return this.#run("suggest", task, async (session, base, hooks) => {
      const { library } = this.#started();
      const context = await this.#download(task);
      task.onEvent({ kind: "stage", text: "Reading the descriptions of modules" });
      const candidates = await library.candidates(examples, base.id, limit, context);
      await base.embeddings?.load(session, context);
      const suggestions = await session.suggest(examples, candidates, limit, hooks);
      await base.embeddings?.save(session, context);
      return suggestions;
    });
  }

  async loadModules({ ids }: Input<"loadModules">, task: Task<never>) {
    const { session, base } = this.#ready();
    const { library } = this.#started();
    const context = await this.#download(task);
    const missing = ids.filter((id) => !this.#modules.has(id));
    const modules = await library.modulesOf(base.id, missing, context);
    const wanted: RemoteFile[] = [];
    const commits: (string | null)[] = [];
    for (const module of modules) {
      const { commit, config, weights } = await library.modulePieces(module, context);
      wanted.push(config, weights);
      commits.push(commit);
    }
    const files = await fetchFiles(wanted, context);
    for (const [index, { id }] of modules.entries()) {
      const [config, weights] = files.slice(2 * index) as [Uint8Array, Uint8Array];
      await this.#serialize(() =>
        keepIfRead(wanted.slice(2 * index, 2 * index + 2), context, () =>
          this.#modules.set(id, {
            ...session.addModule(id, config, weights),
            commit: commits[index] ?? null,
          }),
        ),
      );
      await nextTurn();
      task.signal.throwIfAborted();
    }
    return ids.map((id) => this.#modules.get(id) as LoadedModule);
  }

  async addModule({ id, source }: Input<"addModule">, task: Task<"addModule">) {
    const { session } = this.#ready();
    const { library } = this.#started();
    if (source.kind === "registry") {
      const [info] = await this.loadModules({ ids: [source.id ?? id] }, task);
      return info as LoadedModule;
    }
    const context = await this.#download(task);
    const pieces = await adapterFolder(library.resolve(source), context);
    const both = [pieces.config, pieces.weights];
    const [config, weights] = (await readPieces(both, context)) as [Uint8Array, Uint8Array];
    const added = await this.#serialize(() =>
      keepIfRead(remoteFiles(both), context, () => session.addModule(id, config, weights)),
    );
    const info = { ...added, commit: pieces.commit };
    this.#modules.set(id, info);
    this.#local.add(id);
    return info;
  }

  adapterFolders({ source }: Input<"adapterFolders">): Promise<string[]> {
    return adapterFolders(source);
  }

  async storage(): Promise<Storage> {
    const store = await this.#openStore();
    const stored = await store.list().catch((error) => {
      throw loraLoomError("storage-silent", { reason: reasonOf(error) }, error);
    });
    const files = stored.map(toStoredFile).sort((a, b) => b.bytes - a.bytes);
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

  async deleteStored({ keys }: Input<"deleteStored">): Promise<Storage> {
    const store = await this.#openStore();
    for (const key of keys) await store.remove(key);
    return this.storage();
  }

  /** Its history lacks the evaluations that were sent as events: copying thousands again blocks the page. */
  async learn(
    { examples, modules, options, history }: Input<"learn">,
    task: Task<"learn">,
  ): Promise<LearnResult> {
    const sent = new Set<number>();
    const onEvent: typeof task.onEvent = (event) => {
      if (event.kind === "evaluation") sent.add(event.evaluation.number);
      task.onEvent(event);
    };
    const result = await this.#run("learn", { ...task, onEvent }, (session, _base, hooks) =>
      session.learn(examples, modules, options, history, hooks),
    );
    return { ...result, history: result.history.filter(({ number }) => !sent.has(number)) };
  }

  async tune(
    { examples, composition, options, id }: Input<"tune">,
    task: Task<"tune">,
  ): Promise<TuneResult> {
    const result = await this.#run("tune", task, (session, _base, hooks) =>
      session.tune(examples, composition, options, id, hooks),
    );
    this.#modules.set(id, { ...result.module, commit: null });
    this.#local.add(id);
    return result;
  }

  async addScaled({ id, composition, scales }: Input<"addScaled">): Promise<ModuleInfo> {
    const { session } = this.#ready();
    const info = await this.#serialize(() => session.addScaled(id, composition, scales));
    this.#modules.set(id, { ...info, commit: null });
    this.#local.add(id);
    return info;
  }

  assess({ examples, composition }: Input<"assess">, task: Task<"assess">) {
    return this.#run("assess", task, (session, _base, hooks) =>
      session.assess(examples, composition, hooks),
    );
  }

  exportAdapter({ composition }: Input<"exportAdapter">): Promise<PeftFiles> {
    const { session, base } = this.#ready();
    return this.#serialize(() => session.exportAdapter(composition, base.id));
  }

  leaveOneOut({ examples, composition }: Input<"leaveOneOut">, task: Task<"leaveOneOut">) {
    return this.#run("leaveOneOut", task, (session, _base, hooks) =>
      session.leaveOneOut(examples, composition, hooks),
    );
  }

  generate({ input, composition, maxNewTokens }: Input<"generate">, task: Task<"generate">) {
    return this.#run("generate", task, (session, _base, hooks) =>
      session.generate(input, composition, maxNewTokens, hooks),
    );
  }

  route({ input, compositions, options }: Input<"route">, task: Task<"route">) {
    return this.#run("route", task, (session, _base, hooks) =>
      session.route(input, compositions, options, hooks),
    );
  }

  test({ examples, composition, maxNewTokens }: Input<"test">, task: Task<"test">) {
    return this.#run("test", task, (session, _base, hooks) =>
      session.test(examples, composition, maxNewTokens, hooks),
    );
  }

  score({ examples, composition }: Input<"score">, task: Task<"score">) {
    return this.#run("score", task, (session) => session.score(examples, composition));
  }

  async fetchTest({ taskId }: Input<"fetchTest">, task: Task<"fetchTest">): Promise<Example[]> {
    const { module, library } = this.#started();
    const [bytes = new Uint8Array()] = await fetchFiles(
      [library.testFile(taskId)],
      await this.#download(task),
    );
    return module.parseExamples(bytes, "jsonl");
  }

  parseExamples({ text, format }: Input<"parseExamples">): Example[] {
    return this.#started().module.parseExamples(toBytes(text), format);
  }

  readExamples({ text, format }: Input<"readExamples">): ReadExamples {
    return this.#started().module.readExamples(toBytes(text), format);
  }

  async share(request: Input<"share">, task: Task<"share">): Promise<string> {
    const { module, library } = this.#started();
    if (!this.#base) throw loraLoomError("nothing-to-share", {});
    const { registry, composition, scales, title, instruction, examples } = request;
    const { id: base, info } = this.#base;
    const ids = composition.modules.map(({ id }) => id).filter((id) => !this.#local.has(id));
    const modules = await library.entries(ids, await this.#download(task));
    const { precision } = info;
    const draft = {
      ...{ registry, base, composition, precision, title, instruction, examples },
      ...(scales && { scales }),
    };
    const { bases } = library.registry;
    return module.encodeRecipe(module.makeRecipe(draft, bases, modules, this.#hashes()));
  }

  decode({ fragment }: Input<"decode">) {
    return this.#started().module.decodeRecipe(fragment);
  }

  async checkRecipe({ recipe, loaded }: Input<"checkRecipe">, task: Task<"checkRecipe">) {
    const { module, library } = this.#started();
    const ids = recipe.modules.map(({ id }) => id);
    const modules = await library.entries(ids, await this.#download(task));
    const none = { bases: {}, baseFiles: {}, modules: {}, moduleFiles: {} };
    const hashes = loaded ? this.#hashes() : none;
    module.checkRecipe(recipe, library.registry.bases, modules, hashes);
    return null;
  }

  memoryBytes(): number {
    return this.#engine?.module.memoryBytes() ?? 0;
  }

  /** Whether the engine's memory has no room left; only after a trap. */
  isFull(): boolean {
    return this.#isFull();
  }

  /** Says that the engine trapped where no call could catch it. */
  onTrap(trap: WebAssembly.RuntimeError): void {
    this.#onTrap(trap);
  }

  /** Runs one of the calls of which the engine takes one at a time. */
  async #run<K extends LongCall, T>(
    call: K,
    task: Task<K>,
    work: (session: Session, base: CurrentBase, hooks: Hooks) => Promise<T>,
  ): Promise<T> {
    const { session, base } = this.#ready();
    if (this.#running) throw loraLoomError("busy", { call, running: this.#running });
    this.#running = call;
    const hooks = {
      onEvent: (event: SessionEvent) => {
        if (event.kind === "gpu") this.#named(event.status);
        task.onEvent(event as Requests[K]["event"]);
      },
      nextTurn: async () => {
        await nextTurn();
        return task.signal.aborted || task.stop.aborted;
      },
    };
    try {
      const result = await this.#serialize(() => work(session, base, hooks));
      task.signal.throwIfAborted();
      return result;
    } finally {
      this.#running = null;
    }
  }

  /** A status with the browser's name of the GPU: the engine's is often empty. */
  #named(status: GpuStatus): GpuStatus {
    status.name ||= this.#engine?.device.gpu?.name ?? "";
    return status;
  }

  /** The hashes of what is loaded. */
  #hashes() {
    const modules = [...this.#modules.values()];
    const { id = "", info } = this.#base ?? {};
    return {
      bases: info ? { [id]: info.sha256 } : {},
      baseFiles: info ? { [id]: info.filesSha256 } : {},
      modules: Object.fromEntries(modules.map(({ id, sha256 }) => [id, sha256])),
      moduleFiles: Object.fromEntries(modules.map(({ id, filesSha256 }) => [id, filesSha256])),
    };
  }

  #started(): Engine {
    if (this.#engine) return this.#engine;
    throw loraLoomError("not-started", {});
  }

  #ready(): { session: Session; base: CurrentBase } {
    const { session } = this.#started();
    if (!this.#base) throw loraLoomError("base-not-loaded", {});
    return { session, base: this.#base };
  }

  #openStore(): Promise<Store> {
    const open = this.#deps.openStore ?? openStore;
    this.#store ??= this.#storageFolder === null ? open() : openFolderStore(this.#storageFolder);
    return this.#store;
  }

  #download(task: Task<never>): Promise<DownloadContext> {
    const { module, stallSeconds } = this.#started();
    return this.#context(module, stallSeconds, task);
  }

  async #context(
    module: EngineModule,
    stallSeconds: number,
    { signal, onEvent }: Task<never>,
  ): Promise<DownloadContext> {
    const newHasher = () => new module.Sha256();
    const detectPlaceholder = (start: Uint8Array) => module.detectPlaceholder(start);
    const store = await this.#openStore();
    return { signal, stallSeconds, newHasher, detectPlaceholder, onEvent, store };
  }
}

/** The bytes of a file, or of text in UTF-8. */
const toBytes = (text: string | Uint8Array) =>
  typeof text === "string" ? new TextEncoder().encode(text) : text;

/** The result of reading files; the stored copies of files that the engine refuses are deleted. */
async function keepIfRead<T>(
  files: RemoteFile[],
  context: DownloadContext,
  read: () => T | Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    // The engine throws plain reports.
    if (isErrorReport(error) && !(error instanceof LoraLoomError)) await forget(files, context);
    throw error;
  }
}

/** The answer of the handler of a request. */
export async function handle<K extends RequestKind>(
  handlers: Handlers,
  request: WorkerRequest<K>,
  task: Task<K>,
): Promise<Answer<K>> {
  const handlerOf = handlers[request.kind as K] as Handlers[K];
  return handlerOf.call(handlers, request, task);
}
