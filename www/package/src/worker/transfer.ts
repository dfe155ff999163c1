// The transfer of one file over HTTP, from any byte on. Long files come in ranges, several at a time.
// A transfer that stalls or breaks is resumed from the last byte. The contents are not judged here.

import { loraLoomError } from "./errors.js";
import {
  ChangedOnServer,
  contentRange,
  type HttpContext,
  lengthHint,
  Retryable,
  readBody,
  requestFile,
  retrying,
  type Served,
  strongEtag,
} from "./http.js";

/** Bytes of one range of a long file; a file with more is a long one. */
const RANGE_BYTES = 8 * 2 ** 20;
/** Ranges of a file in flight at the same time: with their length, the memory that they take. */
const PARALLEL_RANGES = 4;

/** One range of a file, with its retries. */
class RangeRequest {
  readonly #url: string;
  readonly #context: HttpContext;
  /** The version of the file whose bytes are here. */
  readonly served: Served;
  /** The next byte to fetch. */
  position: number;
  /** The byte after the last one to fetch; null for the end of the file. */
  #end: number | null;
  readonly #knownContents: boolean;
  /** Whether a server that sends the whole file in place of the range is read to the end. */
  readonly #takesWhole: boolean;

  constructor(
    url: string,
    position: number,
    end: number | null,
    served: Served,
    knownContents: boolean,
    takesWhole: boolean,
    context: HttpContext,
  ) {
    this.#url = url;
    this.#context = context;
    this.position = position;
    this.#end = end;
    this.served = { ...served };
    this.#knownContents = knownContents;
    this.#takesWhole = takesWhole;
  }

  /** Fetches the range; `onServed` is called before its first byte. */
  run(
    onChunk: (chunk: Uint8Array) => void | Promise<void>,
    onServed: (served: Served, wholeFile: boolean) => void = () => undefined,
  ): Promise<void> {
    const stalled = () =>
      loraLoomError("stalled", {
        url: this.#url,
        seconds: this.#context.stallSeconds,
        loaded: this.position,
        total: this.served.total ?? "an unknown number of",
      });
    return retrying(
      async () => {
        // A body that broke after its last byte is complete.
        const known = this.#end ?? this.served.total;
        if (this.position > 0 && known !== null && this.position >= known) return;
        const response = await requestFile(this.#url, this.#init(), this.#context, stalled);
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
          const sizes = { expected: end, found: this.position };
          throw new Retryable(loraLoomError("wrong-size", { url: this.#url, ...sizes }));
        }
      },
      () => this.position,
      this.#context,
    );
  }

  #init(): RequestInit {
    // Revalidated: a list of files that is out of date names outdated hashes.
    if (this.position === 0 && this.#end === null) return { cache: "no-cache" };
    const last = this.#end === null ? "" : this.#end - 1;
    const headers: Record<string, string> = { Range: `bytes=${this.position}-${last}` };
    // Across origins `If-Range` needs a preflight, which content networks may refuse; the tag of the
    // response is compared anyway.
    const { etag } = this.served;
    if (etag && new URL(this.#url).origin === globalThis.location?.origin) {
      headers["If-Range"] = etag;
    }
    return { headers, cache: "no-store" };
  }

  /** Compares a response with the bytes that are here; returns how many of its first bytes are. */
  #check(response: Response): number {
    const range = response.status === 206 ? contentRange(response) : null;
    // Without the header, which a server must expose to other sites, the response is taken to be the
    // range; the hash or the length is checked in the end.
    const start = range?.start ?? (response.status === 206 ? this.position : 0);
    const total = range?.total ?? this.served.total;
    const etag = strongEtag(response);
    const started = this.position > 0 || this.served.etag !== null;
    const otherTag = etag !== null && this.served.etag !== null && etag !== this.served.etag;
    const otherTotal = this.served.total !== null && total !== this.served.total;
    const wrongStart = start > this.position;
    // A server that starts over repeats the same bytes only if the file cannot have changed.
    const blindRestart =
      response.status === 200 && this.position > 0 && !this.#knownContents && etag === null;
    const otherVersion = otherTotal || (otherTag && !this.#knownContents);
    if (started && (wrongStart || blindRestart || otherVersion)) {
      throw new ChangedOnServer(this.#url, total);
    }
    // The header has the length of the body in transit, perhaps compressed: enough for progress, not
    // for a check.
    this.served.total = total ?? lengthHint(response);
    this.served.etag = etag ?? this.served.etag;
    this.served.url = response.url || this.#url;
    if (total !== null && this.#end !== null) this.#end = Math.min(this.#end, total);
    return this.position - start;
  }
}

/** A range that is fetched before its chunks are read. */
class Prefetch {
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #failure: { error: unknown } | null = null;
  #wake: () => void = () => undefined;

  constructor(range: RangeRequest) {
    range
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
  /** The version whose bytes are here. */
  served: Served;
  /** Whether its hash is known, so that a mix of two versions is detected. */
  knownContents: boolean;
  /** Called with what the server says, before the first byte. */
  onServed(served: Served): Promise<void> | void;
  /** Called with the bytes, in order. */
  onChunk(chunk: Uint8Array): Promise<void> | void;
}

/**
 * Transfers the rest of a file.
 *
 * @throws a `LoraLoomError`, {@link ChangedOnServer}, or the signal's reason
 */
export async function transfer(file: Transfer, context: HttpContext): Promise<void> {
  const { url, from, knownContents } = file;
  const { total } = file.served;
  if (total !== null && from >= total) return;
  const long = total !== null && total - from > RANGE_BYTES;
  const end = long ? from + RANGE_BYTES : null;
  const first = new RangeRequest(url, from, end, file.served, knownContents, true, context);
  // One failure ends the other ranges: none of them would be used.
  const group = new AbortController();
  const shared = { ...context, signal: AbortSignal.any([context.signal, group.signal]) };
  const prefetched: Prefetch[] = [];
  let next = end ?? Number.POSITIVE_INFINITY;
  const fill = () => {
    const { total } = first.served;
    while (total !== null && next < total && prefetched.length < PARALLEL_RANGES - 1) {
      const end = Math.min(next + RANGE_BYTES, total);
      const range = new RangeRequest(url, next, end, first.served, knownContents, false, shared);
      prefetched.push(new Prefetch(range));
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
    for (let head = prefetched.shift(); head; head = prefetched.shift()) {
      fill();
      await head.drain(file.onChunk);
    }
  } catch (error) {
    group.abort();
    throw error;
  }
}
