// The worker behind a client, and the calls that wait for it.

import { LoraLoomError } from "./errors.js";
import type { ErrorReport, Event, GpuStatus, Request } from "./generated/protocol.js";
import type { Answers, FromWorker, Progress, ToWorker } from "./messages.js";

/** The part of a `Worker` that the client uses. */
export interface WorkerLike {
  onmessage: ((message: MessageEvent<FromWorker>) => void) | null;
  onerror: ((error: ErrorEvent) => void) | null;
  postMessage(message: ToWorker): void;
  terminate(): void;
}

/** How to stop a call, and where its downloads report. */
export interface CallOptions {
  /** Stops the call. Learning, tests and answers then resolve with what they have. */
  signal?: AbortSignal;
  /** Bytes fetched, from the cache too. */
  onProgress?: (progress: Progress) => void;
  /** What is being done, in words. */
  onStage?: (text: string) => void;
}

/** A worker that does not answer for so long after a cancel is replaced: no step takes this long. */
const STOP_SECONDS = 10;

interface Pending {
  resolve(result: never): void;
  reject(error: unknown): void;
  onEvent(event: Event): void;
  signal: AbortSignal | undefined;
  release(): void;
}

/** The package's own worker. */
export function createWorker(): WorkerLike {
  // Bundlers look for exactly this expression.
  return new Worker(new URL("./worker.js", import.meta.url), {
    type: "module",
    name: "loraloom",
  }) as WorkerLike;
}

const HUNG: ErrorReport = {
  what: "The engine was ended.",
  why: `It did not stop within ${STOP_SECONDS} seconds of being asked to.`,
  next: "It is started again with what was loaded. Try once more.",
};

/** The worker and the calls that wait for it. */
export class Link {
  /** Told once for each crash, after the new worker is there. */
  onCrash: (report: ErrorReport) => void = () => undefined;
  /** Told when the graphics card is used, or is not any more. */
  onGpu: (status: GpuStatus) => void = () => undefined;
  readonly #create: () => WorkerLike;
  readonly #pending = new Map<number, Pending>();
  #worker: WorkerLike;
  #next = 1;
  #closed = false;

  constructor(create: () => WorkerLike) {
    this.#create = create;
    this.#worker = this.#start();
  }

  call<R extends Request>(
    request: R,
    { signal, onProgress, onStage }: CallOptions = {},
    onEvent?: (event: Event) => void,
  ): Promise<Answers[R["kind"]]> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) {
      return Promise.reject(
        new LoraLoomError({
          what: "The engine is closed.",
          why: "dispose() was called.",
          next: "Open it again.",
        }),
      );
    }
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      let overdue: ReturnType<typeof setTimeout> | undefined;
      const cancel = () => {
        this.#worker.postMessage({ id, cancel: true });
        overdue = setTimeout(() => this.#crash(HUNG), STOP_SECONDS * 1000);
      };
      signal?.addEventListener("abort", cancel);
      this.#pending.set(id, {
        resolve,
        reject,
        signal,
        release: () => {
          clearTimeout(overdue);
          signal?.removeEventListener("abort", cancel);
        },
        onEvent: (event) => {
          if (event.kind === "progress") onProgress?.(event);
          else if (event.kind === "stage") onStage?.(event.text);
          else if (event.kind === "gpu") this.onGpu(event.status);
          else onEvent?.(event);
        },
      });
      this.#worker.postMessage({ id, request });
    });
  }

  close(): void {
    this.#closed = true;
    this.#worker.terminate();
    this.#rejectAll({
      what: "The engine was closed.",
      why: "dispose() was called while this ran.",
      next: "Open it again.",
    });
  }

  #start(): WorkerLike {
    const worker = this.#create();
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onerror = (error) => {
      error.preventDefault();
      this.#crash({
        what: "The engine stopped.",
        why: error.message || "The worker's script did not load.",
        next: "Reload the page; if it happens again, the site's files may be incomplete.",
      });
    };
    return worker;
  }

  #receive(message: FromWorker): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ("event" in message) {
      pending.onEvent(message.event);
      return;
    }
    this.#pending.delete(message.id);
    pending.release();
    if ("result" in message) {
      pending.resolve(message.result as never);
    } else if ("aborted" in message) {
      pending.reject(pending.signal?.reason);
    } else if ("error" in message) {
      pending.reject(new LoraLoomError(message.error));
    } else {
      pending.reject(new LoraLoomError(message.crashed));
      this.#crash(message.crashed);
    }
  }

  #crash(report: ErrorReport): void {
    this.#worker.terminate();
    this.#rejectAll(report);
    if (this.#closed) return;
    this.#worker = this.#start();
    this.onCrash(report);
  }

  #rejectAll(report: ErrorReport): void {
    for (const pending of this.#pending.values()) {
      pending.release();
      pending.reject(new LoraLoomError(report));
    }
    this.#pending.clear();
  }
}
