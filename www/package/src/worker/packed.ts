// The packed copy of a base's weights: kept after they were converted, and read in place of their files
// the next time. A copy that is damaged, or was made from other files or by another layout, is forgotten.

import type { Precision } from "../generated/protocol.js";
import { type DownloadContext, storeKey, type Wanted } from "./download.js";
import type { BaseLoad, EngineModule } from "./engine.js";
import type { Piece } from "./folder.js";
import { Keeper } from "./keeper.js";
import type { Store } from "./store.js";
import { isPackedKey, isUnanswered } from "./store.js";
import { nextTurn } from "./turn.js";

/** Bytes taken out of the engine's memory at once. */
const PIECE_BYTES = 4 * 2 ** 20;

/** A base's packed copy, whether it is there or not. */
export class PackedCopy {
  readonly #key: string;
  /** The first file of weights. */
  readonly #source: { url: string; key: string; sha256: string | null };
  readonly #context: DownloadContext;

  private constructor(
    key: string,
    source: { url: string; key: string; sha256: string | null },
    context: DownloadContext,
  ) {
    this.#key = key;
    this.#source = source;
    this.#context = context;
  }

  /**
   * The copy of these files of weights; null where none is kept: of files of this computer, which have
   * no name that stays theirs, and in `f32`, where a copy is as large as the files.
   */
  static of(
    weights: Piece[],
    precision: Precision,
    module: EngineModule,
    context: DownloadContext,
  ): PackedCopy | null {
    const files = weights.filter((piece): piece is Wanted => !(piece instanceof Blob));
    const [first] = files;
    if (precision !== "int8" || !first || files.length < weights.length) return null;
    const keys = files.map((file) => storeKey(file, context));
    const source = { url: first.url, key: keys[0] as string, sha256: first.sha256 };
    return new PackedCopy(module.packedKey(keys, precision), source, context);
  }

  /** Its length, or null if there is no whole copy. */
  async bytes(): Promise<number | null> {
    const kept = await this.#context.store.find(this.#key);
    return kept?.sha256 ? kept.bytes : null;
  }

  /**
   * Reads the copy into a load. Answers with the hash of the file that it was made from, or with null
   * if it is of no use: then it is forgotten, and so must the load be. Tells of a copy that is damaged.
   */
  async read(load: BaseLoad, onProgress: (loaded: number) => void): Promise<string | null> {
    const { store, signal, onEvent } = this.#context;
    let source: string | null = null;
    try {
      source = await this.#checked(load, onProgress);
    } catch (error) {
      signal.throwIfAborted();
      // Only a trap says something of the engine, all else of the copy.
      if (error instanceof WebAssembly.RuntimeError) throw error;
      const what = isUnanswered(error)
        ? "The browser does not give back the packed weights"
        : "The packed weights that were kept are damaged";
      onEvent({ kind: "stage", text: `${what}: taking the model's files instead` });
    }
    if (source === null) await store.remove(this.#key);
    return source;
  }

  async #checked(load: BaseLoad, onProgress: (loaded: number) => void): Promise<string | null> {
    const { store, signal, newHasher } = this.#context;
    const kept = await store.find(this.#key);
    const hasher = newHasher();
    const reader = (await store.read(this.#key)).getReader();
    try {
      for (let loaded = 0; ; ) {
        signal.throwIfAborted();
        const { done, value } = await reader.read();
        if (done) break;
        hasher.update(value);
        load.pushPacked(value);
        loaded += value.length;
        onProgress(loaded);
      }
    } finally {
      reader.cancel().catch(() => undefined);
    }
    const source = load.endPacked();
    if (hasher.hex() !== kept?.sha256) throw new Error("Its hash is not the one that was kept.");
    // A file whose hash nobody told may have been fetched anew, and be another one now.
    const current = this.#source.sha256 ?? (await store.find(this.#source.key))?.sha256;
    return current && current !== source ? null : source;
  }

  /** Keeps a load's weights, all of which are there; `sha256` is the hash of their first file. */
  async keep(load: BaseLoad, sha256: string): Promise<void> {
    const { store, signal, newHasher } = this.#context;
    await forgetOtherLayouts(this.#key, store);
    const about = { key: this.#key, url: this.#source.url, etag: null, known: true };
    const words = { name: "the packed weights", nextTime: "they will be made again" };
    const keeper = new Keeper(this.#key, words, this.#context);
    await keeper.open(0);
    await keeper.describe({ ...about, total: null, sha256: null });
    const hasher = newHasher();
    let offset = 0;
    while (keeper.isOpen) {
      const piece = load.packedPiece(sha256, offset, PIECE_BYTES);
      if (piece.length === 0) break;
      hasher.update(piece);
      await keeper.write(piece);
      offset += piece.length;
      await nextTurn();
      if (signal.aborted) {
        await keeper.discard();
        signal.throwIfAborted();
      }
    }
    await keeper.complete({ ...about, total: offset, sha256: hasher.hex() });
  }
}

/** Removes copies that only another version of the engine can read. */
async function forgetOtherLayouts(key: string, store: Store): Promise<void> {
  const layout = key.slice(0, key.lastIndexOf("-") + 1);
  for (const kept of await store.list()) {
    if (isPackedKey(kept.key) && !kept.key.startsWith(layout)) await store.remove(kept.key);
  }
}
