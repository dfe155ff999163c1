// One engine for each module library, shared by the elements of a page: each takes memory and threads.

import { LoraLoom } from "./client.js";
import type { InspectOptions } from "./options.js";
import { serializeCalls } from "./worker/turn.js";

/** The engines in use, by the addresses of their libraries. */
const shared = new Map<string, SharedLoom>();

/** An engine that several elements use, one at a time. */
export class SharedLoom {
  readonly #registryUrl: string;
  readonly #serialize = serializeCalls();
  #users = 0;
  #loom: LoraLoom | null = null;

  private constructor(registryUrl: string) {
    this.#registryUrl = registryUrl;
  }

  /** The engine of a library, for one more user. */
  static acquire(registryUrl: string): SharedLoom {
    const found = shared.get(registryUrl) ?? new SharedLoom(registryUrl);
    shared.set(registryUrl, found);
    found.#users++;
    return found;
  }

  /** Ends the engine after its last user. */
  release(): void {
    this.#users--;
    if (this.#users > 0) return;
    shared.delete(this.#registryUrl);
    this.#loom?.dispose();
    this.#loom = null;
  }

  /**
   * Runs work once that of the other users is done; the first one starts the engine, also one that has ended. Another
   * user may have loaded another base or composition before.
   */
  run<T>(
    options: Omit<InspectOptions, "registryUrl"> & { signal: AbortSignal },
    work: (loom: LoraLoom) => Promise<T>,
  ): Promise<T> {
    return this.#serialize(async () => {
      options.signal.throwIfAborted();
      this.#loom ??= await LoraLoom.inspect({ ...options, registryUrl: this.#registryUrl });
      // An engine that crashed too often is started by whoever asks for the next answer.
      if (this.#loom.ended) await this.#loom.restart();
      return work(this.#loom);
    });
  }
}
