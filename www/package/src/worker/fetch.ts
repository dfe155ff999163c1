// Files by their addresses: several at a time, held whole or handed on, with their progress as one.

import type { ErrorReport } from "../generated/protocol.js";
import {
  type DownloadContext,
  downloadFile,
  hexOf,
  type Sink,
  storeKey,
  transferContext,
  type Wanted,
} from "./download.js";
import { Keeper } from "./keeper.js";
import { report, shortName, transfer } from "./transfer.js";

/** A registry larger than this is refused. */
const MOST_REGISTRY_BYTES = 8 * 2 ** 20;
/** The largest file that is held whole. */
const MOST_HELD_BYTES = 2 ** 31;
/** Files fetched at the same time. */
const PARALLEL_FILES = 6;

function memoryError(url: string, bytes: number): ErrorReport {
  return report(
    `${shortName(url)} does not fit in memory.`,
    `It takes ${bytes} bytes, more than this tab can hold.`,
    "Close other tabs, or choose a smaller model.",
  );
}

/** Collects a file's bytes. */
class Held implements Sink {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  readonly #url: string;
  readonly #most: number;

  constructor(url: string, most: number) {
    this.#url = url;
    this.#most = most;
  }

  restart(): boolean {
    this.#chunks = [];
    this.#bytes = 0;
    return true;
  }

  push(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#most) throw memoryError(this.#url, this.#bytes);
    this.#chunks.push(chunk);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    let whole: Uint8Array<ArrayBuffer>;
    try {
      whole = new Uint8Array(this.#bytes);
    } catch {
      throw memoryError(this.#url, this.#bytes);
    }
    let offset = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, offset);
      offset += chunk.length;
    }
    return whole;
  }
}

/** Tells of the bytes of several files as one. */
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

/** Fetches a registry: the one file that is always asked for anew and never kept. */
export async function fetchRegistry(url: string, context: DownloadContext): Promise<Uint8Array> {
  return fetchUncached(url, MOST_REGISTRY_BYTES, context);
}

/**
 * Fetches a small text that says what there is. It is asked for anew each time; the last answer is
 * kept for when nothing answers.
 */
export async function fetchListing(
  url: string,
  most: number,
  context: DownloadContext,
): Promise<Uint8Array> {
  const wanted = { url, bytes: null, sha256: null };
  const key = storeKey(wanted, context);
  let bytes: Uint8Array;
  try {
    bytes = await fetchUncached(url, most, context);
  } catch (error) {
    context.signal.throwIfAborted();
    const kept = await context.store.find(key);
    const answered = /\(\d{3}\)|answered \d{3}/.test((error as ErrorReport).why ?? "");
    if (answered || !kept?.sha256) throw error;
    const held = new Held(url, most);
    await downloadFile(wanted, context, held, () => undefined);
    return held.bytes();
  }
  const keeper = Keeper.ofFile(key, shortName(url), context);
  await keeper.open(0);
  await keeper.write(bytes);
  const sha256 = hexOf(bytes, context);
  await keeper.complete({ key, url, total: bytes.length, etag: null, sha256, known: false });
  return bytes;
}

async function fetchUncached(
  url: string,
  most: number,
  context: DownloadContext,
): Promise<Uint8Array> {
  const held = new Held(url, most);
  let loaded = 0;
  await transfer(
    {
      url,
      from: 0,
      served: { total: null, etag: null },
      knownContents: false,
      onServed: () => undefined,
      onChunk: (chunk) => {
        loaded += chunk.length;
        if (loaded > most) {
          throw report(
            `${shortName(url)} is too large.`,
            `Expected at most ${most} bytes at ${url}, found more.`,
            "Check that the address is the right one.",
          );
        }
        held.push(chunk);
      },
    },
    transferContext(context),
  );
  return held.bytes();
}

/** Fetches files, a few at a time, and answers with their bytes in the order asked for. */
export async function fetchFiles(
  wanted: Wanted[],
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
      const file = wanted[index] as Wanted;
      const held = new Held(file.url, MOST_HELD_BYTES);
      const name = shortName(file.url);
      await downloadFile(file, shared, held, (loaded, total, cached) =>
        progress.report(index, name, loaded, total, cached),
      );
      results[index] = held.bytes();
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
