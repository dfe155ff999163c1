// One file by its address: a kept copy first, then the rest over HTTP, checked against its hash and
// kept for next time. Nothing is called whole before its hash was checked, and what fails the check is
// forgotten.

import type { ErrorReport, Event } from "../generated/protocol.js";
import type { Hasher } from "./engine.js";
import { Keeper } from "./keeper.js";
import { type About, isUnanswered, type Kept, type Store } from "./store.js";
import {
  ChangedOnServer,
  report,
  type Served,
  shortName,
  type TransferContext,
  transfer,
} from "./transfer.js";

/** How often a file that changes while it is fetched, or a damaged copy, is begun anew. */
const FRESH_STARTS = 3;

/** What a download needs from around it. */
export interface DownloadContext {
  signal: AbortSignal;
  /** Seconds without a byte after which a server counts as stalled. */
  stallSeconds: number;
  newHasher(): Hasher;
  onEvent(event: Event): void;
  store: Store;
}

/** A file to fetch. */
export interface Wanted {
  url: string;
  /** Its length; null where nobody told. */
  bytes: number | null;
  /** Its SHA-256; null where nobody told: then the first download's is remembered. */
  sha256: string | null;
}

/** Takes a file's bytes in order. */
export interface Sink {
  /** Forgets what came: the file begins anew. False where that cannot be done. */
  restart(): boolean;
  push(chunk: Uint8Array): void;
}

/** Thrown where a file has to begin anew and its sink cannot. */
export class BeginAnew extends Error {}

function hashError(url: string, expected: string, found: string): ErrorReport {
  return report(
    `${shortName(url)} is not the file that the registry names.`,
    `Expected SHA-256 ${expected.slice(0, 12)}…, found ${found.slice(0, 12)}… at ${url}: the file was changed or damaged.`,
    "None of it was used. Reload the page for a newer list of files, or tell whoever hosts it.",
  );
}

function sizeError(url: string, expected: number, found: number): ErrorReport {
  return report(
    `${shortName(url)} has the wrong size.`,
    `Expected ${expected} bytes, the server sent ${found < expected ? "" : "more than "}${Math.min(found, expected)}: the file was cut short or changed.`,
    "None of it was used. Try again, or tell whoever hosts the file.",
  );
}

/** The SHA-256 of bytes that are here. */
export function hexOf(bytes: Uint8Array, context: DownloadContext): string {
  const hasher = context.newHasher();
  hasher.update(bytes);
  return hasher.hex();
}

/** What a file is kept under. */
export function storeKey(file: Wanted, context: DownloadContext): string {
  return file.sha256 ?? `url-${hexOf(new TextEncoder().encode(file.url), context)}`;
}

/** The context of a transfer within a download. */
export function transferContext(context: DownloadContext): TransferContext {
  return { ...context, onWait: (text) => context.onEvent({ kind: "stage", text }) };
}

/** Downloads by the keys of their files: many modules share the contents of a small file. */
const underWay = new Map<string, Promise<unknown>>();

/** Fetches one file from the store or the server. Answers with its hash and length. */
class Download {
  readonly #file: Wanted;
  readonly #context: DownloadContext;
  readonly #sink: Sink;
  readonly #onProgress: (loaded: number, total: number | null, cached: boolean) => void;
  readonly #key: string;
  #hasher: Hasher;
  #loaded = 0;
  #refused = false;
  #served: Served;

  constructor(
    file: Wanted,
    context: DownloadContext,
    sink: Sink,
    onProgress: (loaded: number, total: number | null, cached: boolean) => void,
  ) {
    this.#file = file;
    this.#context = context;
    this.#sink = sink;
    this.#onProgress = onProgress;
    this.#key = storeKey(file, context);
    this.#hasher = context.newHasher();
    this.#served = { total: file.bytes, etag: null };
  }

  /** Fetches the file; one of the same contents that is under way is waited for, and then kept. */
  async run(): Promise<{ sha256: string; bytes: number }> {
    for (let other = underWay.get(this.#key); other; other = underWay.get(this.#key)) {
      await other.catch(() => undefined);
      this.#context.signal.throwIfAborted();
    }
    const running = this.#attempts();
    underWay.set(this.#key, running);
    try {
      return await running;
    } finally {
      underWay.delete(this.#key);
    }
  }

  async #attempts(): Promise<{ sha256: string; bytes: number }> {
    const { store, signal, onEvent } = this.#context;
    let copyIsUsable = true;
    for (let start = 1; ; start++) {
      const kept = copyIsUsable ? await store.find(this.#key) : null;
      try {
        return kept?.sha256 ? await this.#fromStore(kept) : await this.#fromServer(kept);
      } catch (error) {
        signal.throwIfAborted();
        const again = error instanceof ChangedOnServer || error instanceof DamagedCopy;
        if (!again) throw error;
        if (error instanceof DamagedCopy) {
          copyIsUsable = false;
          onEvent({ kind: "stage", text: `${error.message}: fetching it again` });
        }
        await store.remove(this.#key);
        const { bytes, url } = this.#file;
        const total = error instanceof ChangedOnServer ? error.total : null;
        if (bytes !== null && total !== null && total !== bytes) throw sizeError(url, bytes, total);
        if (start >= FRESH_STARTS) throw this.#changes();
        if (this.#loaded > 0 && !this.#sink.restart()) throw new BeginAnew(this.#file.url);
        this.#hasher = this.#context.newHasher();
        this.#loaded = 0;
        this.#served = { total: this.#file.bytes, etag: null };
      }
    }
  }

  #changes(): ErrorReport {
    return report(
      `${shortName(this.#file.url)} changes again and again.`,
      `${FRESH_STARTS} times the file at ${this.#file.url} became another one before all of it had come.`,
      "Try again later, or tell whoever hosts the file.",
    );
  }

  #take(chunk: Uint8Array, cached: boolean): void {
    const { bytes, url } = this.#file;
    this.#loaded += chunk.length;
    if (bytes !== null && this.#loaded > bytes) throw sizeError(url, bytes, this.#loaded);
    this.#hasher.update(chunk);
    try {
      this.#sink.push(chunk);
    } catch (error) {
      this.#refused = true;
      throw error;
    }
    this.#onProgress(this.#loaded, this.#served.total, cached);
  }

  /** Hands over the bytes of a kept copy. */
  async #replay(kept: Kept): Promise<void> {
    this.#served = { total: kept.total, etag: kept.etag };
    let body: ReadableStreamDefaultReader<Uint8Array>;
    try {
      body = (await this.#context.store.read(this.#key)).getReader();
    } catch (error) {
      throw new DamagedCopy(this.#file.url, error);
    }
    try {
      for (;;) {
        this.#context.signal.throwIfAborted();
        const { done, value } = await body.read().catch((error) => {
          throw new DamagedCopy(this.#file.url, error);
        });
        if (done) return;
        this.#take(value, true);
      }
    } finally {
      body.cancel().catch(() => undefined);
    }
  }

  async #fromStore(kept: Kept): Promise<{ sha256: string; bytes: number }> {
    await this.#replay(kept);
    const sha256 = this.#hasher.hex();
    if (sha256 !== kept.sha256) throw new DamagedCopy(this.#file.url);
    return { sha256, bytes: this.#loaded };
  }

  async #fromServer(partial: Kept | null): Promise<{ sha256: string; bytes: number }> {
    const { url, bytes, sha256: expected } = this.#file;
    // A partial copy of contents that nobody knows is of use only if the server can say whether it
    // still has the same ones.
    const useful = partial && partial.bytes > 0 && (expected !== null || partial.etag !== null);
    if (useful) await this.#replay(partial);
    const writer = Keeper.ofFile(this.#key, shortName(url), this.#context);
    await writer.open(this.#loaded);
    try {
      await transfer(
        {
          url,
          from: this.#loaded,
          served: this.#served,
          knownContents: expected !== null,
          onServed: async (served) => {
            this.#served = served;
            await writer.describe(this.#about(null));
          },
          onChunk: async (chunk) => {
            // Segments fetched ahead are here already, so no request would notice.
            this.#context.signal.throwIfAborted();
            this.#take(chunk, false);
            await writer.write(chunk);
          },
        },
        transferContext(this.#context),
      );
    } catch (error) {
      if (this.#isFinal(error)) await writer.discard();
      else await writer.close();
      throw error;
    }
    const found = this.#hasher.hex();
    const wrong =
      bytes !== null && this.#loaded !== bytes
        ? sizeError(url, bytes, this.#loaded)
        : expected !== null && found !== expected
          ? hashError(url, expected, found)
          : null;
    if (wrong) {
      await writer.discard();
      throw wrong;
    }
    await writer.complete(this.#about(found));
    return { sha256: found, bytes: this.#loaded };
  }

  /** Whether a failure says that the bytes so far are of no use. */
  #isFinal(error: unknown): boolean {
    const { bytes } = this.#file;
    const tooLong = bytes !== null && this.#loaded > bytes;
    return error instanceof ChangedOnServer || this.#refused || tooLong;
  }

  #about(sha256: string | null): About {
    return {
      key: this.#key,
      url: this.#file.url,
      total: sha256 ? this.#loaded : this.#served.total,
      etag: this.#served.etag,
      sha256,
      known: this.#file.sha256 !== null,
    };
  }
}

/** Thrown where a kept copy is of no use; the message says so in words for people. */
class DamagedCopy extends Error {
  constructor(url: string, cause?: unknown) {
    const name = shortName(url);
    super(
      isUnanswered(cause)
        ? `The browser does not give back ${name}, which it kept`
        : `The copy of ${name} that was kept is damaged`,
    );
  }
}

/** Hands a file's bytes to `sink` as they come. Answers with its hash. */
export async function downloadFile(
  file: Wanted,
  context: DownloadContext,
  sink: Sink,
  onProgress: (loaded: number, total: number | null, cached: boolean) => void,
): Promise<string> {
  const { sha256 } = await new Download(file, context, sink, onProgress).run();
  return sha256;
}
