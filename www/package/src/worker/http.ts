// HTTP requests with retries: timeouts, `Retry-After`, and the headers that distinguish a file's versions.

import { type LoraLoomError, reasonOf } from "../errors.js";
import { isTimeout, withTimeout } from "../timeout.js";
import { loraLoomError } from "./errors.js";
import { fetchLocalFile, isLocalFile } from "./local-files.js";

/** Attempts in a row that bring no new byte before giving up. */
const ATTEMPTS = 4;
/** The same for a server that takes the request and then sends nothing. */
const STALLED_ATTEMPTS = 2;
/** Wait before the second attempt in milliseconds; doubled for each one after it. */
const FIRST_WAIT = 300;
/** The longest wait that a server may request, in seconds. */
const LONGEST_WAIT = 120;

/** What an HTTP request depends on. */
export interface HttpContext {
  signal: AbortSignal;
  /** Seconds without a byte after which a server counts as stalled. */
  stallSeconds: number;
  /** Called with the reason, as a phrase, before a long wait. */
  onWait(text: string): void;
}

/** What the server says of a file. */
export interface Served {
  /** Length of the whole file; null where it does not say. */
  total: number | null;
  /** The strong `ETag`; null for none. */
  etag: string | null;
  /** The address after redirects, once there is a response. */
  url?: string;
}

/** Thrown where the server has another version than the one whose bytes are here. */
export class ChangedOnServer extends Error {
  constructor(
    readonly url: string,
    /** Length of the file that the server has now, where it says. */
    readonly total: number | null = null,
  ) {
    super(`${url} changed while it was fetched`);
  }
}

/** A failure that another attempt may not have. */
export class Retryable extends Error {
  constructor(
    /** What is thrown after the last attempt. */
    readonly error: LoraLoomError,
    readonly attempts = ATTEMPTS,
    /** Seconds of the server's `Retry-After`. */
    readonly wait: number | null = null,
  ) {
    super(error.what);
  }
}

/**
 * A server's response to one request, whatever its status.
 *
 * @throws whatever `fetch` throws, a `TimeoutError` if nothing comes for `stallSeconds`, or the signal's
 * reason
 */
export function fetchOnce(url: string, init: RequestInit, context: HttpContext): Promise<Response> {
  const { signal, stallSeconds } = context;
  const response = isLocalFile(url) ? fetchLocalFile(url, init) : fetch(url, { ...init, signal });
  return withTimeout(response, stallSeconds, { signal });
}

/** Seconds to wait by a response's `Retry-After`; null without one. */
function retryAfter(response: Response): number | null {
  const value = response.headers.get("Retry-After");
  if (!value) return null;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.min(Math.max(0, seconds), LONGEST_WAIT);
}

/**
 * A response with a file's bytes.
 *
 * @throws {@link Retryable} for what may be different a little later, {@link ChangedOnServer}, or a
 * `LoraLoomError`
 */
export async function requestFile(
  url: string,
  init: RequestInit,
  context: HttpContext,
  stalled: () => LoraLoomError,
): Promise<Response> {
  let response: Response;
  try {
    response = await fetchOnce(url, init, context);
  } catch (error) {
    context.signal.throwIfAborted();
    if (isTimeout(error)) throw new Retryable(stalled(), STALLED_ATTEMPTS);
    throw new Retryable(loraLoomError("no-answer", { url, reason: reasonOf(error) }, error));
  }
  if (response.ok) return response;
  response.body?.cancel().catch(() => undefined);
  const { status } = response;
  // The bytes that are here are more than the server has now.
  if (status === 416) {
    const total = response.headers.get("Content-Range")?.match(/^bytes \*\/(\d+)$/)?.[1];
    throw new ChangedOnServer(url, total ? Number(total) : null);
  }
  const error = loraLoomError("http-status", { url, status });
  if (status === 429 || status >= 500) throw new Retryable(error, ATTEMPTS, retryAfter(response));
  throw error;
}

/**
 * Reads a body chunk by chunk.
 *
 * @throws {@link Retryable} when no byte comes for `stallSeconds` or the connection breaks
 */
export async function readBody(
  url: string,
  response: Response,
  context: HttpContext,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
  stalled: () => LoraLoomError,
): Promise<void> {
  const { signal, stallSeconds } = context;
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await withTimeout(reader.read(), stallSeconds, { signal }).catch(
        (error) => {
          signal.throwIfAborted();
          if (isTimeout(error)) throw new Retryable(stalled(), STALLED_ATTEMPTS);
          const reason = reasonOf(error);
          throw new Retryable(loraLoomError("connection-broke", { url, reason }, error));
        },
      );
      if (done) return;
      await onChunk(value);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", onAbort);
  });
}

/**
 * Runs attempts until one succeeds. Attempts count only while `progress()` stays the same; the last
 * failure's error is thrown.
 */
export async function retrying<T>(
  attempt: () => Promise<T>,
  progress: () => number,
  context: HttpContext,
): Promise<T> {
  let failures = 0;
  let before = progress();
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Retryable)) throw error;
      if (progress() > before) {
        before = progress();
        failures = 0;
      }
      failures++;
      if (failures >= error.attempts) throw error.error;
      const wait = error.wait === null ? FIRST_WAIT * 2 ** (failures - 1) : error.wait * 1000;
      if (wait >= 2000) {
        context.onWait(`Waiting ${Math.ceil(wait / 1000)} seconds, as the server requests`);
      }
      await pause(wait, context.signal);
    }
  }
}

/** A `Content-Range` header's first byte and total. */
export function contentRange(response: Response): { start: number; total: number } | null {
  const match = response.headers.get("Content-Range")?.match(/^bytes (\d+)-\d+\/(\d+)$/);
  return match ? { start: Number(match[1]), total: Number(match[2]) } : null;
}

/** The `Content-Length` of a whole file, which may be that of its compressed form; null without one. */
export function lengthHint(response: Response): number | null {
  const length = Number(response.headers.get("Content-Length") ?? Number.NaN);
  return response.status === 200 && Number.isSafeInteger(length) ? length : null;
}

/** The `ETag`, if it is a strong one: only those name contents byte by byte. */
export function strongEtag(response: Response): string | null {
  const etag = response.headers.get("ETag");
  return etag?.startsWith("W/") ? null : etag;
}
