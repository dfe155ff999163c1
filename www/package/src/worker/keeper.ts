// Storing a file while its bytes arrive, for as long as the storage has room.

import type { StageEvent } from "../protocol.js";
import { type About, isQuotaError, type Store, type StoreWriter } from "./store.js";

/** The surroundings of a {@link Keeper}. */
export interface KeeperContext {
  store: Store;
  onEvent(event: StageEvent): void;
}

/** The words of the message that something is not stored. */
export interface KeeperWords {
  /** What is not stored, as in "no room to keep …". */
  name: string;
  /** The consequence, as in "it will be fetched again". */
  nextTime: string;
}

/** Writes to the store for as long as it has room; after a failure the file is used without being stored. */
export class Keeper {
  readonly #key: string;
  readonly #words: KeeperWords;
  readonly #context: KeeperContext;
  #writer: StoreWriter | null = null;

  constructor(key: string, words: KeeperWords, context: KeeperContext) {
    this.#key = key;
    this.#words = words;
    this.#context = context;
  }

  /** The keeper of a file with this name. */
  static ofFile(key: string, name: string, context: KeeperContext): Keeper {
    return new Keeper(key, { name, nextTime: "it will be fetched again" }, context);
  }

  async open(offset: number): Promise<void> {
    await this.#attempt(async () => {
      this.#writer = await this.#context.store.append(this.#key, offset);
    });
  }

  /** Whether writes still reach the store. */
  get isOpen(): boolean {
    return this.#writer !== null;
  }

  describe(about: About): Promise<void> {
    return this.#attempt(() => this.#writer?.describe(about));
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#attempt(() => this.#writer?.write(chunk));
  }

  complete(about: About): Promise<void> {
    return this.#attempt(() => this.#writer?.complete(about));
  }

  async close(): Promise<void> {
    await this.#attempt(() => this.#writer?.close());
  }

  async discard(): Promise<void> {
    await this.#writer?.discard().catch(() => undefined);
    this.#writer = null;
  }

  async #attempt(step: () => void | Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      await this.discard();
      const { name, nextTime } = this.#words;
      const why = isQuotaError(error) ? "has no room to keep" : "cannot keep";
      const text = `The browser ${why} ${name}: ${nextTime} next time`;
      this.#context.onEvent({ kind: "stage", text });
    }
  }
}
