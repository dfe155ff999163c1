// Fetches the registry's files: progress in bytes, resumed after a stall, checked against their
// hashes, and kept in the browser's cache under those hashes.

import type { ErrorReport, Event, RegistryFile } from "../generated/protocol.js";
import type { Hasher } from "./engine.js";

/** The name of the browser cache. */
const CACHE = "loraloom";
/** Attempts at a file before giving up: the first, and one more. */
const ATTEMPTS = 2;
/** A registry larger than this is refused. */
const MOST_REGISTRY_BYTES = 8 * 2 ** 20;
/** Files fetched at the same time. */
const PARALLEL = 6;

/** What a download needs from around it. */
export interface DownloadContext {
  signal: AbortSignal;
  /** Seconds without a byte after which a server counts as stalled. */
  stallSeconds: number;
  newHasher(): Hasher;
  onEvent(event: Event): void;
  /** Null where the browser has no cache (insecure pages, some private windows). */
  openCache?: () => Promise<Cache | null>;
}

/** A file to fetch and where it is. */
export interface Wanted {
  url: string;
  file: RegistryFile;
}

function report(what: string, why: string, next: string): ErrorReport {
  return { what, why, next };
}

const shortName = (url: string) => {
  const path = new URL(url).pathname;
  return path.split("/").slice(-2).join("/");
};

/** A file's key in the cache: an address that no server has. */
const cacheKey = (sha256: string) => `https://sha256.loraloom.invalid/${sha256}`;

async function openCache(): Promise<Cache | null> {
  try {
    return "caches" in globalThis ? await caches.open(CACHE) : null;
  } catch {
    return null;
  }
}

/** The error for a server that answered, but not with the file. */
function statusError(url: string, status: number): ErrorReport {
  return report(
    `${shortName(url)} could not be fetched.`,
    status === 404
      ? `The server has no such file (404): ${url}.`
      : `The server answered ${status} instead of the file: ${url}.`,
    status === 404
      ? "Check that the library was published whole, or choose another module."
      : "Wait a little and try again.",
  );
}

/** The error for bytes that are not those that the registry names. */
function hashError(url: string, file: RegistryFile, found: string): ErrorReport {
  return report(
    `${shortName(url)} is not the file that the registry names.`,
    `Expected SHA-256 ${file.sha256.slice(0, 12)}…, found ${found.slice(0, 12)}… at ${url}: the file was changed or damaged.`,
    "Nothing was used of it. Reload the page for a newer registry, or tell whoever hosts the library.",
  );
}

function sizeError(url: string, file: RegistryFile, found: number): ErrorReport {
  return report(
    `${shortName(url)} has the wrong size.`,
    `Expected ${file.bytes} bytes, the server sent ${found < file.bytes ? "" : "more than "}${Math.min(found, file.bytes)}: the file was cut short or changed.`,
    "Nothing was used of it. Try again, or tell whoever hosts the library.",
  );
}

class Retryable extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.what);
  }
}

/** Reads a body chunk by chunk, failing when no byte comes for `stallSeconds`. */
async function readBody(
  response: Response,
  context: DownloadContext,
  onChunk: (chunk: Uint8Array) => void,
  stalled: () => ErrorReport,
): Promise<void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await withStall(reader.read(), context, stalled);
      if (done) return;
      onChunk(value);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** Waits for a promise, at most `stallSeconds`, and not past a cancel. */
async function withStall<T>(
  promise: Promise<T>,
  { signal, stallSeconds }: DownloadContext,
  stalled: () => ErrorReport,
): Promise<T> {
  // It also fails after this function has given up on it, with nobody left to listen.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Retryable(stalled())), stallSeconds * 1000);
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
    if (onAbort) signal.removeEventListener("abort", onAbort);
  }
}

/** Starts a request; a network failure and a server error can be tried again. */
async function request(
  url: string,
  init: RequestInit,
  context: DownloadContext,
  stalled: () => ErrorReport,
): Promise<Response> {
  let response: Response;
  try {
    response = await withStall(fetch(url, { ...init, signal: context.signal }), context, stalled);
  } catch (error) {
    if (context.signal.aborted || error instanceof Retryable) throw error;
    throw new Retryable(
      report(
        `${shortName(url)} could not be fetched.`,
        `No answer from ${new URL(url).host || url}: ${error instanceof Error ? error.message : error}.`,
        "Check the connection and try again; what was already loaded is kept.",
      ),
    );
  }
  if (response.status >= 500) throw new Retryable(statusError(url, response.status));
  if (!response.ok) throw statusError(url, response.status);
  return response;
}

/** Runs attempts until one succeeds; the last failure's report is thrown. */
async function retrying<T>(attempt: (number: number) => Promise<T>): Promise<T> {
  for (let number = 1; ; number++) {
    try {
      return await attempt(number);
    } catch (error) {
      if (!(error instanceof Retryable)) throw error;
      if (number >= ATTEMPTS) throw error.report;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}

/** Fetches a registry: the one file without a known hash, always asked for anew. */
export async function fetchRegistry(url: string, context: DownloadContext): Promise<Uint8Array> {
  return retrying(async () => {
    const stalled = () =>
      report(
        "The module library did not load.",
        `No byte of ${url} came for ${context.stallSeconds} seconds.`,
        "Check the connection and try again.",
      );
    const response = await request(url, { cache: "no-cache" }, context, stalled);
    const chunks: Uint8Array[] = [];
    let loaded = 0;
    await readBody(
      response,
      context,
      (chunk) => {
        loaded += chunk.length;
        if (loaded > MOST_REGISTRY_BYTES) {
          throw report(
            "The module library is too large.",
            `Expected at most ${MOST_REGISTRY_BYTES} bytes at ${url}, found more.`,
            "Check that the address is that of a registry.json.",
          );
        }
        chunks.push(chunk);
      },
      stalled,
    );
    const bytes = new Uint8Array(loaded);
    let offset = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    return bytes;
  });
}

/** Fetches files, a few at a time, and answers with their bytes in the order asked for. */
export async function fetchFiles(
  wanted: Wanted[],
  context: DownloadContext,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const overallTotal = wanted.reduce((sum, { file }) => sum + file.bytes, 0);
  const loaded = wanted.map(() => 0);
  const results = new Array<Uint8Array<ArrayBuffer>>(wanted.length);
  // One failure ends the others: none of them would be used.
  const group = new AbortController();
  const shared = { ...context, signal: AbortSignal.any([context.signal, group.signal]) };
  let next = 0;
  const runner = async () => {
    while (next < wanted.length) {
      const index = next++;
      const one = wanted[index] as Wanted;
      results[index] = await fetchFile(one, shared, (bytes, cached) => {
        loaded[index] = bytes;
        context.onEvent({
          kind: "progress",
          file: shortName(one.url),
          loaded: bytes,
          total: one.file.bytes,
          overallLoaded: loaded.reduce((sum, value) => sum + value, 0),
          overallTotal,
          cached,
        });
      });
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(PARALLEL, wanted.length) }, runner));
  } catch (error) {
    group.abort();
    throw error;
  }
  return results;
}

async function fetchFile(
  { url, file }: Wanted,
  context: DownloadContext,
  onProgress: (loaded: number, cached: boolean) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const cache = await (context.openCache ?? openCache)();
  const kept = await cache?.match(cacheKey(file.sha256)).catch(() => undefined);
  if (kept) {
    const bytes = await readChecked(kept, { url, file }, context, (n) => onProgress(n, true)).catch(
      () => null,
    );
    context.signal.throwIfAborted();
    if (bytes) return bytes;
    await cache?.delete(cacheKey(file.sha256));
  }

  const bytes = allocate(url, file);
  let loaded = 0;
  const stalled = () =>
    report(
      `${shortName(url)} stopped loading.`,
      `No byte came for ${context.stallSeconds} seconds; ${loaded} of ${file.bytes} bytes are here.`,
      "Check the connection and try again; what was already loaded is kept.",
    );
  await retrying(async (number) => {
    // The second attempt goes on where the first one stopped, if the server can do that.
    const resumed = number > 1 && loaded > 0 && loaded < file.bytes;
    const headers: Record<string, string> = resumed ? { Range: `bytes=${loaded}-` } : {};
    const response = await request(url, { headers }, context, stalled);
    const continues =
      response.status === 206 &&
      response.headers.get("Content-Range")?.startsWith(`bytes ${loaded}-`);
    if (!continues) loaded = 0;
    try {
      await readBody(
        response,
        context,
        (chunk) => {
          if (loaded + chunk.length > file.bytes) {
            throw sizeError(url, file, loaded + chunk.length);
          }
          bytes.set(chunk, loaded);
          loaded += chunk.length;
          onProgress(loaded, false);
        },
        stalled,
      );
    } catch (error) {
      if (context.signal.aborted || !(error instanceof TypeError)) throw error;
      throw new Retryable(
        report(
          `${shortName(url)} stopped loading.`,
          `The connection broke after ${loaded} of ${file.bytes} bytes: ${error.message}.`,
          "Check the connection and try again; what was already loaded is kept.",
        ),
      );
    }
    if (loaded < file.bytes) throw new Retryable(sizeError(url, file, loaded));
  });

  const hasher = context.newHasher();
  hasher.update(bytes);
  const found = hasher.hex();
  if (found !== file.sha256) throw hashError(url, file, found);
  try {
    await cache?.put(cacheKey(file.sha256), new Response(bytes));
  } catch {
    context.onEvent({
      kind: "stage",
      text: "The browser has no room to keep the files: they will be fetched again next time",
    });
  }
  return bytes;
}

/** Reads a kept file; anything but the expected bytes is an error. */
async function readChecked(
  response: Response,
  { url, file }: Wanted,
  context: DownloadContext,
  onProgress: (loaded: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = allocate(url, file);
  const hasher = context.newHasher();
  let loaded = 0;
  await readBody(
    response,
    context,
    (chunk) => {
      if (loaded + chunk.length > file.bytes) throw sizeError(url, file, loaded + chunk.length);
      bytes.set(chunk, loaded);
      hasher.update(chunk);
      loaded += chunk.length;
      onProgress(loaded);
    },
    () => sizeError(url, file, loaded),
  );
  if (loaded < file.bytes) throw sizeError(url, file, loaded);
  const found = hasher.hex();
  if (found !== file.sha256) throw hashError(url, file, found);
  return bytes;
}

function allocate(url: string, file: RegistryFile): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(file.bytes);
  } catch {
    throw report(
      `${shortName(url)} does not fit in memory.`,
      `The registry says ${file.bytes} bytes, more than this tab can hold.`,
      "Close other tabs, or choose a smaller model.",
    );
  }
}
