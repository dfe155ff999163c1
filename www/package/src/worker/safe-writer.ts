// Storing a file while its bytes arrive, for as long as the storage has room.

import type { StageEvent } from "../protocol.js";
import { type FileRecord, isQuotaError, type Store, type StoreWriter } from "./store.js";

/** What a {@link SafeWriter} depends on. */
export interface WriterContext {
  store: Store;
  onEvent(event: StageEvent): void;
}

/** The words of the message that something is not stored. */
export interface WriterWords {
  /** What is not stored, as in "no room to store …". */
  name: string;
  /** The consequence, as in "it will be fetched again". */
  nextTime: string;
}

/** Writes to the store for as long as it has room; after a failure the file is used without being stored. */
export class SafeWriter {
  readonly #key: string;
  readonly #words: WriterWords;
  readonly #context: WriterContext;
  #writer: StoreWriter | null = null;

  constructor(key: string, words: WriterWords, context: WriterContext) {
    this.#key = key;
    this.#words = words;
    this.#context = context;
  }

  /** The writer of a file with this name. */
  static ofFile(key: string, name: string, context: WriterContext): SafeWriter {
    return new SafeWriter(key, { name, nextTime: "it will be fetched again" }, context);
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

  describe(record: FileRecord): Promise<void> {
    return this.#attempt(() => this.#writer?.describe(record));
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#attempt(() => this.#writer?.write(chunk));
  }

  complete(record: FileRecord): Promise<void> {
    return this.#attempt(() => this.#writer?.complete(record));
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
      const why = isQuotaError(error) ? "has no room to store" : "cannot store";
      const text = `The browser ${why} ${name}: ${nextTime} next time`;
      this.#context.onEvent({ kind: "stage", text });
    }
  }
}
