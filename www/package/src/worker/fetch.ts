// Files by their addresses, several at a time, read whole, with their progress as one.

import { LoraLoomError } from "../errors.js";
import {
  type DownloadContext,
  downloadFile,
  hexOf,
  httpContext,
  type RemoteFile,
  type Sink,
  storeKey,
} from "./download.js";
import { loraLoomError, shortName } from "./errors.js";
import { SafeWriter } from "./safe-writer.js";
import { transfer } from "./transfer.js";

/** Limit of a registry's length. */
const MAX_REGISTRY_BYTES = 8 * 2 ** 20;
/** Limit of the length of a file that is read whole. */
const MAX_BUFFER_BYTES = 2 ** 31;
/** Files fetched at the same time. */
const PARALLEL_FILES = 6;

/** A sink that collects a file's bytes. */
class Buffered implements Sink {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  readonly #url: string;
  readonly #limit: number;

  constructor(url: string, limit: number) {
    this.#url = url;
    this.#limit = limit;
  }

  restart(): boolean {
    this.#chunks = [];
    this.#bytes = 0;
    return true;
  }

  push(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#limit) throw this.#tooLarge();
    this.#chunks.push(chunk);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    let whole: Uint8Array<ArrayBuffer>;
    try {
      whole = new Uint8Array(this.#bytes);
    } catch (error) {
      throw this.#tooLarge(error);
    }
    let offset = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, offset);
      offset += chunk.length;
    }
    return whole;
  }

  #tooLarge(cause?: unknown): LoraLoomError {
    return loraLoomError("file-out-of-memory", { url: this.#url, bytes: this.#bytes }, cause);
  }
}

/** Reports the bytes of several files as one. */
export class Progress {
  readonly #files: { loaded: number; total: number | null }[];
  readonly #context: DownloadContext;

  constructor(files: { bytes: number | null }[], context: DownloadContext) {
    this.#files = files.map(({ bytes }) => ({ loaded: 0, total: bytes }));
    this.#context = context;
  }

  /** The number of files. */
  get length(): number {
    return this.#files.length;
  }

  report(index: number, file: string, loaded: number, total: number | null, cached: boolean): void {
    this.#files[index] = { loaded, total };
    let overallLoaded = 0;
    let overallTotal = 0;
    for (const one of this.#files) {
      overallLoaded += one.loaded;
      overallTotal += Math.max(one.loaded, one.total ?? 0);
    }
    this.#context.onEvent({
      kind: "progress",
      file,
      loaded,
      total: total ?? loaded,
      overallLoaded,
      overallTotal,
      cached,
    });
  }
}

/** A file's bytes, and its address after redirects. */
interface Fetched {
  bytes: Uint8Array;
  url: string;
}

/**
 * Fetches a registry. As {@link fetchListing}, it is fetched each time; the last one that `parse` accepted is
 * stored for when the server does not answer.
 */
export async function fetchRegistry<T>(
  url: string,
  parse: (bytes: Uint8Array) => T,
  context: DownloadContext,
): Promise<{ registry: T; url: string }> {
  const fetched = await fetchOrStored(url, MAX_REGISTRY_BYTES, context);
  const placeholder = context.detectPlaceholder(fetched.bytes.subarray(0, 256));
  if (placeholder) {
    throw loraLoomError("placeholder", { file: shortName(url), place: url, placeholder });
  }
  const registry = parse(fetched.bytes);
  if (!fetched.stored) await storeListing(url, fetched, context);
  return { registry, url: fetched.url };
}

/**
 * Fetches a list of files. It is fetched each time; the last one that `isValid` accepted is stored for
 * when the server does not answer.
 */
export async function fetchListing(
  url: string,
  limit: number,
  isValid: (bytes: Uint8Array) => boolean,
  context: DownloadContext,
): Promise<Uint8Array> {
  const fetched = await fetchOrStored(url, limit, context);
  if (!fetched.stored && isValid(fetched.bytes)) await storeListing(url, fetched, context);
  return fetched.bytes;
}

/** A file from the server; the stored one where the server does not answer. */
async function fetchOrStored(
  url: string,
  limit: number,
  context: DownloadContext,
): Promise<Fetched & { stored: boolean }> {
  const wanted = { url, bytes: null, sha256: null };
  const entry = await context.store.find(storeKey(wanted, context));
  const readStored = async () => {
    const text = `No answer from the server: using the stored ${shortName(url)}`;
    context.onEvent({ kind: "stage", text });
    const buffer = new Buffered(url, limit);
    await downloadFile(wanted, context, buffer, () => undefined);
    return { bytes: buffer.bytes(), url: entry?.url ?? url, stored: true };
  };
  // Without a network, no attempt is worth its wait.
  if (entry?.sha256 && globalThis.navigator?.onLine === false) return readStored();
  try {
    return { ...(await fetchUncached(url, limit, context)), stored: false };
  } catch (error) {
    context.signal.throwIfAborted();
    const answered = httpStatus(error) !== null;
    if (answered || !entry?.sha256) throw error;
    return readStored();
  }
}

/** Stores a file for when its server does not answer. */
async function storeListing(
  url: string,
  { bytes, url: finalUrl }: Fetched,
  context: DownloadContext,
): Promise<void> {
  const key = storeKey({ url, bytes: null, sha256: null }, context);
  const sha256 = hexOf(bytes, context);
  if ((await context.store.find(key))?.sha256 === sha256) return;
  const keeper = SafeWriter.ofFile(key, shortName(url), context);
  await keeper.open(0);
  await keeper.write(bytes);
  const record = { key, url: finalUrl, total: bytes.length, etag: null, sha256, known: false };
  await keeper.complete(record);
}

/** The HTTP status with which a server refused a file; null for any other error. */
export function httpStatus(error: unknown): number | null {
  const status = error instanceof LoraLoomError ? error.details.status : null;
  return typeof status === "number" ? status : null;
}

async function fetchUncached(
  url: string,
  limit: number,
  context: DownloadContext,
): Promise<Fetched> {
  const buffer = new Buffered(url, limit);
  let loaded = 0;
  let finalUrl = url;
  await transfer(
    {
      url,
      from: 0,
      served: { total: null, etag: null },
      knownContents: false,
      onServed: (served) => {
        finalUrl = served.url ?? url;
      },
      onChunk: (chunk) => {
        loaded += chunk.length;
        if (loaded > limit) throw loraLoomError("too-large", { url, limit });
        buffer.push(chunk);
      },
    },
    httpContext(context),
  );
  return { bytes: buffer.bytes(), url: finalUrl };
}

/** The bytes of files, in their order; a few are fetched at a time. */
export async function fetchFiles(
  wanted: RemoteFile[],
  context: DownloadContext,
  progress = new Progress(wanted, context),
): Promise<Uint8Array<ArrayBuffer>[]> {
  const results = new Array<Uint8Array<ArrayBuffer>>(wanted.length);
  // One failure ends the others: none of them would be used.
  const group = new AbortController();
  const shared = { ...context, signal: AbortSignal.any([context.signal, group.signal]) };
  let next = 0;
  const runner = async () => {
    while (next < wanted.length) {
      const index = next++;
      const file = wanted[index] as RemoteFile;
      const buffer = new Buffered(file.url, MAX_BUFFER_BYTES);
      const name = shortName(file.url);
      await downloadFile(file, shared, buffer, (loaded, total, cached) =>
        progress.report(index, name, loaded, total, cached),
      );
      results[index] = buffer.bytes();
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(PARALLEL_FILES, wanted.length) }, runner));
  } catch (error) {
    group.abort();
    throw error;
  }
  return results;
}
