// The page's side: a typed Promise API over the worker.

import { LoraLoomError } from "./errors.js";
import type {
  BaseInfo,
  Composition,
  Device,
  ErrorReport,
  Event,
  Example,
  ExamplesFormat,
  FoundModules,
  Generated,
  LearnOptions,
  LearnResult,
  ModuleInfo,
  ModuleLoss,
  ModuleQuery,
  Precision,
  Recipe,
  Registry,
  RegistryBase,
  RegistryModule,
  Request,
  Score,
  Source,
  Storage,
  Suggestion,
  TestResult,
  Verified,
} from "./generated/protocol.js";
import { type CallOptions, createWorker, Link } from "./link.js";
import type { Answers } from "./messages.js";
import type {
  GenerateCall,
  InspectOptions,
  LearnCall,
  LoadOptions,
  OpenOptions,
  Restored,
  ShareCall,
  SuggestCall,
  TestCall,
} from "./options.js";
import { DEFAULT_HUB, parseSource } from "./sources.js";

const DEFAULT_STALL_SECONDS = 15;
const DEFAULT_MAX_NEW_TOKENS = 64;
const DEFAULT_FOUND = 24;
const DEFAULT_SUGGESTED = 20;
/** Hex digits of a file's SHA-256 by which a link names it. */
const SHORT_HASH_DIGITS = 12;

/**
 * A registry, a base model and its modules in a worker of their own.
 *
 * ```ts
 * const loom = await LoraLoom.open({ registryUrl: "library/registry.json" });
 * const learned = await loom.learn({ examples });
 * const { text } = await loom.generate({ input: "…", composition: learned });
 * ```
 *
 * Errors are {@link LoraLoomError}s; an aborted download rejects with the signal's reason.
 */
export class LoraLoom {
  /** The module library. */
  readonly registry: Registry;
  /** The wasm build that runs, why it is that one, and what of the graphics card is used now. */
  device: Device;
  /** The options that {@link learn} uses where none are given. */
  readonly defaults: LearnOptions;
  /** The options of the published method. */
  readonly published: LearnOptions;
  /** The loaded base, or null before {@link load}. */
  base: BaseInfo | null = null;

  readonly #link: Link;
  readonly #options: InspectOptions;
  readonly #loaded = new Map<string, ModuleInfo>();
  readonly #local = new Map<string, Source>();
  #opened: { source: Source; precision: Precision } | null = null;
  #restart: Promise<void> | null = null;

  private constructor(link: Link, options: InspectOptions, inspected: Answers["inspect"]) {
    this.#link = link;
    this.#options = options;
    this.registry = inspected.registry;
    this.device = inspected.device;
    this.defaults = inspected.defaults;
    this.published = inspected.published;
    link.onCrash = (report) => this.#recover(report);
    link.onGpu = (gpu) => {
      this.device = { ...this.device, gpu };
      options.onGpu?.(gpu);
    };
  }

  /** Starts the engine, reads the registry and loads a base model. */
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

  /** Starts the engine and reads the registry, without fetching any model. */
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

  /** Fetches a base model and packs its weights. */
  async load(options: LoadOptions = {}): Promise<BaseInfo> {
    const source = this.#asSource(options.source, options.baseId);
    const opened = { source, precision: options.precision ?? "int8" };
    // What takes minutes to fetch is worth keeping; browsers ask people at most once.
    if (source.kind === "hub" || source.kind === "folder") await keepStorage();
    this.base = await this.#call({ kind: "open", ...opened }, options);
    this.#opened = opened;
    this.#loaded.clear();
    return this.base;
  }

  /**
   * Holds the loaded base against a value that is published of it, as `loraloom verify` does; null
   * where none is known. A base of an unknown id is only told to be a known one, never not to be.
   */
  verify(): Promise<Verified | null> {
    return this.#call({ kind: "verify" });
  }

  /**
   * Finds modules of the library by words of their texts, by tags and by rank, best first. Of a library
   * in pages this fetches the few files that the answer takes.
   */
  search(query: Partial<ModuleQuery> = {}): Promise<FoundModules> {
    const defaults = { text: "", tags: [], rank: null, offset: 0, limit: DEFAULT_FOUND };
    const base = this.base?.id ?? null;
    return this.#call({ kind: "search", query: { ...defaults, base, ...query } });
  }

  /** The library's entries of modules; ids that it has not are left out. */
  entries(ids: string[]): Promise<RegistryModule[]> {
    return this.#call({ kind: "entries", ids });
  }

  /**
   * Finds the modules whose descriptions are nearest to some examples, with the loaded base's own
   * encoder, so that only those need to be fetched. Aborted, it rejects with the signal's reason.
   */
  suggest(call: SuggestCall): Promise<Suggestion[]> {
    const { examples, most = DEFAULT_SUGGESTED, onRead } = call;
    return this.#call({ kind: "suggest", examples, most }, call, (event) => {
      if (event.kind === "tested") onRead?.(event);
    });
  }

  /**
   * The ids of the library's modules that were trained for the loaded base; none of a library whose
   * modules are in pages, where {@link search} and {@link suggest} find them.
   */
  fittingModules(): string[] {
    const base = this.base?.id;
    return this.registry.modules.filter((module) => module.base === base).map(({ id }) => id);
  }

  /** Fetches, checks and reads modules of the library; those already loaded cost nothing. */
  async loadModules(ids: string[], options: CallOptions = {}): Promise<ModuleInfo[]> {
    const fromLibrary = ids.filter((id) => !this.#local.has(id));
    const infos = await this.#call({ kind: "loadModules", ids: fromLibrary }, options);
    for (const info of infos) this.#loaded.set(info.id, info);
    return infos;
  }

  /**
   * Adds a module that is not in the library: a hub's id, the address of a PEFT folder, or files of
   * this computer (see {@link filesSource}), a ZIP archive included. Such a module cannot go into a
   * link.
   */
  async addModule(
    id: string,
    source: Source | string,
    options: CallOptions = {},
  ): Promise<ModuleInfo> {
    const from = this.#asSource(source);
    const info = await this.#call({ kind: "addModule", id, source: from }, options);
    this.#local.set(id, from);
    return info;
  }

  /** What the browser keeps of the files fetched: where, how much, and which. */
  storage(): Promise<Storage> {
    return this.#call({ kind: "storage" });
  }

  /** Deletes kept files, by their keys. What is loaded stays loaded. */
  deleteStored(keys: string[]): Promise<Storage> {
    return this.#call({ kind: "deleteStored", keys });
  }

  /**
   * Learns one weight for each module from a few examples, without gradients.
   *
   * When the signal aborts while it learns, it resolves with the best point seen and
   * `complete: false`.
   */
  async learn(call: LearnCall): Promise<LearnResult> {
    const modules = call.modules ?? this.fittingModules();
    const missing = modules.filter((id) => !this.#loaded.has(id) && !this.#local.has(id));
    if (missing.length) await this.loadModules(missing, call);
    const options = { ...this.defaults, ...call.options };
    return this.#call(
      { kind: "learn", examples: call.examples, modules, options },
      call,
      (event) => {
        if (event.kind === "evaluation") call.onEvaluation?.(event.evaluation);
        else if (event.kind === "selected") call.onSelected?.(event.modules);
      },
    );
  }

  /** The loss of a composition with each of its modules left out in turn. */
  leaveOneOut(
    examples: Example[],
    composition: Composition,
    options: CallOptions & { onTested?: TestCall["onTested"] } = {},
  ): Promise<ModuleLoss[]> {
    const request = { kind: "leaveOneOut", examples, composition: only(composition) } as const;
    return this.#call(request, options, (event) => {
      if (event.kind === "tested") options.onTested?.(event);
    });
  }

  /** Answers an input, token by token. Aborted, it resolves with the text so far. */
  generate(call: GenerateCall): Promise<Generated> {
    const request = {
      kind: "generate",
      input: call.input,
      composition: only(call.composition),
      maxNewTokens: call.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS,
    } as const;
    return this.#call(request, call, (event) => {
      if (event.kind === "token") call.onToken?.(event.text);
    });
  }

  /** Answers every input and counts the exact matches. Aborted, it resolves with what is done. */
  test(call: TestCall): Promise<TestResult> {
    const request = {
      kind: "test",
      examples: call.examples,
      composition: only(call.composition),
      maxNewTokens: call.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS,
    } as const;
    return this.#call(request, call, (event) => {
      if (event.kind === "tested") call.onTested?.(event);
    });
  }

  /** The loss over examples: the mean cross-entropy of each output's tokens. */
  score(examples: Example[], composition: Composition | null = null): Promise<Score> {
    return this.#call({ kind: "score", examples, composition: only(composition) });
  }

  /** Fetches a task's test set. */
  fetchTest(taskId: string, options: CallOptions = {}): Promise<Example[]> {
    return this.#call({ kind: "fetchTest", taskId }, options);
  }

  /** Reads examples from pasted text; errors name the line and the field. */
  parseExamples(text: string, format: ExamplesFormat = "auto"): Promise<Example[]> {
    return this.#call({ kind: "parseExamples", text, format });
  }

  /** Bytes of memory that the engine holds. */
  memoryBytes(): Promise<number> {
    return this.#call({ kind: "memory" });
  }

  /** The `#` fragment (without the `#`) that restores a composition elsewhere. */
  async share(call: ShareCall): Promise<string> {
    const base = this.registry.bases.find(({ id }) => id === this.base?.id);
    if (!base || !this.base) {
      throw new LoraLoomError({
        what: "There is nothing to share yet.",
        why: "No base model is loaded.",
        next: "Load the model and learn first.",
      });
    }
    const entries = await this.entries(call.composition.modules.map(({ id }) => id));
    const modules = call.composition.modules.map(({ id, weight }) => {
      const module = entries.find((one) => one.id === id);
      const hash = this.#loaded.get(id)?.sha256 ?? module?.files.weights.sha256;
      if (!module || !hash || this.#local.has(id)) {
        throw new LoraLoomError({
          what: "This composition cannot become a link.",
          why: `The module "${id}" was added to this page alone; whoever opens the link does not have it.`,
          next: "Learn with modules of the library only, or publish the module in a library first.",
        });
      }
      return { id, hash: hash.slice(0, SHORT_HASH_DIGITS), weight };
    });
    const recipe: Recipe = {
      registry: call.registry ?? this.#registryUrl(),
      base: { id: base.id, hash: this.base.sha256.slice(0, SHORT_HASH_DIGITS) },
      modules,
      merge: call.composition.merge,
      precision: this.base.precision,
      title: call.title,
      instruction: call.instruction ?? null,
      examples: call.examples ?? [],
    };
    return this.#call({ kind: "encodeRecipe", recipe });
  }

  /** Reads a link's fragment without loading anything. */
  decode(fragment: string): Promise<Recipe> {
    return this.#call({ kind: "decodeRecipe", fragment: fragment.replace(/^#/, "") });
  }

  /**
   * Restores a composition from a link's fragment: checks that this library has the same base and
   * modules, and loads what is missing. Nothing is learned.
   */
  async restore(fragment: string, options: CallOptions = {}): Promise<Restored> {
    const recipe = await this.decode(fragment);
    const entries = await this.entries(recipe.modules.map(({ id }) => id));
    const hashOf = (module: RegistryModule) => module.files.weights.sha256;
    this.#check(recipe, entries, (base) => base.files.weights.sha256, hashOf);
    if (this.base?.id !== recipe.base.id || this.base.precision !== recipe.precision) {
      await this.load({ ...options, baseId: recipe.base.id, precision: recipe.precision });
    }
    await this.loadModules(
      recipe.modules.map(({ id }) => id),
      options,
    );
    // What the library gives no hash of has one now.
    const loaded = ({ id }: RegistryModule) => this.#loaded.get(id)?.sha256 ?? "";
    this.#check(recipe, entries, () => this.base?.sha256 ?? "", loaded);
    const modules = recipe.modules.map(({ id, weight }) => ({ id, weight }));
    return { recipe, composition: { modules, merge: recipe.merge } };
  }

  /** Ends the worker and frees all that it holds. Calls still running reject. */
  dispose(): void {
    this.#link.close();
  }

  #asSource(source: Source | string | undefined, id: string | null = null): Source {
    if (source === undefined) return { kind: "registry", id };
    return typeof source === "string" ? parseSource(source, hubOf(this.#options)) : source;
  }

  #registryUrl(): string {
    return absolute(this.#options.registryUrl);
  }

  /**
   * Refuses a recipe whose base or modules this library does not have, or has in other versions, by
   * the hashes of their weights; an empty hash is one that is not known yet.
   */
  #check(
    recipe: Recipe,
    entries: RegistryModule[],
    baseHash: (base: RegistryBase) => string,
    moduleHash: (module: RegistryModule) => string,
  ): void {
    const foreign = (why: string) =>
      new LoraLoomError({
        what: "This link does not fit the library that is open here.",
        why,
        next: `Open the link on the site where it was made, or with that site's library: ${recipe.registry}`,
      });
    const base = this.registry.bases.find(({ id }) => id === recipe.base.id);
    if (!base) throw foreign(`It was made with the base "${recipe.base.id}", which is not here.`);
    const other = (hash: string, expected: string) => hash !== "" && !hash.startsWith(expected);
    if (other(baseHash(base), recipe.base.hash)) {
      throw foreign(`It was made with another version of the base "${recipe.base.id}".`);
    }
    for (const { id, hash } of recipe.modules) {
      const module = entries.find((one) => one.id === id);
      if (!module) throw foreign(`It uses the module "${id}", which is not here.`);
      if (other(moduleHash(module), hash)) {
        throw foreign(`It was made with another version of the module "${id}".`);
      }
    }
  }

  async #call<R extends Request>(
    request: R,
    options: CallOptions = {},
    onEvent?: (event: Event) => void,
  ): Promise<Answers[R["kind"]]> {
    await this.#restart;
    return this.#link.call(request, options, onEvent);
  }

  /** Replaces a crashed worker and loads again, from the cache, what the old one held. */
  #recover(report: ErrorReport): void {
    this.#options.onRestart?.(report);
    this.#restart = (async () => {
      try {
        await this.#link.call(inspectRequest(this.#options));
        if (!this.#opened) return;
        await this.#link.call({ kind: "open", ...this.#opened });
        await this.#link.call({ kind: "loadModules", ids: [...this.#loaded.keys()] });
        for (const [id, source] of this.#local) {
          await this.#link.call({ kind: "addModule", id, source });
        }
      } catch {
        // The next call meets what is missing and says so.
      } finally {
        this.#restart = null;
      }
    })();
  }
}

function hubOf({ hub }: InspectOptions): string {
  return (hub ?? DEFAULT_HUB).replace(/\/+$/, "");
}

/** Asks the browser not to evict what is kept; workers cannot. */
async function keepStorage(): Promise<void> {
  await globalThis.navigator?.storage?.persist?.().catch(() => false);
}

function absolute(url: string | URL): string {
  return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
}

/** The parts of a composition that the engine takes; a `LearnResult` is a composition too. */
function only(composition: Composition): Composition;
function only(composition: Composition | null | undefined): Composition | null;
function only(composition: Composition | null | undefined): Composition | null {
  return composition ? { modules: composition.modules, merge: composition.merge } : null;
}

function inspectRequest(options: InspectOptions): Extract<Request, { kind: "inspect" }> {
  return {
    kind: "inspect",
    registryUrl: absolute(options.registryUrl),
    device: options.device ?? "wasm",
    threads: options.threads ?? null,
    wasmUrl: options.wasmUrl ? absolute(options.wasmUrl) : null,
    hub: hubOf(options),
    stallSeconds: options.stallSeconds ?? DEFAULT_STALL_SECONDS,
  };
}
