// The packed copy of a base's weights: stored after they were converted, and read in place of their
// files the next time. A copy that is damaged, or made from other files or in another layout, is deleted.

import type { Precision } from "../protocol.js";
import { isTimeout } from "../timeout.js";
import {
  contentsName,
  type DownloadContext,
  findStored,
  type RemoteFile,
  storedUrl,
} from "./download.js";
import type { BaseLoad, EngineModule } from "./engine.js";
import { isTrap } from "./first-trap.js";
import type { BasePieces } from "./pieces.js";
import { SafeWriter } from "./safe-writer.js";
import type { Store } from "./store.js";
import { isPackedKey } from "./store.js";
import { nextTurn } from "./turn.js";

/** Part of the key of the copy of a GGUF file alone, which has the file's metadata too. */
const WITH_METADATA = "with metadata";
/** Bytes copied out of the engine's memory at once. */
const PIECE_BYTES = 4 * 2 ** 20;

/** A base's packed copy, whether it is there or not. */
export class PackedCopy {
  readonly #key: string;
  readonly #files: RemoteFile[];
  readonly #module: EngineModule;
  readonly #context: DownloadContext;

  private constructor(
    key: string,
    files: RemoteFile[],
    module: EngineModule,
    context: DownloadContext,
  ) {
    this.#key = key;
    this.#files = files;
    this.#module = module;
    this.#context = context;
  }

  /**
   * The copy of a base's files of weights. Null for files of this computer, which have no lasting name, and
   * in `f32`, where a copy is as large as the files.
   */
  static of(
    { config, weights }: Pick<BasePieces, "config" | "weights">,
    precision: Precision,
    module: EngineModule,
    context: DownloadContext,
  ): PackedCopy | null {
    const files = weights.filter((piece): piece is RemoteFile => !(piece instanceof Blob));
    if (precision !== "int8" || files.length < weights.length) return null;
    const names = files.map((file) => contentsName(file, context));
    if (!config) names.push(WITH_METADATA);
    return new PackedCopy(module.packedKey(names, precision), files, module, context);
  }

  /** Its length; null if there is no whole copy. */
  async bytes(): Promise<number | null> {
    const stored = await this.#context.store.find(this.#key);
    return stored?.sha256 ? stored.bytes : null;
  }

  /**
   * Reads the copy into a load. Returns the identity of the weights that it was made from, or null if it
   * is unusable: then it is deleted, and the load must be freed.
   */
  async read(load: BaseLoad, onProgress: (loaded: number) => void): Promise<string | null> {
    const { store, signal, onEvent } = this.#context;
    let source: string | null = null;
    try {
      source = await this.#checked(load, onProgress);
    } catch (error) {
      signal.throwIfAborted();
      // Only a trap is a failure of the engine, all else of the copy.
      if (isTrap(error)) throw error;
      const what = isTimeout(error)
        ? "The browser did not return the packed weights from storage"
        : "The stored packed weights are damaged";
      onEvent({ kind: "stage", text: `${what}: reading the model's files instead` });
    }
    if (source === null) await store.remove(this.#key);
    return source;
  }

  async #checked(load: BaseLoad, onProgress: (loaded: number) => void): Promise<string | null> {
    const { store, signal, newHasher } = this.#context;
    const hashOf = async (file: RemoteFile) =>
      file.sha256 ?? (await findStored(file, this.#context))?.sha256 ?? "";
    const stored = await store.find(this.#key);
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
    if (hasher.hex() !== stored?.sha256) throw new Error("Its hash is not the stored one.");
    // A file without a known hash may have been fetched again, in another version.
    const current = this.#module.weightsIdentity(await Promise.all(this.#files.map(hashOf)));
    return current && current !== source ? null : source;
  }

  /** Stores the weights of a whole load, whose identity is `sha256`. */
  async save(load: BaseLoad, sha256: string): Promise<void> {
    const { store, signal, newHasher } = this.#context;
    const [first] = this.#files;
    const url = first ? storedUrl(first) : "";
    await deleteOthers(this.#key, url, store);
    const record = { key: this.#key, url, etag: null, known: true };
    const words = { name: "the packed weights", nextTime: "they will be packed again" };
    const keeper = new SafeWriter(this.#key, words, this.#context);
    await keeper.open(0);
    await keeper.describe({ ...record, total: null, sha256: null });
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
    await keeper.complete({ ...record, total: offset, sha256: hasher.hex() });
  }
}

/** Deletes copies that only another version of the engine can read, and those of other versions of the file. */
async function deleteOthers(key: string, url: string, store: Store): Promise<void> {
  const layout = key.slice(0, key.lastIndexOf("-") + 1);
  for (const stored of await store.list()) {
    const other = stored.key !== key && (stored.url === url || !stored.key.startsWith(layout));
    if (isPackedKey(stored.key) && other) await store.remove(stored.key);
  }
}
