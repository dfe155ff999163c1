// Loading a base model: its packed copy where one is stored, otherwise its files, from which a packed
// copy is then made and stored.

import type { Precision } from "../protocol.js";
import { type DownloadContext, downloadFile, FRESH_STARTS, RestartRequired } from "./download.js";
import type { BaseLoad, EngineModule } from "./engine.js";
import { loraLoomError, shortName } from "./errors.js";
import { Progress } from "./fetch.js";
import { PackedCopy } from "./packed.js";
import { type BasePieces, type Piece, readPieces, smallPieces } from "./pieces.js";

/** A base whose weights have all been pushed. */
export interface WholeBase {
  load: BaseLoad;
  /** Identity of the weights: see `weightsIdentity`; empty for files of this computer. */
  sha256: string;
}

const sizeOf = (piece: Piece) => ({ bytes: piece instanceof Blob ? piece.size : piece.bytes });

/** Loads a base's weights. The caller frees the load. */
export async function loadBase(
  pieces: BasePieces,
  precision: Precision,
  module: EngineModule,
  context: DownloadContext,
): Promise<WholeBase> {
  const loading = new Loading(pieces, precision, module, context);
  const copy = PackedCopy.of(pieces, precision, module, context);
  const stored = copy && (await loading.fromCopy(copy));
  if (stored) return stored;
  for (let start = 1; ; start++) {
    try {
      const whole = await loading.fromFiles();
      if (copy) await loading.save(copy, whole);
      return whole;
    } catch (error) {
      if (!(error instanceof RestartRequired)) throw error;
      if (start >= FRESH_STARTS) {
        throw loraLoomError("keeps-changing", { url: error.url, times: start });
      }
    }
  }
}

/** The load of one base, with its restarts. */
class Loading {
  readonly #pieces: BasePieces;
  readonly #precision: Precision;
  readonly #module: EngineModule;
  readonly #context: DownloadContext;

  constructor(
    pieces: BasePieces,
    precision: Precision,
    module: EngineModule,
    context: DownloadContext,
  ) {
    this.#pieces = pieces;
    this.#precision = precision;
    this.#module = module;
    this.#context = context;
  }

  /** Reads the packed copy; null where there is no usable one. */
  async fromCopy(copy: PackedCopy): Promise<WholeBase | null> {
    const bytes = await copy.bytes();
    if (bytes === null) return null;
    const [load, progress] = await this.#start([{ bytes }]);
    return guarded(load, async () => {
      const [first] = this.#pieces.weights;
      const name = first && !(first instanceof Blob) ? shortName(first.url) : this.#pieces.title;
      const sha256 = await copy.read(load, (loaded) =>
        progress.report(progress.length - 1, name, loaded, bytes, true),
      );
      if (sha256 !== null) return { load, sha256 };
      load.free();
      return null;
    });
  }

  /** Reads the files, in order. */
  async fromFiles(): Promise<WholeBase> {
    const { weights } = this.#pieces;
    const [load, progress] = await this.#start(weights.map(sizeOf));
    return guarded(load, async () => {
      const hashes: string[] = [];
      const before = progress.length - weights.length;
      for (const [index, piece] of weights.entries()) {
        const { bytes } = sizeOf(piece);
        // Before memory is taken for what its header claims.
        if (bytes !== null) load.expectFile(bytes);
        hashes.push(await this.#stream(piece, load, before + index, progress));
        load.endFile();
      }
      return { load, sha256: this.#module.weightsIdentity(hashes) };
    });
  }

  /** Stores a packed copy for the next visit. */
  save(copy: PackedCopy, { load, sha256 }: WholeBase): Promise<void> {
    this.#context.onEvent({ kind: "stage", text: "Storing the packed weights for the next visit" });
    return guarded(load, () => copy.save(load, sha256));
  }

  /** Reads the small files and starts a load. */
  async #start(weights: { bytes: number | null }[]): Promise<[BaseLoad, Progress]> {
    const { config, tokenizer, id, title, license } = this.#pieces;
    const { BaseLoad } = this.#module;
    if (!config || !tokenizer) {
      const load = BaseLoad.ofGguf(id, title, license, this.#precision);
      return [load, new Progress(weights, this.#context)];
    }
    const none = new Blob();
    const small = smallPieces(this.#pieces).map((piece) => piece ?? none);
    const present = small.filter((piece) => piece !== none);
    const progress = new Progress([...present.map(sizeOf), ...weights], this.#context);
    const files = await readPieces(small, this.#context, progress);
    type Small = [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    return [new BaseLoad(id, title, license, ...(files as Small), this.#precision), progress];
  }

  /** Pushes a file of weights into a load; returns its SHA-256, empty for a file of this computer. */
  async #stream(piece: Piece, load: BaseLoad, index: number, progress: Progress): Promise<string> {
    if (!(piece instanceof Blob)) {
      const name = shortName(piece.url);
      const sink = { push: (chunk: Uint8Array) => load.push(chunk), restart: () => false };
      return downloadFile(piece, this.#context, sink, (loaded, total, cached) =>
        progress.report(index, name, loaded, total, cached),
      );
    }
    const reader = piece.stream().getReader();
    for (let loaded = 0; ; ) {
      this.#context.signal.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) return "";
      load.push(value);
      loaded += value.length;
      const name = piece instanceof File ? piece.name : "weights";
      progress.report(index, name, loaded, piece.size, false);
    }
  }
}

/** Frees a load if the work fails. */
async function guarded<T>(load: BaseLoad, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    load.free();
    throw error;
  }
}
