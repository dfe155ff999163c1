// Downloads: progress, the hash, the cache, and every way in which a server can fail.

import { afterEach, describe, expect, test, vi } from "vitest";
import type { Event } from "../src/generated/protocol.js";
import { type DownloadContext, fetchFiles, fetchRegistry } from "../src/worker/download.js";
import { fakeModule, files, registry } from "./fake-engine.js";
import { memoryCache, ORIGIN, serveLibrary, stalledBody } from "./server.js";

afterEach(() => vi.unstubAllGlobals());

function setUp(overrides: Partial<DownloadContext> = {}) {
  const events: Event[] = [];
  const cache = memoryCache();
  const context: DownloadContext = {
    signal: new AbortController().signal,
    stallSeconds: 0.05,
    newHasher: () => new fakeModule.Sha256(),
    onEvent: (event) => events.push(event),
    openCache: cache.openCache,
    ...overrides,
  };
  return { context, events, kept: cache.kept };
}

const weights = registry.bases[0]?.files.weights as (typeof registry.bases)[0]["files"]["weights"];
const wanted = [{ url: ORIGIN + weights.path, file: weights }];
const whole = files.get(weights.path) as Uint8Array<ArrayBuffer>;

describe("fetchFiles", () => {
  test("reports bytes up to the whole, and keeps the file for next time", async () => {
    const asked = serveLibrary();
    const { context, events } = setUp();
    expect(await fetchFiles(wanted, context)).toEqual([whole]);
    expect(events.at(-1)).toMatchObject({ loaded: 5000, overallTotal: 5000, cached: false });
    events.length = 0;
    expect(await fetchFiles(wanted, context)).toEqual([whole]);
    expect(events.at(-1)).toMatchObject({ loaded: 5000, cached: true });
    expect(asked).toEqual([weights.path]);
  });

  test("fetches anew what was damaged in the cache", async () => {
    const asked = serveLibrary();
    const { context, kept } = setUp();
    await fetchFiles(wanted, context);
    const damaged = whole.slice();
    damaged[7] = 0;
    kept.set([...kept.keys()][0] as string, damaged);
    expect(await fetchFiles(wanted, context)).toEqual([whole]);
    expect(asked).toHaveLength(2);
  });

  test("refuses a changed file by its hash and keeps nothing of it", async () => {
    const changed = whole.slice();
    changed[100] = 0;
    serveLibrary(() => new Response(changed));
    const { context, kept } = setUp();
    await expect(fetchFiles(wanted, context)).rejects.toMatchObject({
      what: expect.stringContaining("not the file"),
      why: expect.stringContaining(weights.sha256.slice(0, 12)),
    });
    expect(kept.size).toBe(0);
  });

  test("names a missing file without asking again", async () => {
    const asked = serveLibrary(() => new Response("", { status: 404 }));
    await expect(fetchFiles(wanted, setUp().context)).rejects.toMatchObject({
      why: expect.stringContaining("404"),
    });
    expect(asked).toHaveLength(1);
  });

  test("goes on after a stall from where it stopped", async () => {
    const asked = serveLibrary((_path, headers) => {
      const from = Number(headers.get("Range")?.match(/\d+/)?.[0] ?? Number.NaN);
      if (Number.isNaN(from)) return new Response(stalledBody(whole.slice(0, 3000)));
      return new Response(whole.slice(from), {
        status: 206,
        headers: { "Content-Range": `bytes ${from}-4999/5000` },
      });
    });
    expect(await fetchFiles(wanted, setUp().context)).toEqual([whole]);
    expect(asked).toEqual([weights.path, `${weights.path} bytes=3000-`]);
  });

  test("starts over where the server cannot resume", async () => {
    let calls = 0;
    serveLibrary(() => new Response(calls++ ? whole : stalledBody(whole.slice(0, 3000))));
    expect(await fetchFiles(wanted, setUp().context)).toEqual([whole]);
  });

  test("gives up on a server that stalls twice, and says how far it came", async () => {
    serveLibrary(() => new Response(stalledBody(whole.slice(0, 3000))));
    await expect(fetchFiles(wanted, setUp().context)).rejects.toMatchObject({
      what: expect.stringContaining("stopped loading"),
      why: expect.stringContaining("3000 of 5000 bytes"),
    });
  });

  test("refuses a file that is shorter or longer than the registry says", async () => {
    serveLibrary(() => new Response(whole.slice(0, 10)));
    await expect(fetchFiles(wanted, setUp().context)).rejects.toMatchObject({
      why: expect.stringMatching(/Expected 5000 bytes.* 10:/),
    });
    serveLibrary(() => new Response(new Uint8Array(6000)));
    await expect(fetchFiles(wanted, setUp().context)).rejects.toMatchObject({
      why: expect.stringContaining("more than 5000"),
    });
  });

  test("stops at once when aborted, with the signal's reason", async () => {
    serveLibrary(() => new Response(stalledBody(whole.slice(0, 10))));
    const controller = new AbortController();
    const { context } = setUp({ signal: controller.signal, stallSeconds: 60 });
    const running = fetchFiles(wanted, context);
    setTimeout(() => controller.abort(), 10);
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
  });

  test("works without a cache", async () => {
    serveLibrary();
    const { context } = setUp({ openCache: async () => null });
    expect(await fetchFiles(wanted, context)).toEqual([whole]);
  });
});

describe("fetchRegistry", () => {
  test("says that nothing answered", async () => {
    serveLibrary(() => Promise.reject(new TypeError("connection refused")));
    await expect(fetchRegistry(`${ORIGIN}registry.json`, setUp().context)).rejects.toMatchObject({
      why: expect.stringContaining("connection refused"),
    });
  });

  test("refuses a registry without end", async () => {
    serveLibrary(() => new Response(new Uint8Array(9 * 2 ** 20)));
    await expect(fetchRegistry(`${ORIGIN}registry.json`, setUp().context)).rejects.toMatchObject({
      what: expect.stringContaining("too large"),
    });
  });
});
