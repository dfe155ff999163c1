/// <reference lib="esnext.disposable" preserve="true" />
// The page's side: a typed Promise API over the worker.

import { LoraLoomError } from "./errors.js";
import { type CallOptions, createWorker, Link } from "./link.js";
import { nodeAddress } from "./node.js";
import type {
  AddScaledInput,
  AssessInput,
  GenerateCall,
  GenerateInput,
  InspectOptions,
  LearnCall,
  LearnInput,
  LeaveOneOutInput,
  LoadOptions,
  OpenOptions,
  Restored,
  RouteInput,
  ScoreInput,
  ShareInput,
  SuggestInput,
  TestCall,
  TestInput,
  TuneCall,
  TuneInput,
} from "./options.js";
import type {
  Answer,
  Assessment,
  Composition,
  Device,
  Evaluation,
  Example,
  ExamplesFormat,
  FoundModules,
  Inspected,
  LearnOptions,
  LearnResult,
  LoadedBase,
  LoadedModule,
  ModuleInfo,
  ModuleLoss,
  ModuleQuery,
  PeftFiles,
  Precision,
  ReadExamples,
  Recipe,
  Registry,
  RegistryModule,
  RequestKind,
  Requests,
  Routed,
  Score,
  Setting,
  Source,
  Storage,
  Suggestion,
  Verified,
  WorkerRequest,
} from "./protocol.js";
import { RunningCall } from "./running-call.js";
import { addressSource, filesSource } from "./sources.js";

const DEFAULT_STALL_SECONDS = 15;
const DEFAULT_MAX_NEW_TOKENS = 64;
const DEFAULT_TUNED_ID = "tuned";
const DEFAULT_SEARCH_LIMIT = 24;
const DEFAULT_SUGGEST_LIMIT = 20;

/**
 * A module library, a base model and loaded modules, in a worker of their own.
 *
 * Errors are {@link LoraLoomError}s. Every call takes a `signal`; an aborted call rejects with the
 * signal's reason. One call of `learn`, `generate`, `route`, `test`, `score`, `leaveOneOut` and `suggest`
 * runs at a time; a second one rejects with code `busy`.
 *
 * @example
 * ```ts
 * const loom = await LoraLoom.open({ registryUrl: "library/registry.json" });
 * const learned = await loom.learn({ examples });
 * const { text } = await loom.generate({ input: "…", composition: learned });
 * loom.dispose();
 * ```
 */
export class LoraLoom {
  static {
    // Browsers without explicit resource management have no such symbol.
    if (Symbol.dispose) LoraLoom.prototype[Symbol.dispose] = LoraLoom.prototype.dispose;
  }

  /** The module library. */
  readonly registry: Registry;
  /** Default options of {@link learn}. */
  readonly defaults: LearnOptions;
  /** Options of the published method, for {@link learn}. */
  readonly published: LearnOptions;
  /** Limits, default, label and help of each option of {@link learn}. */
  readonly settings: Setting[];
  /** As {@link dispose}: `using loom = await LoraLoom.open(…)`. */
  declare [Symbol.dispose]: () => void;

  readonly #link: Link;
  readonly #options: InspectOptions;
  readonly #loaded = new Set<string>();
  readonly #local = new Map<string, Source>();
  /** The tuned modules that a link can hold. */
  readonly #scaled = new Map<string, Omit<AddScaledInput, "id">>();
  #device: Device;
  #base: LoadedBase | null = null;
  #opened: { source: Source; precision: Precision } | null = null;
  /** Whether the engine lacks what was loaded: it crashed since. */
  #lost = false;
  #restart: Promise<void> | null = null;

  private constructor(link: Link, options: InspectOptions, inspected: Inspected) {
    this.#link = link;
    this.#options = options;
    this.registry = inspected.registry;
    this.defaults = inspected.defaults;
    this.published = inspected.published;
    this.settings = inspected.settings;
    this.#device = inspected.device;
    link.onCrash = (error, wait) => this.#recover(error, wait);
    link.onGpu = (gpu) => {
      this.#device = { ...this.#device, gpu };
      options.onGpu?.(gpu);
    };
  }

  /**
   * Starts the engine, reads the registry and loads a base model.
   *
   * @example
   * ```ts
   * const loom = await LoraLoom.open({
   *   registryUrl: "library/registry.json",
   *   onProgress: ({ overallLoaded, overallTotal }) => console.log(overallLoaded / overallTotal),
   * });
   * ```
   */
  static async open(options: OpenOptions): Promise<LoraLoom> {
    const loom = await LoraLoom.inspect(options);
    try {
      await loom.load(options);
    } catch (error) {
      loom.dispose();
      throw error;
    }
    return loom;
  }

  /**
   * Starts the engine and reads the registry, without fetching a model.
   *
   * @example
   * ```ts
   * const loom = await LoraLoom.inspect({ registryUrl: "library/registry.json" });
   * console.log(loom.device.build, loom.registry.bases[0]?.title);
   * await loom.load();
   * ```
   */
  static async inspect(options: InspectOptions): Promise<LoraLoom> {
    const link = new Link(options.createWorker ?? createWorker);
    try {
      const inspected = await link.call(inspectRequest(options), options);
      return new LoraLoom(link, options, inspected);
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /** The wasm build in use, the reason for it, and the state of the GPU. */
  get device(): Device {
    return this.#device;
  }

  /** Why the engine is not started again: it crashed five times within a minute. Null before that. */
  get ended(): LoraLoomError | null {
    return this.#link.ended;
  }

  /** The loaded base model; null before {@link load}. */
  get base(): LoadedBase | null {
    return this.#base;
  }

  /**
   * Fetches a base model and packs its weights. Modules of an earlier base are dropped.
   *
   * @example
   * ```ts
   * const base = await loom.load({ source: "google/flan-t5-small", precision: "f32" });
   * console.log(base.parameters, base.memoryBytes);
   * ```
   */
  async load(options: LoadOptions = {}): Promise<LoadedBase> {
    const source = this.#asSource(options.source, options.baseId);
    const opened = { source, precision: options.precision ?? "int8" };
    // What could not be loaded again is replaced.
    if (this.#lost && !this.#restart) this.#opened = null;
    // Downloads of minutes are worth storing; browsers prompt the user at most once.
    if (source.kind !== "registry" && source.kind !== "files") await keepStorage();
    this.#base = await this.#call({ kind: "open", ...opened }, options);
    this.#opened = opened;
    this.#loaded.clear();
    this.#local.clear();
    this.#scaled.clear();
    return this.#base;
  }

  /**
   * Checks the model against published reference outputs; null where none are known. A base of an
   * unknown id can agree with a known model, and is never reported to differ from one.
   *
   * @example
   * ```ts
   * const verified = await loom.verify();
   * if (verified) console.log(verified.expected, verified.found, verified.agrees);
   * ```
   */
  verify(options: CallOptions = {}): Promise<Verified | null> {
    return this.#call({ kind: "verify" }, options);
  }

  /**
   * Finds modules of the library by text, tags and rank, best first. Of a library in pages, only the
   * pages that are needed are fetched.
   *
   * @example
   * ```ts
   * const { total, modules } = await loom.search({ text: "question", rank: 16, limit: 10 });
   * console.log(total, modules.map(({ title }) => title));
   * ```
   */
  search(query: Partial<ModuleQuery> = {}, options: CallOptions = {}): Promise<FoundModules> {
    const defaults = { text: "", tags: [], rank: null, offset: 0, limit: DEFAULT_SEARCH_LIMIT };
    const base = this.#base?.id ?? null;
    return this.#call({ kind: "search", query: { ...defaults, base, ...query } }, options);
  }

  /**
   * The library's entries of modules; ids that are not in the library are left out.
   *
   * @example
   * ```ts
   * const [module] = await loom.entries(["one"]);
   * console.log(module?.task, module?.license);
   * ```
   */
  entries(ids: string[], options: CallOptions = {}): Promise<RegistryModule[]> {
    return this.#call({ kind: "entries", ids }, options);
  }

  /**
   * Finds the modules whose descriptions are nearest to some examples, by embeddings of the loaded
   * base's encoder, so that only those need to be fetched.
   *
   * @example
   * ```ts
   * const suggestions = await loom.suggest({ examples, limit: 5 });
   * const learned = await loom.learn({ examples, modules: suggestions.map(({ module }) => module.id) });
   * ```
   */
  suggest(input: SuggestInput): Promise<Suggestion[]> {
    const { examples, limit = DEFAULT_SUGGEST_LIMIT } = input;
    return this.#call({ kind: "suggest", examples, limit }, input, (event) => {
      if (event.kind === "step") input.onStep?.(event);
    });
  }

  /**
   * Ids of the library's modules that were trained for the loaded base. Empty for a library in pages,
   * whose modules {@link search} and {@link suggest} find.
   *
   * @example
   * ```ts
   * await loom.loadModules(loom.fittingModules());
   * ```
   */
  fittingModules(): string[] {
    const base = this.#base?.id;
    return this.registry.modules.filter((module) => module.base === base).map(({ id }) => id);
  }

  /**
   * Fetches, checks and reads modules of the library. Loaded modules are not fetched again.
   *
   * @example
   * ```ts
   * const [info] = await loom.loadModules(["one", "two"]);
   * console.log(info?.rank, info?.targets);
   * ```
   */
  async loadModules(ids: string[], options: CallOptions = {}): Promise<LoadedModule[]> {
    const fromLibrary = ids.filter((id) => !this.#isLocal(id));
    const infos = await this.#call({ kind: "loadModules", ids: fromLibrary }, options);
    for (const info of infos) this.#loaded.add(info.id);
    return infos;
  }

  /**
   * Adds a module from outside the library: a hub's id, the address of a PEFT folder, or files of this
   * computer (see {@link filesSource}), a ZIP archive included; of several modules, {@link addModules}
   * adds all. Such a module cannot be shared in a link.
   *
   * @example
   * ```ts
   * const contents = (text: string) => new Blob([text]);
   * const info = await loom.addModule(
   *   "mine",
   *   filesSource([
   *     { path: "mine/adapter_config.json", contents: contents("{}") },
   *     { path: "mine/adapter_model.safetensors", contents: contents("…") },
   *   ]),
   * );
   * console.log(info.bytes);
   * ```
   */
  async addModule(
    id: string,
    source: Source | string,
    options: CallOptions = {},
  ): Promise<LoadedModule> {
    const from = this.#asSource(source);
    const info = await this.#call({ kind: "addModule", id, source: from }, options);
    this.#keepLocal(id, from);
    return info;
  }

  /**
   * Adds all modules among files of this computer: several PEFT folders, or a ZIP archive of them. Each
   * has the path of its folder as its id; `id` is that of a single one. Second downloads in one folder are
   * paired by their numbers: `adapter_config (1).json` is of the module `adapter_model (1)`.
   *
   * @example
   * ```ts
   * const contents = new Blob(["…"]);
   * const files = ["one", "two"].flatMap((folder) => [
   *   { path: `${folder}/adapter_config.json`, contents },
   *   { path: `${folder}/adapter_model.safetensors`, contents },
   * ]);
   * const infos = await loom.addModules("mine", filesSource(files));
   * console.log(infos.map(({ id }) => id)); // one, two
   * ```
   */
  async addModules(
    id: string,
    source: Source | string,
    options: CallOptions = {},
  ): Promise<LoadedModule[]> {
    const from = this.#asSource(source);
    const folders =
      from.kind === "files"
        ? await this.#call({ kind: "adapterFolders", source: from }, options)
        : [];
    if (from.kind !== "files" || folders.length < 2)
      return [await this.addModule(id, from, options)];
    const infos: LoadedModule[] = [];
    for (const folder of folders) {
      infos.push(await this.addModule(folder || id, { ...from, folder }, options));
    }
    return infos;
  }

  /**
   * What the browser stores for this site: where, how much, and which files.
   *
   * @example
   * ```ts
   * const { files, usage } = await loom.storage();
   * console.log(usage, files.map(({ url, bytes }) => `${url}: ${bytes}`));
   * ```
   */
  storage(): Promise<Storage> {
    return this.#call({ kind: "storage" });
  }

  /**
   * Deletes stored files by their keys. Loaded models and modules stay loaded.
   *
   * @example
   * ```ts
   * const { files } = await loom.storage();
   * await loom.deleteStored(files.filter(({ complete }) => !complete).map(({ key }) => key));
   * ```
   */
  deleteStored(keys: string[]): Promise<Storage> {
    return this.#call({ kind: "deleteStored", keys });
  }

  /**
   * Learns one weight per module from a few examples, without gradients. Missing modules are loaded
   * first. With `options.held`, modules stay at given weights, and the rest is learned beside them.
   *
   * @example
   * ```ts
   * const call = loom.learn({ examples, options: { budget: 20 } });
   * for await (const { number, loss } of call) console.log(number, loss);
   * const learned = await call;
   * ```
   */
  learn(input: LearnInput): LearnCall {
    return new RunningCall(async ({ onStep, stop }) => {
      const { examples, modules = this.fittingModules() } = input;
      const options = { ...this.defaults, ...input.options };
      const used = new Set([...modules, ...options.held.map(({ id }) => id)]);
      const missing = [...used].filter((id) => !this.#loaded.has(id) && !this.#isLocal(id));
      if (missing.length) {
        const signal = input.signal ? AbortSignal.any([input.signal, stop]) : stop;
        try {
          await this.loadModules(missing, { ...input, signal });
        } catch (error) {
          if (!stop.aborted || input.signal?.aborted) throw error;
          return nothingLearned(options);
        }
      }
      const evaluations: Evaluation[] = [];
      const before = input.resume?.history ?? [];
      const learned = this.#call(
        { kind: "learn", examples, modules, options, history: before },
        input,
        (event) => {
          if (event.kind === "unwritable") input.onUnwritable?.(event.outputs);
          if (event.kind === "estimate") input.onEstimate?.(event);
          if (event.kind === "selected") input.onSelected?.(event.modules);
          if (event.kind !== "evaluation") return;
          evaluations.push(event.evaluation);
          input.onEvaluation?.(event.evaluation);
          onStep(event.evaluation);
        },
        stop,
      );
      const result = await learned.catch(async (error) => {
        if (!stop.aborted || input.signal?.aborted || !endedEngine(error)) throw error;
        // The engine was ended within an evaluation: what it found is here.
        const { bestOf } = await import("./ended-run.js");
        return { ...bestOf([...before, ...evaluations], nothingLearned(options)), history: before };
      });
      // The result holds those before it, of a run that is resumed.
      return { ...result, history: [...result.history, ...evaluations] };
    });
  }

  /**
   * Tunes a composition by a few gradient steps on examples, on the CPU. The result is a module that takes
   * the composition's place; {@link LoraLoom.exportAdapter} writes it as a PEFT adapter. The assessment counts how
   * many examples are right when they are left out, which takes five times as long; `leaveOut: false` omits it.
   *
   * @example
   * ```ts
   * const call = loom.tune({ examples, composition: learned });
   * for await (const { number, loss } of call) console.log(number, loss);
   * const { composition, assessment } = await call;
   * console.log(assessment.verdict, composition.modules);
   * ```
   */
  tune(input: TuneInput): TuneCall {
    return new RunningCall(async ({ onStep, stop }) => {
      const { examples, options = {}, id = DEFAULT_TUNED_ID } = input;
      const composition = toComposition(input.composition) as Composition;
      const result = await this.#call(
        { kind: "tune", examples, composition, options, id },
        input,
        (event) => {
          if (event.kind === "step") input.onLeftOut?.(event);
          if (event.kind !== "tuned") return;
          input.onStep?.(event.step);
          onStep(event.step);
        },
        stop,
      );
      // From these a new worker makes the module again, after a crash.
      if (result.scales) this.#keepScaled(id, { composition, scales: result.scales });
      else this.#keepLocal(id, adapterSource(await this.exportAdapter(result.composition)));
      return result;
    });
  }

  /**
   * Adds a tuned composition as a module, from the scales of an earlier {@link LoraLoom.tune}.
   *
   * @example
   * ```ts
   * const { scales } = await loom.tune({ examples, composition: learned, options: { part: "scales" } });
   * if (scales) await loom.addScaled({ composition: learned, scales, id: "again" });
   * ```
   */
  async addScaled(input: AddScaledInput): Promise<ModuleInfo> {
    const { scales, id = DEFAULT_TUNED_ID } = input;
    const composition = toComposition(input.composition) as Composition;
    const info = await this.#call({ kind: "addScaled", id, composition, scales });
    this.#keepScaled(id, { composition, scales });
    return info;
  }

  /**
   * Whether a composition works for examples: the verdict, the expected share of right outputs, and
   * the outputs for the examples.
   *
   * @example
   * ```ts
   * const { verdict, expected } = await loom.assess({ examples, composition: learned });
   * console.log(verdict, `${Math.round(100 * expected.mean)} %`);
   * ```
   */
  assess(input: AssessInput): Promise<Assessment> {
    const { examples } = input;
    const composition = toComposition(input.composition);
    return this.#call({ kind: "assess", examples, composition }, input);
  }

  /**
   * A composition as one PEFT adapter, which PEFT loads onto the base.
   *
   * @example
   * ```ts
   * const { config, weights } = await loom.exportAdapter(learned);
   * console.log(config.length, weights.length);
   * ```
   */
  exportAdapter(composition: Composition): Promise<PeftFiles> {
    return this.#call({
      kind: "exportAdapter",
      composition: toComposition(composition) as Composition,
    });
  }

  /**
   * The loss of a composition without each of its modules.
   *
   * @example
   * ```ts
   * const { loss } = await loom.score({ examples, composition: learned });
   * for (const without of await loom.leaveOneOut({ examples, composition: learned })) {
   *   console.log(without.id, without.loss - loss);
   * }
   * ```
   */
  leaveOneOut(input: LeaveOneOutInput): Promise<ModuleLoss[]> {
    const { examples } = input;
    const composition = toComposition(input.composition) as Composition;
    return this.#call({ kind: "leaveOneOut", examples, composition }, input, (event) => {
      if (event.kind === "step") input.onStep?.(event);
    });
  }

  /**
   * Generates the output for an input, token by token.
   *
   * @example
   * ```ts
   * const call = loom.generate({ input: "…", composition: learned, maxNewTokens: 32 });
   * for await (const text of call) console.log(text); // the text so far
   * const { text, tokens, seconds } = await call;
   * ```
   */
  generate(input: GenerateInput): GenerateCall {
    return new RunningCall(({ onStep, stop }) =>
      this.#call(
        {
          kind: "generate",
          input: input.input,
          composition: toComposition(input.composition),
          maxNewTokens: input.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS,
        },
        input,
        (event) => {
          if (event.kind !== "token") return;
          input.onToken?.(event.text);
          onStep(event.text);
        },
        stop,
      ),
    );
  }

  /**
   * Answers an input with the composition whose task it belongs to, or with the base where it belongs to
   * none: `chosen` is then null. The compositions whose examples are nearest answer, and the one that is
   * surest of its own answer and near enough is chosen.
   *
   * @example
   * ```ts
   * const { chosen, text, candidates } = await loom.route("…", {
   *   compositions: [{ composition: learned, examples }],
   * });
   * console.log(chosen === null ? "the base" : candidates[chosen]?.score, text);
   * ```
   */
  route(input: string, options: RouteInput): Promise<Routed> {
    const { compositions, onStep, nearest, threshold, background, maxNewTokens } = options;
    const stored = compositions.map(({ composition, examples }) => ({
      composition: toComposition(composition) as Composition,
      inputs: examples.map((example) => example.input),
    }));
    const given = { nearest, threshold, maxNewTokens };
    const request = {
      ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      background: background ?? this.#cardInputs(),
    };
    return this.#call(
      { kind: "route", input, compositions: stored, options: request },
      options,
      (event) => {
        if (event.kind === "step") onStep?.(event);
      },
    );
  }

  /**
   * Generates the output for every input, and counts the exact matches.
   *
   * @example
   * ```ts
   * const items = await loom.fetchTest("first");
   * const { exactMatch } = await loom.test({ examples: items, composition: learned });
   * console.log(`${exactMatch} %`);
   * ```
   */
  test(input: TestInput): TestCall {
    return new RunningCall(({ onStep, stop }) =>
      this.#call(
        {
          kind: "test",
          examples: input.examples,
          composition: toComposition(input.composition),
          maxNewTokens: input.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS,
        },
        input,
        (event) => {
          if (event.kind !== "tested") return;
          const { done, total, correct } = event;
          input.onTested?.({ done, total, correct });
          onStep({ done, total, correct });
        },
        stop,
      ),
    );
  }

  /**
   * The loss over examples: the mean cross-entropy of each output's tokens, in nats.
   *
   * @example
   * ```ts
   * const base = await loom.score({ examples });
   * const composed = await loom.score({ examples, composition: learned });
   * console.log(base.loss, composed.loss);
   * ```
   */
  score(input: ScoreInput): Promise<Score> {
    const { examples } = input;
    const composition = toComposition(input.composition);
    return this.#call({ kind: "score", examples, composition }, input);
  }

  /**
   * Fetches the test set of a task of the library.
   *
   * @example
   * ```ts
   * const items = await loom.fetchTest("first");
   * console.log(items.length, items[0]?.input);
   * ```
   */
  fetchTest(taskId: string, options: CallOptions = {}): Promise<Example[]> {
    return this.#call({ kind: "fetchTest", taskId }, options);
  }

  /**
   * Parses examples in JSON or a table: text, or the bytes of a file in UTF-8 or UTF-16.
   *
   * @example
   * ```ts
   * const examples = await loom.parseExamples('{"input": "2 + 2", "output": "4"}', "jsonl");
   * ```
   */
  parseExamples(text: string | Uint8Array, format: ExamplesFormat = "auto"): Promise<Example[]> {
    return this.#call({ kind: "parseExamples", text, format });
  }

  /**
   * Parses examples, with what they were read as: the delimiter, the fields of the input and the output, and
   * what was left out. Records without an input or an output are left out; `parseExamples` rejects them.
   *
   * @example
   * ```ts
   * const { examples, layout } = await loom.readExamples('{"question": "2 + 2", "answer": "4"}');
   * console.log(layout.input, layout.unused, layout.leftOut);
   * ```
   */
  readExamples(text: string | Uint8Array, format: ExamplesFormat = "auto"): Promise<ReadExamples> {
    return this.#call({ kind: "readExamples", text, format });
  }

  /**
   * Bytes of memory that the engine uses.
   *
   * @example
   * ```ts
   * console.log((await loom.memoryBytes()) / 1e6, "MB");
   * ```
   */
  memoryBytes(): Promise<number> {
    return this.#call({ kind: "memoryBytes" });
  }

  /**
   * The fragment of a link, without `#`, from which {@link restore} restores a composition.
   *
   * @example
   * ```ts
   * const fragment = await loom.share({ composition: learned, title: "My task" });
   * console.log(`https://example.org/#${fragment}`);
   * ```
   */
  share(input: ShareInput): Promise<string> {
    return this.#call({
      kind: "share",
      registry: input.registry ?? absolute(this.#options.registryUrl),
      composition: toComposition(input.composition) as Composition,
      ...(input.scales && { scales: input.scales }),
      title: input.title,
      instruction: input.instruction ?? null,
      examples: input.examples ?? [],
    });
  }

  /**
   * The recipe in a link, or in its fragment. Nothing is loaded.
   *
   * @example
   * ```ts
   * const recipe = await loom.decode(fragment);
   * console.log(recipe.title, recipe.base.id, recipe.modules);
   * ```
   */
  decode(fragment: string): Promise<Recipe> {
    // Without a #, a program that escapes it may have changed the link: the engine finds it.
    return this.#call({ kind: "decode", fragment: fragment.slice(fragment.indexOf("#") + 1) });
  }

  /**
   * Restores a composition from a link's fragment: checks that this library has the same base and
   * modules, and loads what is missing. Nothing is learned.
   *
   * @example
   * ```ts
   * const { recipe, composition } = await loom.restore(fragment);
   * const { text } = await loom.generate({ input: "…", composition });
   * console.log(recipe.title, text);
   * ```
   */
  async restore(fragment: string, options: CallOptions = {}): Promise<Restored> {
    const recipe = await this.decode(fragment);
    const { base, precision, merge, modules } = recipe;
    await this.#call({ kind: "checkRecipe", recipe, loaded: false }, options);
    if (this.#base?.id !== base.id || this.#base.precision !== precision) {
      await this.load({ ...options, baseId: base.id, precision });
    }
    const ids = modules.map(({ id }) => id);
    await this.loadModules(ids, options);
    // Files without a hash in the library have one now.
    await this.#call({ kind: "checkRecipe", recipe, loaded: true }, options);
    const composition = { modules: modules.map(({ id, weight }) => ({ id, weight })), merge };
    if (!recipe.scales) return { recipe, composition };
    const { id } = await this.addScaled({ composition, scales: recipe.scales });
    return { recipe, composition: { modules: [{ id, weight: 1 }], merge: "delta" } };
  }

  /**
   * Starts the engine after it has {@link ended}, with what was loaded. Until then every call rejects.
   *
   * @example
   * ```ts
   * if (loom.ended) await loom.restart();
   * ```
   */
  restart(): Promise<void> {
    this.#link.ended = null;
    return this.#restored();
  }

  /**
   * Ends the worker and frees its memory. Running calls reject.
   *
   * @example
   * ```ts
   * loom.dispose();
   * ```
   */
  dispose(): void {
    this.#link.close();
  }

  /** The inputs on the cards of the modules that fit the base. */
  #cardInputs(): string[] {
    const fitting = this.registry.modules.filter(({ base }) => base === this.#base?.id);
    return fitting.flatMap(({ example }) => (example ? [example.input] : []));
  }

  #keepLocal(id: string, source: Source): void {
    this.#scaled.delete(id);
    this.#local.set(id, source);
  }

  #keepScaled(id: string, scaled: Omit<AddScaledInput, "id">): void {
    this.#local.delete(id);
    this.#scaled.set(id, scaled);
  }

  /** Whether a module is not the library's. */
  #isLocal(id: string): boolean {
    return this.#local.has(id) || this.#scaled.has(id);
  }

  #asSource(source: Source | string | undefined, id: string | null = null): Source {
    if (source === undefined) return { kind: "registry", id };
    return typeof source === "string" ? addressSource(source) : source;
  }

  async #call<K extends RequestKind>(
    request: WorkerRequest<K>,
    options?: CallOptions,
    onEvent?: (event: Requests[K]["event"]) => void,
    stop?: AbortSignal,
  ): Promise<Answer<K>> {
    await this.#restored();
    return this.#link.call(request, options, onEvent, stop);
  }

  /** Resolves once the engine has what was loaded. What failed of it is tried again by each call. */
  async #restored(): Promise<void> {
    while (this.#lost && !this.#link.ended) {
      this.#restart ??= this.#reload(0);
      try {
        await this.#restart;
      } catch (error) {
        // The new worker may have crashed, too: then another one is being started.
        if (!this.#restart && !this.#link.ended) throw error;
      }
    }
    if (this.#link.ended) throw this.#link.ended;
  }

  #recover(error: LoraLoomError, wait: number): void {
    this.#lost = true;
    this.#restart = this.#link.ended ? null : this.#reload(wait);
    this.#restart?.catch(() => undefined);
    this.#options.onRestart?.(error);
  }

  /** Loads into a new worker, after milliseconds of waiting, what the crashed one had loaded. */
  #reload(wait: number): Promise<void> {
    const restart: Promise<void> = this.#loadAgain(wait, () => this.#restart === restart).finally(
      () => {
        if (this.#restart === restart) this.#restart = null;
      },
    );
    return restart;
  }

  async #loadAgain(wait: number, isLatest: () => boolean): Promise<void> {
    try {
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      await this.#link.call(inspectRequest(this.#options));
      if (this.#opened) await this.#link.call({ kind: "open", ...this.#opened });
    } catch (error) {
      // The next call starts from nothing.
      if (isLatest()) this.#link.end();
      throw error;
    }
    const modules: WorkerRequest[] = [{ kind: "loadModules", ids: [...this.#loaded] }];
    for (const [id, source] of this.#local) modules.push({ kind: "addModule", id, source });
    for (const [id, scaled] of this.#scaled) modules.push({ kind: "addScaled", id, ...scaled });
    for (const request of this.#opened ? modules : []) {
      try {
        await this.#link.call(request);
      } catch {
        if (!isLatest()) return;
        // Learning fetches them; what else needs a module that could not be loaded reports it.
        if (request.kind === "loadModules") this.#loaded.clear();
      }
    }
    this.#lost = false;
  }
}

/** Requests that the browser does not evict stored files; workers cannot. */
async function keepStorage(): Promise<void> {
  await globalThis.navigator?.storage?.persist?.().catch(() => false);
}

/** An address or, in Node, a path, as an absolute address. */
function absolute(url: string | URL): string {
  try {
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    return base === undefined ? nodeAddress(url) : new URL(url, base).href;
  } catch {
    // The engine refuses it, with a message.
    return String(url);
  }
}

/** The two files of a PEFT folder as a source of a module. */
function adapterSource({ config, weights }: PeftFiles): Source {
  return filesSource([
    { path: "adapter_config.json", contents: new Blob([config]) },
    { path: "adapter_model.safetensors", contents: new Blob([weights]) },
  ]);
}

/** The composition in a value that may have more fields: a `LearnResult` is a composition too. */
function toComposition(composition: Composition | null | undefined): Composition | null {
  return composition ? { modules: composition.modules, merge: composition.merge } : null;
}

/** Whether a call failed because its engine was ended. */
function endedEngine(error: unknown): boolean {
  return error instanceof LoraLoomError && ["internal", "out-of-memory"].includes(error.code);
}

/** The result of a run that was stopped before its modules were loaded. */
function nothingLearned({ merge, optimizer }: LearnOptions): LearnResult {
  const [lossStart, loss] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  const counts = { evaluations: 0, selectEvaluations: 0, seconds: 0 };
  return {
    modules: [],
    merge,
    optimizer,
    lossStart,
    loss,
    ...counts,
    complete: false,
    assessment: null,
    history: [],
  };
}

function inspectRequest(options: InspectOptions): WorkerRequest<"inspect"> {
  return {
    kind: "inspect",
    registryUrl: absolute(options.registryUrl),
    device: options.device ?? "wasm",
    threads: options.threads ?? null,
    wasmUrl: options.wasmUrl ? absolute(options.wasmUrl) : null,
    hub: options.hub ?? "",
    stallSeconds: options.stallSeconds ?? DEFAULT_STALL_SECONDS,
    storageFolder: options.storageFolder === undefined ? null : String(options.storageFolder),
  };
}
