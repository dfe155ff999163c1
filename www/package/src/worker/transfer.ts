// One file over HTTP: its bytes in order, from any place on, whatever the server and the connection do.
// Long files come in segments, several at a time. What stalls, breaks or is refused for now is gone on
// with from the last byte that came; nothing here judges the contents.

import type { ErrorReport } from "../generated/protocol.js";

/** Bytes asked for at once of a long file; also the length from which one counts as long. */
const SEGMENT = 8 * 2 ** 20;
/** Segments of a file under way at the same time: with their length, the memory that they take. */
const PARALLEL_SEGMENTS = 4;
/** Attempts in a row that bring no new byte before giving up. */
const ATTEMPTS = 4;
/** As above, for a server that takes the request and then sends nothing. */
const STALLED_ATTEMPTS = 2;
/** Wait before the second attempt, in milliseconds; doubled for each one after it. */
const FIRST_WAIT = 300;
/** The longest time that a server may ask to wait, in seconds. */
const LONGEST_WAIT = 120;

/** What a transfer needs from around it. */
export interface TransferContext {
  signal: AbortSignal;
  /** Seconds without a byte after which a server counts as stalled. */
  stallSeconds: number;
  /** Told in words why nothing comes for a while. */
  onWait(text: string): void;
}

/** What the server says of a file. */
export interface Served {
  /** Length of the whole file; null where it does not say. */
  total: number | null;
  /** Its name for this version; null for none that can be compared. */
  etag: string | null;
}

/** Thrown where the file is not the one that was begun: all of it has to be fetched anew. */
export class ChangedOnServer extends Error {
  constructor(
    readonly url: string,
    /** Length of the file that the server has now, where it says. */
    readonly total: number | null = null,
  ) {
    super(`${url} changed while it was fetched`);
  }
}

export function report(what: string, why: string, next: string): ErrorReport {
  return { what, why, next };
}

/** The end of an address, as people tell files apart. */
export function shortName(url: string): string {
  const path = decodeURIComponent(new URL(url).pathname);
  return path.split("/").slice(-2).join("/");
}

class Retryable extends Error {
  constructor(
    readonly report: ErrorReport,
    readonly attempts = ATTEMPTS,
    /** Seconds that the server asks to wait. */
    readonly wait: number | null = null,
  ) {
    super(report.what);
  }
}

/** The error for a server that answered, but not with the file. */
function statusError(url: string, status: number): ErrorReport {
  const what = `${shortName(url)} could not be fetched.`;
  switch (status) {
    case 401:
    case 403:
      return report(
        what,
        `The server gives ${url} only to people who are signed in (${status}).`,
        "Choose a public model, or download the files yourself and drop them on the page.",
      );
    case 404:
      return report(
        what,
        `The server has no such file (404): ${url}.`,
        "Check the address, and that every file was published; or choose another.",
      );
    case 429:
      return report(
        what,
        `The server had too many requests from here (429): ${url}.`,
        "Wait some minutes and try again; what was already loaded is kept.",
      );
    default:
      return report(
        what,
        `The server answered ${status} instead of the file: ${url}.`,
        "Wait a little and try again; what was already loaded is kept.",
      );
  }
}

/** Waits for a promise, at most `stallSeconds`, and not past a cancel. */
async function withStall<T>(
  promise: Promise<T>,
  { signal, stallSeconds }: TransferContext,
  stalled: () => ErrorReport,
): Promise<T> {
  // It also fails after this function has given up on it, with nobody left to listen.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  const limit = new Promise<never>((_, reject) => {
    const late = () => reject(new Retryable(stalled(), STALLED_ATTEMPTS));
    timer = setTimeout(late, stallSeconds * 1000);
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

/**
 * A server's answer to one request, whatever its status.
 *
 * @throws an `Error` if none comes for `stallSeconds`, or the signal's reason
 */
export async function answerOf(
  url: string,
  init: RequestInit,
  context: TransferContext,
): Promise<Response> {
  const late = () =>
    report(`nothing came for ${context.stallSeconds} seconds`, `${url} stalls.`, "");
  return withStall(fetch(url, { ...init, signal: context.signal }), context, late);
}

/** Seconds that a server asks to wait, by its `Retry-After`. */
function retryAfter(response: Response): number | null {
  const value = response.headers.get("Retry-After");
  if (!value) return null;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.min(Math.max(0, seconds), LONGEST_WAIT);
}

/** Starts a request. What may be different a little later can be tried again. */
async function request(
  url: string,
  init: RequestInit,
  context: TransferContext,
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
        "Check the connection, and that the server lets other sites read its files (CORS); what was already loaded is kept.",
      ),
    );
  }
  if (response.ok) return response;
  response.body?.cancel().catch(() => undefined);
  // What is here is longer than what the server has now.
  if (response.status === 416) {
    const total = response.headers.get("Content-Range")?.match(/^bytes \*\/(\d+)$/)?.[1];
    throw new ChangedOnServer(url, total ? Number(total) : null);
  }
  const error = statusError(url, response.status);
  if (response.status === 429 || response.status >= 500) {
    throw new Retryable(error, ATTEMPTS, retryAfter(response));
  }
  throw error;
}

/** Reads a body chunk by chunk, failing when no byte comes for `stallSeconds`. */
async function readBody(
  url: string,
  response: Response,
  context: TransferContext,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
  stalled: () => ErrorReport,
): Promise<void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const read = reader.read().catch((error) => {
        if (context.signal.aborted) throw error;
        const why = `The connection broke: ${error instanceof Error ? error.message : error}.`;
        throw new Retryable({ ...stalled(), what: `${shortName(url)} stopped loading.`, why });
      });
      const { done, value } = await withStall(read, context, stalled);
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
 * failure's report is thrown.
 */
async function retrying<T>(
  attempt: () => Promise<T>,
  progress: () => number,
  context: TransferContext,
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
      if (failures >= error.attempts) throw error.report;
      const wait = error.wait === null ? FIRST_WAIT * 2 ** (failures - 1) : error.wait * 1000;
      if (wait >= 2000) {
        context.onWait(`Waiting ${Math.ceil(wait / 1000)} seconds, as the server asks`);
      }
      await pause(wait, context.signal);
    }
  }
}

/** A `Content-Range` header's first byte and total. */
function contentRange(response: Response): { start: number; total: number } | null {
  const match = response.headers.get("Content-Range")?.match(/^bytes (\d+)-\d+\/(\d+)$/);
  return match ? { start: Number(match[1]), total: Number(match[2]) } : null;
}

function lengthHint(response: Response): number | null {
  const length = Number(response.headers.get("Content-Length") ?? Number.NaN);
  return response.status === 200 && Number.isSafeInteger(length) ? length : null;
}

/** Only strong tags name contents byte by byte. */
function strongEtag(response: Response): string | null {
  const etag = response.headers.get("ETag");
  return etag?.startsWith("W/") ? null : etag;
}

/** One stretch of a file, as its attempts go on. */
class Stretch {
  readonly #url: string;
  readonly #context: TransferContext;
  /** What the file that was begun is known by. */
  readonly served: Served;
  /** The next byte wanted. */
  position: number;
  /** The byte behind the last one wanted; null for the end of the file. */
  #end: number | null;
  readonly #knownContents: boolean;
  /** Whether a server that sends the whole file, not the part asked for, is read to the end. */
  readonly #takesWhole: boolean;

  constructor(
    url: string,
    position: number,
    end: number | null,
    served: Served,
    knownContents: boolean,
    takesWhole: boolean,
    context: TransferContext,
  ) {
    this.#url = url;
    this.#context = context;
    this.position = position;
    this.#end = end;
    this.served = { ...served };
    this.#knownContents = knownContents;
    this.#takesWhole = takesWhole;
  }

  /** Fetches the stretch; `onServed` is told of the file before its first byte. */
  run(
    onChunk: (chunk: Uint8Array) => void | Promise<void>,
    onServed: (served: Served, wholeFile: boolean) => void = () => undefined,
  ): Promise<void> {
    const stalled = () =>
      report(
        `${shortName(this.#url)} stopped loading.`,
        `No byte came for ${this.#context.stallSeconds} seconds; ${this.position} of ${this.served.total ?? "an unknown number of"} bytes are here.`,
        "Check the connection and try again; what was already loaded is kept.",
      );
    return retrying(
      async () => {
        // A body that broke behind its last byte has nothing more to ask for.
        const known = this.#end ?? this.served.total;
        if (this.position > 0 && known !== null && this.position >= known) return;
        const response = await request(this.#url, this.#init(), this.#context, stalled);
        const wholeFile = response.status !== 206;
        let left = this.#check(response);
        if (wholeFile && this.#takesWhole) this.#end = null;
        onServed(this.served, wholeFile);
        await readBody(
          this.#url,
          response,
          this.#context,
          async (chunk) => {
            const skipped = Math.min(left, chunk.length);
            left -= skipped;
            const room = this.#end === null ? chunk.length : this.#end - this.position;
            const fresh = chunk.subarray(skipped, skipped + room);
            if (fresh.length === 0) return;
            this.position += fresh.length;
            await onChunk(fresh);
          },
          stalled,
        );
        const end = this.#end ?? this.served.total;
        if (end !== null && this.position < end) {
          throw new Retryable(
            report(
              `${shortName(this.#url)} has the wrong size.`,
              `Expected ${end} bytes, the server sent ${this.position}: the file was cut short or changed.`,
              "None of it was used. Try again, or tell whoever hosts the file.",
            ),
          );
        }
      },
      () => this.position,
      this.#context,
    );
  }

  #init(): RequestInit {
    // As it is now: a list of files that is out of date would name hashes that are.
    if (this.position === 0 && this.#end === null) return { cache: "no-cache" };
    const last = this.#end === null ? "" : this.#end - 1;
    const headers: Record<string, string> = { Range: `bytes=${this.position}-${last}` };
    // Across origins `If-Range` asks for the server's leave first, which content networks may not
    // give; the tag of the answer is compared anyway.
    const { etag } = this.served;
    if (etag && new URL(this.#url).origin === globalThis.location?.origin) {
      headers["If-Range"] = etag;
    }
    return { headers, cache: "no-store" };
  }

  /** Compares an answer with what was begun; says how many of its first bytes are here already. */
  #check(response: Response): number {
    const range = response.status === 206 ? contentRange(response) : null;
    // Without the header, which a server must allow other sites to see, the answer is taken to be
    // what was asked for; the hash or the length tells in the end.
    const start = range?.start ?? (response.status === 206 ? this.position : 0);
    const total = range?.total ?? this.served.total;
    const etag = strongEtag(response);
    const begun = this.position > 0 || this.served.etag !== null;
    const otherTag = etag !== null && this.served.etag !== null && etag !== this.served.etag;
    const otherTotal = this.served.total !== null && total !== this.served.total;
    const wrongStart = start > this.position;
    // A server that starts over sends what is here already, if nobody could have changed it.
    const blindRestart =
      response.status === 200 && this.position > 0 && !this.#knownContents && etag === null;
    const otherVersion = otherTotal || (otherTag && !this.#knownContents);
    if (begun && (wrongStart || blindRestart || otherVersion)) {
      throw new ChangedOnServer(this.#url, total);
    }
    // The length in the header is that of the body as it travels, perhaps compressed, which other
    // sites cannot see: enough to show progress by, not to judge the file by.
    this.served.total = total ?? lengthHint(response);
    this.served.etag = etag ?? this.served.etag;
    if (total !== null && this.#end !== null) this.#end = Math.min(this.#end, total);
    return this.position - start;
  }
}

/** The chunks of a stretch that is fetched ahead of when they are wanted. */
class Ahead {
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #failure: { error: unknown } | null = null;
  #wake: () => void = () => undefined;

  constructor(stretch: Stretch) {
    stretch
      .run((chunk) => {
        this.#chunks.push(chunk);
        this.#wake();
      })
      .catch((error) => {
        this.#failure = { error };
      })
      .finally(() => {
        this.#ended = true;
        this.#wake();
      });
  }

  async drain(onChunk: (chunk: Uint8Array) => void | Promise<void>): Promise<void> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) await onChunk(chunk);
      else if (this.#failure) throw this.#failure.error;
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

/** A file to transfer, from some byte on. */
export interface Transfer {
  url: string;
  /** Bytes that are here already. */
  from: number;
  /** What is known of the file. */
  served: Served;
  /** Whether its hash is known, so that a splice of two versions would be found out. */
  knownContents: boolean;
  /** Told what the server says, before the first byte and whenever it says more. */
  onServed(served: Served): Promise<void> | void;
  /** Takes the bytes, in order. */
  onChunk(chunk: Uint8Array): Promise<void> | void;
}

/**
 * Transfers the rest of a file.
 *
 * @throws an error report, {@link ChangedOnServer}, or the signal's reason
 */
export async function transfer(file: Transfer, context: TransferContext): Promise<void> {
  const { url, from, knownContents } = file;
  const { total } = file.served;
  if (total !== null && from >= total) return;
  const long = total !== null && total - from > SEGMENT;
  const end = long ? from + SEGMENT : null;
  const first = new Stretch(url, from, end, file.served, knownContents, true, context);
  // One failure ends the other segments: none of them would be used.
  const group = new AbortController();
  const shared = { ...context, signal: AbortSignal.any([context.signal, group.signal]) };
  const ahead: Ahead[] = [];
  let next = end ?? Number.POSITIVE_INFINITY;
  const fill = () => {
    const { total } = first.served;
    while (total !== null && next < total && ahead.length < PARALLEL_SEGMENTS - 1) {
      const end = Math.min(next + SEGMENT, total);
      const stretch = new Stretch(url, next, end, first.served, knownContents, false, shared);
      ahead.push(new Ahead(stretch));
      next = end;
    }
  };
  let announced = false;
  try {
    await first.run(
      async (chunk) => {
        if (!announced) await file.onServed(first.served);
        announced = true;
        await file.onChunk(chunk);
      },
      (_served, wholeFile) => {
        if (wholeFile) next = Number.POSITIVE_INFINITY;
        fill();
      },
    );
    for (let head = ahead.shift(); head; head = ahead.shift()) {
      fill();
      await head.drain(file.onChunk);
    }
  } catch (error) {
    group.abort();
    throw error;
  }
}
