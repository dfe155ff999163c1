// The download of one file: the stored part first, then the rest over HTTP, checked against its hash and
// stored. A file counts as complete only after its hash was checked; what fails the check is deleted.

import type { LoraLoomError } from "../errors.js";
import type { Placeholder, ProgressEvent, StageEvent } from "../protocol.js";
import { isTimeout } from "../timeout.js";
import type { Sha256 } from "./engine.js";
import { loraLoomError, shortName } from "./errors.js";
import { isTrap } from "./first-trap.js";
import { ChangedOnServer, type HttpContext, type Served } from "./http.js";
import { SafeWriter } from "./safe-writer.js";
import type { FileRecord, Store, StoredEntry } from "./store.js";
import { transfer } from "./transfer.js";

/** Attempts for a file that changes while it is fetched. */
export const FRESH_STARTS = 3;

/** What a download depends on. */
export interface DownloadContext {
  signal: AbortSignal;
  /** Seconds without a byte after which a server counts as stalled. */
  stallSeconds: number;
  newHasher(): Sha256;
  /** What is in place of a file, by its first bytes. */
  detectPlaceholder(start: Uint8Array): Placeholder | null;
  onEvent(event: ProgressEvent | StageEvent): void;
  store: Store;
}

/** A file to fetch. */
export interface RemoteFile {
  url: string;
  /**
   * The address of the same file at a branch, where `url` names a commit: it is stored under this one, so that a
   * commit which leaves it alone leaves its stored copy.
   */
  branchUrl?: string;
  /** Its length; null if unknown. */
  bytes: number | null;
  /** Its SHA-256; null if unknown: then that of the first download is stored. */
  sha256: string | null;
  /** What the server calls its contents, where their SHA-256 is unknown: another is another file. */
  version?: string | null;
  /** Git's hash of its contents, the SHA-1 of a blob, as hubs list it for small files. */
  gitSha1?: string | null;
}

/** The receiver of a file's bytes, in order. */
export interface Sink {
  /** Discards what came: the file starts over. False where the sink cannot. */
  restart(): boolean;
  push(chunk: Uint8Array): void;
}

/** Thrown where a file has to start over and its sink cannot. */
export class RestartRequired extends Error {
  constructor(readonly url: string) {
    super(`${url} has to be read from its start`);
  }
}

const wrongSize = (url: string, expected: number, found: number) =>
  loraLoomError("wrong-size", { url, expected, found });

/** The SHA-256 of bytes, in hexadecimal digits. */
export function hexOf(bytes: Uint8Array, context: DownloadContext): string {
  const hasher = context.newHasher();
  hasher.update(bytes);
  return hasher.hex();
}

/** The address that a file is stored with. */
export const storedUrl = ({ url, branchUrl = url }: RemoteFile) => branchUrl;

/** The key under which a file is stored: another version of the same address takes its place. */
export function storeKey(file: RemoteFile, context: DownloadContext): string {
  return file.sha256 ?? `url-${hexOf(new TextEncoder().encode(storedUrl(file)), context)}`;
}

/** A name of a file's contents, as far as they are known. */
export function contentsName(file: RemoteFile, context: DownloadContext): string {
  const key = storeKey(file, context);
  return file.sha256 === null && file.version ? `${key} ${file.version}` : key;
}

/** The stored file, whole or in part; null where there is none, or only that of another version. */
export async function findStored(
  file: RemoteFile,
  context: DownloadContext,
): Promise<StoredEntry | null> {
  const stored = await context.store.find(storeKey(file, context));
  const other = file.sha256 === null && file.version && stored?.version !== file.version;
  return other ? null : stored;
}

/** Deletes the stored copies of files that a reader refused, unless their hash was known. */
export async function forget(files: RemoteFile[], context: DownloadContext): Promise<void> {
  for (const file of files) {
    if (file.sha256 === null) await context.store.remove(storeKey(file, context));
  }
}

/** Git's hash of a file's contents; null where the browser has no SHA-1, as on pages without HTTPS. */
async function gitSha1Of(contents: Uint8Array[]): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return null;
  const size = contents.reduce((sum, { length }) => sum + length, 0);
  const blob = new Blob([`blob ${size}\0`, ...(contents as Uint8Array<ArrayBuffer>[])]);
  const digest = await crypto.subtle.digest("SHA-1", await blob.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The HTTP context of a download. */
export function httpContext(context: DownloadContext): HttpContext {
  return { ...context, onWait: (text) => context.onEvent({ kind: "stage", text }) };
}

/** Limit of the files whose Git hash is checked, which needs all of a file; hubs have larger ones with a SHA-256. */
const MAX_GIT_BYTES = 16 * 2 ** 20;

/** Running downloads by the keys of their files: many modules share the contents of a small file. */
const running = new Map<string, Promise<unknown>>();

/** What an attempt to get a file has of it so far. */
interface Attempt {
  hasher: Sha256;
  loaded: number;
  /** Whether what came is refused, so that none of it is stored. */
  refused: boolean;
  served: Served;
  /** The bytes, where they are needed for Git's hash. */
  contents: Uint8Array[] | null;
}

function newAttempt({ bytes, gitSha1 }: RemoteFile, context: DownloadContext): Attempt {
  return {
    hasher: context.newHasher(),
    loaded: 0,
    refused: false,
    served: { total: bytes, etag: null },
    contents: gitSha1 && bytes !== null && bytes <= MAX_GIT_BYTES ? [] : null,
  };
}

/** One file from the store or the server. */
class Download {
  readonly #file: RemoteFile;
  readonly #context: DownloadContext;
  readonly #sink: Sink;
  readonly #onProgress: (loaded: number, total: number | null, cached: boolean) => void;
  readonly #key: string;
  #attempt: Attempt;

  constructor(
    file: RemoteFile,
    context: DownloadContext,
    sink: Sink,
    onProgress: (loaded: number, total: number | null, cached: boolean) => void,
  ) {
    this.#file = file;
    this.#context = context;
    this.#sink = sink;
    this.#onProgress = onProgress;
    this.#key = storeKey(file, context);
    this.#attempt = newAttempt(file, context);
  }

  /** The file's hash and length, after waiting for a running download of the same contents. */
  async run(): Promise<{ sha256: string; bytes: number }> {
    for (let other = running.get(this.#key); other; other = running.get(this.#key)) {
      await other.catch(() => undefined);
      this.#context.signal.throwIfAborted();
    }
    const attempts = this.#locked(() => this.#attempts());
    running.set(this.#key, attempts);
    try {
      return await attempts;
    } finally {
      running.delete(this.#key);
    }
  }

  /** Runs while no other tab downloads the same contents, which then are in the store. */
  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const { store, signal, onEvent } = this.#context;
    const locks = globalThis.navigator?.locks;
    if (!locks || store.kind === "memory") return work();
    const name = `loraloom download ${this.#key}`;
    const file = shortName(this.#file.url);
    const free = await locks.request(name, { ifAvailable: true }, async (lock) =>
      lock ? { result: await work() } : null,
    );
    if (free) return free.result;
    onEvent({ kind: "stage", text: `Another tab downloads ${file}: waiting for it` });
    return locks.request(name, { signal }, work);
  }

  async #attempts(): Promise<{ sha256: string; bytes: number }> {
    const { store, signal, onEvent } = this.#context;
    let usable = true;
    for (let start = 1; ; start++) {
      const stored = usable ? await findStored(this.#file, this.#context) : null;
      try {
        return stored?.sha256 ? await this.#fromStore(stored) : await this.#fromServer(stored);
      } catch (error) {
        signal.throwIfAborted();
        const again = error instanceof ChangedOnServer || error instanceof DamagedCopy;
        if (!again) throw error;
        if (error instanceof DamagedCopy) {
          usable = false;
          onEvent({ kind: "stage", text: `${error.message}: fetching it again` });
        }
        await store.remove(this.#key);
        const { bytes, url } = this.#file;
        const total = error instanceof ChangedOnServer ? error.total : null;
        if (bytes !== null && total !== null && total !== bytes) throw wrongSize(url, bytes, total);
        if (start >= FRESH_STARTS) throw loraLoomError("keeps-changing", { url, times: start });
        if (this.#attempt.loaded > 0 && !this.#sink.restart()) throw new RestartRequired(url);
        this.#attempt = newAttempt(this.#file, this.#context);
      }
    }
  }

  #take(chunk: Uint8Array, cached: boolean): void {
    const { bytes, url } = this.#file;
    const placeholder = this.#attempt.loaded === 0 ? this.#context.detectPlaceholder(chunk) : null;
    if (placeholder) {
      // A copy that an earlier version stored.
      if (cached) throw new DamagedCopy(url);
      this.#attempt.refused = true;
      throw loraLoomError("placeholder", { file: shortName(url), place: url, placeholder });
    }
    this.#attempt.loaded += chunk.length;
    if (bytes !== null && this.#attempt.loaded > bytes)
      throw wrongSize(url, bytes, this.#attempt.loaded);
    this.#attempt.hasher.update(chunk);
    this.#attempt.contents?.push(chunk);
    try {
      this.#sink.push(chunk);
    } catch (error) {
      this.#attempt.refused = true;
      throw error;
    }
    this.#onProgress(this.#attempt.loaded, this.#attempt.served.total, cached);
  }

  /** Passes on the bytes of a stored file. */
  async #replay(stored: StoredEntry): Promise<void> {
    this.#attempt.served = { total: stored.total, etag: stored.etag };
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

  /** Whether the sink refused stored bytes, and not as a trap of its engine. */
  #isRefusal(error: unknown): boolean {
    return this.#attempt.refused && !isTrap(error);
  }

  async #fromStore(stored: StoredEntry): Promise<{ sha256: string; bytes: number }> {
    await this.#replay(stored).catch(async (error) => {
      // A reader meets what is damaged before the hash of the whole does.
      const damaged = this.#isRefusal(error) && (await this.#storedHash()) !== stored.sha256;
      throw damaged ? new DamagedCopy(this.#file.url) : error;
    });
    const sha256 = this.#attempt.hasher.hex();
    if (sha256 !== stored.sha256 || (await this.#wrongGitHash())) {
      throw new DamagedCopy(this.#file.url);
    }
    const { bytes, url } = this.#file;
    if (bytes !== null && this.#attempt.loaded !== bytes)
      throw wrongSize(url, bytes, this.#attempt.loaded);
    return { sha256, bytes: this.#attempt.loaded };
  }

  /** The SHA-256 of the stored bytes; empty where they cannot be read. */
  async #storedHash(): Promise<string> {
    const hasher = this.#context.newHasher();
    try {
      const body = (await this.#context.store.read(this.#key)).getReader();
      for (;;) {
        const { done, value } = await body.read();
        if (done) return hasher.hex();
        hasher.update(value);
      }
    } catch {
      return "";
    }
  }

  async #fromServer(partial: StoredEntry | null): Promise<{ sha256: string; bytes: number }> {
    const { url, bytes, sha256: expected } = this.#file;
    // A partial file without a known hash is useful only if the server can tell its versions apart.
    const useful = partial && partial.bytes > 0 && (expected !== null || partial.etag !== null);
    if (useful) {
      await this.#replay(partial).catch((error) => {
        // Nothing tells whether these bytes are those that came.
        throw this.#isRefusal(error) ? new DamagedCopy(url) : error;
      });
    }
    const writer = SafeWriter.ofFile(this.#key, shortName(url), this.#context);
    await writer.open(this.#attempt.loaded);
    try {
      await transfer(
        {
          url,
          from: this.#attempt.loaded,
          served: this.#attempt.served,
          knownContents: expected !== null,
          onServed: async (served) => {
            this.#attempt.served = served;
            await writer.describe(this.#record(null));
          },
          onChunk: async (chunk) => {
            // Prefetched ranges are here already, so no request notices an abort.
            this.#context.signal.throwIfAborted();
            this.#take(chunk, false);
            await writer.write(chunk);
          },
        },
        httpContext(this.#context),
      );
    } catch (error) {
      if (this.#isFinal(error)) await writer.discard();
      else await writer.close();
      throw error;
    }
    const found = this.#attempt.hasher.hex();
    const wrong =
      bytes !== null && this.#attempt.loaded !== bytes
        ? wrongSize(url, bytes, this.#attempt.loaded)
        : expected !== null && found !== expected
          ? loraLoomError("wrong-hash", { url, kind: "SHA-256", expected, found })
          : await this.#wrongGitHash();
    if (wrong) {
      await writer.discard();
      throw wrong;
    }
    await writer.complete(this.#record(found));
    return { sha256: found, bytes: this.#attempt.loaded };
  }

  /** The error of contents that are not those whose Git hash is known; null if they are. */
  async #wrongGitHash(): Promise<LoraLoomError | null> {
    const { url, gitSha1: expected } = this.#file;
    const found = this.#attempt.contents && (await gitSha1Of(this.#attempt.contents));
    return expected && found && found !== expected
      ? loraLoomError("wrong-hash", { url, kind: "Git SHA-1", expected, found })
      : null;
  }

  /** Whether a failure makes the bytes so far useless. */
  #isFinal(error: unknown): boolean {
    const { bytes } = this.#file;
    const tooLong = bytes !== null && this.#attempt.loaded > bytes;
    return error instanceof ChangedOnServer || this.#attempt.refused || tooLong;
  }

  #record(sha256: string | null): FileRecord {
    return {
      key: this.#key,
      url: storedUrl(this.#file),
      total: sha256 ? this.#attempt.loaded : this.#attempt.served.total,
      etag: this.#attempt.served.etag,
      sha256,
      known: this.#file.sha256 !== null,
      version: this.#file.version ?? null,
    };
  }
}

/** Thrown where a stored file is unusable; the message is for people. */
class DamagedCopy extends Error {
  constructor(url: string, cause?: unknown) {
    const name = shortName(url);
    super(
      isTimeout(cause)
        ? `The browser did not return ${name} from storage`
        : `The stored copy of ${name} is damaged`,
    );
  }
}

/** Passes a file's bytes to `sink` as they arrive; returns its SHA-256. */
export async function downloadFile(
  file: RemoteFile,
  context: DownloadContext,
  sink: Sink,
  onProgress: (loaded: number, total: number | null, cached: boolean) => void,
): Promise<string> {
  const { sha256 } = await new Download(file, context, sink, onProgress).run();
  return sha256;
}
