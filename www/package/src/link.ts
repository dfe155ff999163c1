// The page's end of the worker: posts requests, and settles the calls that wait for an answer.

import { LoraLoomError, loraLoomError } from "./errors.js";
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

interface Pending {
  resolve(result: never): void;
  reject(error: unknown): void;
  onEvent(event: WorkerEvent): void;
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

/** The worker and the calls that wait for it. */
export class Link {
  /** Called once for each crash, after the new worker is created. */
  onCrash: (error: LoraLoomError) => void = () => undefined;
  /** Called when the state of the GPU changed. */
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

  /** Posts a request; `stop` ends it with what was reached, the signal of the options rejects it. */
  call<K extends RequestKind>(
    request: WorkerRequest<K>,
    { signal, onProgress, onStage }: CallOptions = {},
    onEvent: (event: Requests[K]["event"]) => void = () => undefined,
    stop?: AbortSignal,
  ): Promise<Answer<K>> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) return Promise.reject(loraLoomError("disposed", {}));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      let overdue: ReturnType<typeof setTimeout> | undefined;
      const end = (message: ToWorker) => {
        this.#worker.postMessage(message);
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
      this.#worker.postMessage({ id, request: request as WorkerRequest });
      signal?.addEventListener("abort", onAbort);
      stop?.addEventListener("abort", onStop);
      if (stop?.aborted) onStop();
    });
  }

  /** Ends the worker. Calls that wait for it reject. */
  close(): void {
    this.#closed = true;
    this.#worker.terminate();
    this.#rejectAll(loraLoomError("disposed-during-call", {}));
  }

  #start(): WorkerLike {
    const worker = this.#create();
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#crash(loraLoomError("worker-failed", { reason: event.message ?? "" }, event.error));
    };
    return worker;
  }

  #receive(message: FromWorker): void {
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
    this.#worker.terminate();
    this.#rejectAll(error);
    if (this.#closed) return;
    this.#worker = this.#start();
    this.onCrash(error);
  }

  #rejectAll(error: LoraLoomError): void {
    for (const pending of this.#pending.values()) {
      pending.release();
      pending.reject(error);
    }
    this.#pending.clear();
  }
}
