// The page's end of the worker: posts requests, and settles the calls that wait for an answer.

import { LoraLoomError, loraLoomError, reasonOf } from "./errors.js";
import { here } from "./here.js";
import {
  blobWorker,
  hasNodeWorkers,
  isOtherOrigin,
  nodeWorker,
  WORKER_NAME,
} from "./module-worker.js";
import type {
  Answer,
  FromWorker,
  GpuStatus,
  Progress,
  RequestKind,
  Requests,
  ToWorker,
  WorkerEvent,
  WorkerRequest,
} from "./protocol.js";
import { isTimeout, withTimeout } from "./timeout.js";

/** The part of a `Worker` that the client uses. */
export interface WorkerLike {
  onmessage: ((message: MessageEvent<FromWorker>) => void) | null;
  onerror: ((error: ErrorEvent) => void) | null;
  postMessage(message: ToWorker): void;
  terminate(): void;
}

/** Options of every call. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called with the bytes fetched so far, files from storage included. */
  onProgress?: (progress: Progress) => void;
  /** Called with each stage of the call, as a phrase. */
  onStage?: (text: string) => void;
}

/** A worker that does not end a call within so many seconds is replaced: no step takes this long. */
const STOP_SECONDS = 10;
/** Crashes within so many seconds after which the worker is not replaced any more. */
const MAX_CRASHES = 5;
const CRASH_SECONDS = 60;
/** Wait before the second replacement within that time in milliseconds; doubled for each one after it. */
const FIRST_WAIT = 250;
/** Seconds in which the worker's scripts load. */
const START_SECONDS = 30;

interface Pending {
  resolve(result: never): void;
  reject(error: unknown): void;
  onEvent(event: WorkerEvent): void;
  signal: AbortSignal | undefined;
  release(): void;
}

/** The package's own worker. */
export function createWorker(): WorkerLike {
  if (here !== null) {
    const script = new URL("./worker.js", here);
    if (hasNodeWorkers()) return nodeWorker(script, WORKER_NAME);
    if (isOtherOrigin(here)) return blobWorker(script.href, WORKER_NAME);
  }
  // Bundlers look for exactly this expression.
  return new Worker(new URL("./worker.js", import.meta.url), {
    type: "module",
    name: "loraloom",
  }) as WorkerLike;
}

/** A worker, and whether it runs. */
interface Started {
  worker: WorkerLike;
  /** Messages that wait until it runs; null once it does. */
  waiting: ToWorker[] | null;
  /** Called once it runs. */
  onReady(): void;
}

/** The worker and the calls that wait for it. */
export class Link {
  /**
   * Called once for each crash, with the milliseconds to wait before the next call, which starts a new worker; for the
   * last one, after which the worker is not replaced, with {@link ended}. A worker that never ran is not replaced.
   */
  onCrash: (error: LoraLoomError, wait: number) => void = () => undefined;
  /** Called when the state of the GPU changed. */
  onGpu: (status: GpuStatus) => void = () => undefined;
  readonly #create: () => WorkerLike;
  readonly #pending = new Map<number, Pending>();
  #started: Started | null = null;
  #next = 1;
  #closed = false;
  /** When the worker crashed, the last times. */
  #crashes: number[] = [];
  /** Why it is not replaced any more, until that is set to null. */
  ended: LoraLoomError | null = null;

  constructor(create: () => WorkerLike) {
    this.#create = create;
  }

  /** Posts a request; `stop` ends it with what was reached, the signal of the options rejects it. */
  call<K extends RequestKind>(
    request: WorkerRequest<K>,
    { signal, onProgress, onStage }: CallOptions = {},
    onEvent: (event: Requests[K]["event"]) => void = () => undefined,
    stop?: AbortSignal,
  ): Promise<Answer<K>> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) return Promise.reject(loraLoomError("disposed", {}));
    if (this.ended) return Promise.reject(this.ended);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      let overdue: ReturnType<typeof setTimeout> | undefined;
      const end = (message: ToWorker) => {
        this.#post(message);
        overdue ??= setTimeout(
          () => this.#crash(loraLoomError("worker-hung", { seconds: STOP_SECONDS })),
          STOP_SECONDS * 1000,
        );
      };
      const onAbort = () => end({ id, abort: true });
      const onStop = () => end({ id, stop: true });
      this.#pending.set(id, {
        resolve,
        reject,
        signal,
        release: () => {
          clearTimeout(overdue);
          signal?.removeEventListener("abort", onAbort);
          stop?.removeEventListener("abort", onStop);
        },
        onEvent: (event) => {
          if (event.kind === "progress") onProgress?.(event);
          else if (event.kind === "stage") onStage?.(event.text);
          else if (event.kind === "gpu") this.onGpu(event.status);
          else onEvent(event as Requests[K]["event"]);
        },
      });
      signal?.addEventListener("abort", onAbort);
      stop?.addEventListener("abort", onStop);
      this.#post({ id, request: request as WorkerRequest });
      if (stop?.aborted && this.#pending.has(id)) onStop();
    });
  }

  /** Ends the worker. Calls that wait for it reject. */
  close(): void {
    this.#closed = true;
    this.end();
    this.#rejectAll(loraLoomError("disposed-during-call", {}));
  }

  #post(message: ToWorker): void {
    const started = this.#started ?? this.#start();
    if (started?.waiting) started.waiting.push(message);
    else started?.worker.postMessage(message);
  }

  /** Starts a worker; null where the page does not let it, after which nothing is pending. */
  #start(): Started | null {
    let worker: WorkerLike;
    try {
      worker = this.#create();
    } catch (error) {
      this.#fail(loraLoomError("worker-refused", { reason: reasonOf(error) }, error));
      return null;
    }
    const started: Started = { worker, waiting: [], onReady: () => undefined };
    const ready = new Promise<void>((resolve) => {
      started.onReady = resolve;
    });
    withTimeout(ready, START_SECONDS).catch((error) => {
      if (this.#started !== started || !isTimeout(error)) return;
      this.#fail(loraLoomError("worker-slow", { seconds: START_SECONDS }));
    });
    worker.onmessage = ({ data }) => {
      if (this.#started === started) this.#receive(data, started);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#started !== started) return;
      const reason = event.message ?? "";
      if (started.waiting) this.#fail(loraLoomError("worker-not-loaded", { reason }, event.error));
      else this.#crash(loraLoomError("worker-failed", { reason }, event.error));
    };
    this.#started = started;
    return started;
  }

  #receive(message: FromWorker, started: Started): void {
    if ("ready" in message) {
      const waiting = started.waiting ?? [];
      started.waiting = null;
      started.onReady();
      for (const one of waiting) started.worker.postMessage(one);
      return;
    }
    if ("notLoaded" in message) {
      this.#fail(loraLoomError("worker-not-loaded", { reason: message.notLoaded }));
      return;
    }
    if ("crashed" in message) {
      this.#crash(new LoraLoomError(message.crashed));
      return;
    }
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ("event" in message) {
      pending.onEvent(message.event);
      return;
    }
    this.#pending.delete(message.id);
    pending.release();
    if (pending.signal?.aborted) {
      // Also where the answer was posted before the worker received the abort.
      pending.reject(pending.signal.reason);
    } else if ("result" in message) {
      pending.resolve(message.result as never);
    } else if ("error" in message) {
      pending.reject(new LoraLoomError(message.error, { cause: message.cause }));
    }
  }

  #crash(error: LoraLoomError): void {
    if (this.#closed) return;
    const now = performance.now();
    this.#crashes = this.#crashes.filter((time) => now - time < CRASH_SECONDS * 1000);
    this.#crashes.push(now);
    const times = this.#crashes.length;
    if (times >= MAX_CRASHES) {
      const data = { times, reason: error.why };
      this.ended = loraLoomError("keeps-crashing", data, error);
      this.#crashes = [];
    }
    this.#fail(error);
    this.onCrash(this.ended ?? error, times > 1 ? FIRST_WAIT * 2 ** (times - 2) : 0);
  }

  /** Ends the worker; the next call starts another one. */
  #fail(error: LoraLoomError): void {
    this.end();
    this.#rejectAll(error);
  }

  /** Ends the worker while no call waits for it; the next call starts another one. */
  end(): void {
    this.#started?.worker.terminate();
    this.#started?.onReady();
    this.#started = null;
  }

  #rejectAll(error: LoraLoomError): void {
    for (const pending of this.#pending.values()) {
      pending.release();
      pending.reject(error);
    }
    this.#pending.clear();
  }
}
