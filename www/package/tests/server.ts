// A `fetch` that serves the library's files, with the faults of a test.

import { vi } from "vitest";
import { files, registry } from "./fake-library.js";

export const ORIGIN = "https://library.test/";

/** The response to one request; null for the library's own. */
export type Fault = (path: string, headers: Headers) => Response | Promise<Response> | null;

/** Replaces `fetch`; returns the list of requested paths. */
export function serveLibrary(fault: Fault = () => null): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit = {}) => {
    const path = String(url).slice(ORIGIN.length);
    const headers = new Headers(init.headers);
    asked.push(headers.has("Range") ? `${path} ${headers.get("Range")}` : path);
    const faulty = await fault(path, headers);
    if (faulty) return faulty;
    if (path === "registry.json") return new Response(JSON.stringify(registry));
    const bytes = files.get(path);
    return bytes
      ? new Response(bytes as Uint8Array<ArrayBuffer>)
      : new Response("no such file", { status: 404 });
  });
  return asked;
}

/** A body that sends `bytes` and then nothing more. */
export function stalledBody(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.enqueue(bytes) });
}

/** A browser's caches in memory; those of `stuck` stop in the middle of being read. */
export function memoryCaches() {
  const kept = new Map<string, Uint8Array<ArrayBuffer>>();
  const stuck = new Set<string>();
  const cache = {
    keys: async () => [...kept.keys()].map((url) => ({ url })),
    match: async (key: string) => {
      const bytes = kept.get(key);
      if (!bytes) return undefined;
      const half = () => stalledBody(bytes.subarray(0, bytes.length / 2));
      return new Response(stuck.has(key) ? half() : bytes);
    },
    put: async (key: string, response: Response) => {
      kept.set(key, new Uint8Array(await response.arrayBuffer()));
    },
    delete: async (key: string) => kept.delete(key),
  };
  return { kept, stuck, caches: { open: async () => cache } as unknown as CacheStorage };
}
