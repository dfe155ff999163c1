// Module workers at any address: browsers start workers from the page's own origin only, and Node in
// threads. The entry of each worker is in its own module.

import { nodeModule, nodeProcess } from "./node.js";

/** Name of the package's worker, by which its script finds in Node that it runs in one. */
export const WORKER_NAME = "loraloom";

/** The part of a `Worker` that is used here, with messages of any type. */
export interface ModuleWorker {
  // A worker's owner narrows the types of its messages.
  // biome-ignore lint/suspicious/noExplicitAny: see above.
  onmessage: ((message: MessageEvent<any>) => void) | null;
  onerror: ((error: ErrorEvent) => void) | null;
  postMessage(message: unknown): void;
  terminate(): void;
}

/** What a worker posts where its script on another origin does not load. */
export interface NotLoaded {
  /** The words of the failure. */
  notLoaded: string;
}

/** Whether browsers refuse to start a worker at an address directly. */
export function isOtherOrigin(url: string): boolean {
  return /^https?:/.test(url) && new URL(url).origin !== globalThis.origin;
}

/** Whether workers are threads of Node, Deno or Bun, and not those of a page. */
export function hasNodeWorkers(): boolean {
  const isPage = "document" in globalThis && "Worker" in globalThis;
  return !isPage && nodeModule("node:worker_threads") !== null;
}

/** Starts a worker in a thread of Node; the worker finds `name` in its `workerData`. */
export function nodeWorker(url: URL, name: string): ModuleWorker {
  const threads = nodeModule("node:worker_threads");
  if (!threads) throw new Error("There are no workers here.");
  const thread = new threads.Worker(url, { name, workerData: { name } });
  const worker: ModuleWorker = {
    onmessage: null,
    onerror: null,
    postMessage: (message) => thread.postMessage(message),
    terminate: () => void thread.terminate(),
  };
  thread.on("message", (data: unknown) => worker.onmessage?.({ data } as MessageEvent));
  thread.on("error", (error) => {
    // As in browsers, an error that the owner does not handle is one of its own.
    if (!worker.onerror) throw error;
    const event = { message: error.message, error, preventDefault: () => undefined };
    worker.onerror(event as unknown as ErrorEvent);
  });
  return worker;
}

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): string };
}

/** The address of a script, as pages with the policy `require-trusted-types-for` take it. */
function trustedUrl(url: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  policy ??= trustedTypes?.createPolicy("loraloom", { createScriptURL: (url) => url }) ?? null;
  return policy?.createScriptURL(url) ?? url;
}
let policy: ReturnType<TrustedTypes["createPolicy"]> | null = null;

/** Starts a worker by a script of the page's own origin. */
export function directWorker(url: string, name: string): ModuleWorker {
  return new Worker(trustedUrl(url), { type: "module", name });
}

/**
 * Starts a worker by a script of the page's own origin that imports the module. Where the module does
 * not load, the worker posts {@link NotLoaded}.
 */
export function blobWorker(url: string, name: string): ModuleWorker {
  const code = `import(${JSON.stringify(url)}).catch((error) => postMessage({ notLoaded: String(error) }));`;
  const blob = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const worker = new Worker(trustedUrl(blob), { type: "module", name });
  const revoke = () => URL.revokeObjectURL(blob);
  worker.addEventListener("message", revoke, { once: true });
  worker.addEventListener("error", revoke, { once: true });
  return worker;
}

/** The worker's end of a {@link ModuleWorker}. */
export interface WorkerPort {
  onmessage: ((message: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
  /** Sets what is called with errors that no promise carries; it returns whether it handled one. */
  onUncaught(listener: (error: unknown) => boolean): void;
}

/** The end of a worker that {@link nodeWorker} started under `name`; null in any other place. */
export function nodePort(name: string): WorkerPort | null {
  const { parentPort, workerData } = nodeModule("node:worker_threads") ?? {};
  // Test runners and programs have workers of their own.
  if (!parentPort || (workerData as { name?: unknown } | null)?.name !== name) return null;
  const port: WorkerPort = {
    onmessage: null,
    postMessage: (message) => parentPort.postMessage(message),
    onUncaught: (listener) => {
      nodeProcess()?.on("uncaughtException", (error, origin) => {
        // As in browsers, a promise without a handler ends nothing.
        if (!listener(error) && origin === "uncaughtException") throw error;
      });
    },
  };
  parentPort.on("message", (data: unknown) => port.onmessage?.({ data } as MessageEvent));
  return port;
}

/** The end of a browser's worker, of one with that name if it is given; null in any other place. */
export function scopePort(name?: string): WorkerPort | null {
  if (!("DedicatedWorkerGlobalScope" in globalThis)) return null;
  const scope = globalThis as unknown as WorkerPort & {
    name: string;
    onerror: OnErrorEventHandler;
  };
  if (name !== undefined && scope.name !== name) return null;
  return Object.assign(scope, {
    onUncaught: (listener: (error: unknown) => boolean) => {
      scope.onerror = (_message, _source, _line, _column, error) => listener(error);
    },
  });
}
