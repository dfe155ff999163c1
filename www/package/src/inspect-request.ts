// The request that starts an engine, from the options of a client.

import { nodeAddress } from "./node.js";
import type { InspectOptions } from "./options.js";
import type { WorkerRequest } from "./protocol.js";

const DEFAULT_STALL_SECONDS = 15;

export function inspectRequest(options: InspectOptions): WorkerRequest<"inspect"> {
  return {
    kind: "inspect",
    registryUrl: absolute(options.registryUrl),
    device: options.device ?? "wasm",
    threads: options.threads ?? null,
    wasmUrl: options.wasmUrl ? absolute(options.wasmUrl) : null,
    hub: options.hub ?? "",
    stallSeconds: options.stallSeconds ?? DEFAULT_STALL_SECONDS,
    storageFolder: options.storageFolder === undefined ? null : String(options.storageFolder),
  };
}

/** An address or, in Node, a path, as an absolute address. */
export function absolute(url: string | URL): string {
  try {
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    return base === undefined ? nodeAddress(url) : new URL(url, base).href;
  } catch {
    // The engine refuses it, with a message.
    return String(url);
  }
}
