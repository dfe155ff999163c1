/// <reference lib="esnext.disposable" preserve="true" />
// The page's side: a typed Promise API over the worker.

import { LoraLoomError } from "./errors.js";
import { absolute, inspectRequest } from "./inspect-request.js";
import { type CallOptions, createWorker, Link } from "./link.js";
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
  ReadExamples,
  Recipe,
  Registry,
  RegistryModule,
  Routed,
  Score,
  Setting,
  Source,
  Storage,
  Suggestion,
  Verified,
} from "./protocol.js";
import { RecoveringEngine } from "./recovering-engine.js";
import { RunningCall } from "./running-call.js";
import { adapterSource, asSource } from "./sources.js";

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
  readonly #engine: RecoveringEngine;
  #device: Device;
  #base: LoadedBase | null = null;

  private constructor(link: Link, options: InspectOptions, inspected: Inspected) {
    this.#link = link;
    this.#options = options;
    this.#engine = new RecoveringEngine(link, options);
    this.registry = inspected.registry;
    this.defaults = inspected.defaults;
    this.published = inspected.published;
    this.settings = inspected.settings;
    this.#device = inspected.device;
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
    const source = asSource(options.source, options.baseId);
    this.#base = await this.#engine.open(source, options.precision ?? "int8", options);
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
    return this.#engine.call({ kind: "verify" }, options);
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
    return this.#engine.call({ kind: "search", query: { ...defaults, base, ...query } }, options);
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
    return this.#engine.call({ kind: "entries", ids }, options);
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
    return this.#engine.call({ kind: "suggest", examples, limit }, input, (event) => {
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
  loadModules(ids: string[], options: CallOptions = {}): Promise<LoadedModule[]> {
    return this.#engine.loadModules(ids, options);
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
    const from = asSource(source);
    const info = await this.#engine.call({ kind: "addModule", id, source: from }, options);
    this.#engine.keepLocal(id, from);
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
    const from = asSource(source);
    const folders =
      from.kind === "files"
        ? await this.#engine.call({ kind: "adapterFolders", source: from }, options)
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
    return this.#engine.call({ kind: "storage" });
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
    return this.#engine.call({ kind: "deleteStored", keys });
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
      const missing = [...used].filter((id) => !this.#engine.has(id));
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
      const learned = this.#engine.call(
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
      const result = await this.#engine.call(
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
      if (result.scales) this.#engine.keepScaled(id, { composition, scales: result.scales });
      else this.#engine.keepLocal(id, adapterSource(await this.exportAdapter(result.composition)));
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
    const info = await this.#engine.call({ kind: "addScaled", id, composition, scales });
    this.#engine.keepScaled(id, { composition, scales });
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
    return this.#engine.call({ kind: "assess", examples, composition }, input);
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
    return this.#engine.call({
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
    return this.#engine.call({ kind: "leaveOneOut", examples, composition }, input, (event) => {
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
      this.#engine.call(
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
    return this.#engine.call(
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
      this.#engine.call(
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
    return this.#engine.call({ kind: "score", examples, composition }, input);
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
    return this.#engine.call({ kind: "fetchTest", taskId }, options);
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
    return this.#engine.call({ kind: "parseExamples", text, format });
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
    return this.#engine.call({ kind: "readExamples", text, format });
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
    return this.#engine.call({ kind: "memoryBytes" });
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
    return this.#engine.call({
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
    return this.#engine.call({
      kind: "decode",
      fragment: fragment.slice(fragment.indexOf("#") + 1),
    });
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
    await this.#engine.call({ kind: "checkRecipe", recipe, loaded: false }, options);
    if (this.#base?.id !== base.id || this.#base.precision !== precision) {
      await this.load({ ...options, baseId: base.id, precision });
    }
    const ids = modules.map(({ id }) => id);
    await this.loadModules(ids, options);
    // Files without a hash in the library have one now.
    await this.#engine.call({ kind: "checkRecipe", recipe, loaded: true }, options);
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
    return this.#engine.restored();
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
  return {
    modules: [],
    merge,
    optimizer,
    lossStart: Number.POSITIVE_INFINITY,
    loss: Number.POSITIVE_INFINITY,
    evaluations: 0,
    selectEvaluations: 0,
    seconds: 0,
    complete: false,
    assessment: null,
    history: [],
  };
}
