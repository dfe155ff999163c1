// What the worker has loaded. After a crash it is loaded into a new worker before the next call.

import type { LoraLoomError } from "./errors.js";
import { inspectRequest } from "./inspect-request.js";
import type { CallOptions, Link } from "./link.js";
import type { AddScaledInput, InspectOptions } from "./options.js";
import type {
  Answer,
  LoadedBase,
  LoadedModule,
  Precision,
  RequestKind,
  Requests,
  Source,
  WorkerRequest,
} from "./protocol.js";

/** From these the engine makes a tuned module again. */
type Scaled = Omit<AddScaledInput, "id">;

/** The worker's engine, with a base and modules that outlive a crash of it. */
export class RecoveringEngine {
  readonly #link: Link;
  readonly #options: InspectOptions;
  /** Ids of the library's modules. */
  readonly #loaded = new Set<string>();
  readonly #local = new Map<string, Source>();
  /** The tuned modules that a link can hold. */
  readonly #scaled = new Map<string, Scaled>();
  #opened: { source: Source; precision: Precision } | null = null;
  /** Whether the engine lacks what was loaded: it crashed since. */
  #lost = false;
  #restart: Promise<void> | null = null;

  constructor(link: Link, options: InspectOptions) {
    this.#link = link;
    this.#options = options;
    link.onCrash = (error, wait) => this.#recover(error, wait);
  }

  /** Posts a request once the engine has what was loaded. */
  async call<K extends RequestKind>(
    request: WorkerRequest<K>,
    options?: CallOptions,
    onEvent?: (event: Requests[K]["event"]) => void,
    stop?: AbortSignal,
  ): Promise<Answer<K>> {
    await this.restored();
    return this.#link.call(request, options, onEvent, stop);
  }

  /** Loads a base, which drops the modules of an earlier one. */
  async open(source: Source, precision: Precision, options: CallOptions): Promise<LoadedBase> {
    const opened = { source, precision };
    // What could not be loaded again is replaced.
    if (this.#lost && !this.#restart) this.#opened = null;
    if (source.kind !== "registry" && source.kind !== "files") {
      // Downloads of minutes are worth keeping. Workers cannot request it; browsers prompt at most once.
      await globalThis.navigator?.storage?.persist?.().catch(() => false);
    }
    const base = await this.call({ kind: "open", ...opened }, options);
    this.#opened = opened;
    this.#loaded.clear();
    this.#local.clear();
    this.#scaled.clear();
    return base;
  }

  /** Loads modules of the library. */
  async loadModules(ids: string[], options: CallOptions): Promise<LoadedModule[]> {
    const fromLibrary = ids.filter((id) => !this.#isLocal(id));
    const infos = await this.call({ kind: "loadModules", ids: fromLibrary }, options);
    for (const info of infos) this.#loaded.add(info.id);
    return infos;
  }

  /** Notes a module that was added from a source. */
  keepLocal(id: string, source: Source): void {
    this.#scaled.delete(id);
    this.#local.set(id, source);
  }

  /** Notes a tuned module that was made from scales. */
  keepScaled(id: string, scaled: Scaled): void {
    this.#local.delete(id);
    this.#scaled.set(id, scaled);
  }

  /** Whether a module is loaded. */
  has(id: string): boolean {
    return this.#loaded.has(id) || this.#isLocal(id);
  }

  /** Resolves once the engine has what was loaded. What failed of it is tried again by each call. */
  async restored(): Promise<void> {
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

  /** Whether a module is not the library's. */
  #isLocal(id: string): boolean {
    return this.#local.has(id) || this.#scaled.has(id);
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
