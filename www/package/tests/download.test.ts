// Downloads from a hub on this machine over real HTTP: progress, hashes, storage, and the failures of
// servers, connections and disks.

import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Hub, startHub } from "../../../tests/e2e/hub.js";
import type { WorkerEvent } from "../src/protocol.js";
import {
  type DownloadContext,
  downloadFile,
  type RemoteFile,
  RestartRequired,
} from "../src/worker/download.js";
import { fetchFiles, fetchRegistry } from "../src/worker/fetch.js";
import { openStore } from "../src/worker/store.js";
import { downloadContext } from "./download-context.js";
import { sha256 } from "./fake-library.js";
import { MemoryFolder } from "./file-system.js";
import { memoryCaches, ORIGIN, serveLibrary, stalledBody } from "./server.js";

/** Bytes that look random, the same every time. */
function randomBytes(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

const SMALL = randomBytes(5000, 1);
/** Three segments. */
const LONG = randomBytes(20 * 2 ** 20 + 123, 2);
const REPO = "owner/name";

let hub: Hub;
let folder: MemoryFolder;
let events: WorkerEvent[];

beforeEach(async () => {
  hub = await startHub({ [REPO]: { "small.bin": SMALL, "long.bin": LONG } });
  folder = new MemoryFolder();
  events = [];
});
// Megabytes over HTTP, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 });
afterEach(async () => {
  vi.unstubAllGlobals();
  await hub.close();
});

const context = (overrides: Partial<DownloadContext> = {}) =>
  downloadContext(
    { stallSeconds: 2, onEvent: (event) => events.push(event), ...overrides },
    folder,
  );

function wanted(name: "small.bin" | "long.bin", known = true): RemoteFile {
  const bytes = name === "small.bin" ? SMALL : LONG;
  return {
    url: `${hub.url}/${REPO}/resolve/main/${name}`,
    bytes: known ? bytes.length : null,
    sha256: known ? sha256(bytes) : null,
  };
}

async function fetchOne(file: RemoteFile, overrides: Partial<DownloadContext> = {}) {
  const [bytes] = await fetchFiles([file], await context(overrides));
  return bytes as Uint8Array;
}

/** Compares without printing megabytes. */
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** The content network's requests for a file. */
const requestsFor = (name: string) =>
  hub.requests.filter((line) => line.startsWith(`GET /${REPO}/${name}`));

const progress = () => events.filter((event) => event.kind === "progress");
const stages = () => events.flatMap((event) => (event.kind === "stage" ? [event.text] : []));

describe("a file of the hub", () => {
  test("is fetched through its redirect, reports its bytes, and is stored", async () => {
    expect(same(await fetchOne(wanted("small.bin")), SMALL)).toBe(true);
    expect(progress().at(-1)).toMatchObject({ loaded: 5000, overallTotal: 5000, cached: false });
    await hub.close();
    events.length = 0;
    expect(same(await fetchOne(wanted("small.bin")), SMALL)).toBe(true);
    expect(progress().at(-1)).toMatchObject({ loaded: 5000, cached: true });
  });

  test("comes in segments, several at a time, in order", async () => {
    const pieces: Uint8Array[] = [];
    const sink = { push: (chunk: Uint8Array) => pieces.push(chunk), restart: () => false };
    const hash = await downloadFile(wanted("long.bin"), await context(), sink, () => undefined);
    expect(hash).toBe(sha256(LONG));
    expect(same(Buffer.concat(pieces), LONG)).toBe(true);
    expect(requestsFor("long.bin")).toHaveLength(3);
  });

  test("arrives whole through 20 cuts at random places", async () => {
    let state = 7;
    hub.faults.cuts = Array.from({ length: 20 }, () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return 1 + (state % 2 ** 20);
    });
    expect(same(await fetchOne(wanted("long.bin")), LONG)).toBe(true);
    expect(hub.faults.cuts).toEqual([]);
    expect(folder.files.size).toBe(2);
  });

  test("is resumed after the page was closed", async () => {
    const controller = new AbortController();
    const running = fetchOne(wanted("long.bin"), {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.kind === "progress" && event.loaded > 9 * 2 ** 20) controller.abort();
      },
    });
    // Without the bytes, which would be printed if it did not reject.
    await expect(running.then(() => null)).rejects.toMatchObject({ name: "AbortError" });
    const kept = folder.files.get(sha256(LONG)) as Uint8Array;
    expect(kept.length).toBeGreaterThan(9 * 2 ** 20);
    hub.requests.length = 0;
    expect(same(await fetchOne(wanted("long.bin")), LONG)).toBe(true);
    expect(requestsFor("long.bin")[0]).toContain(` bytes=${kept.length}-`);
    expect(progress()[0]).toMatchObject({ cached: true });
  });

  test("is fetched whole where ranges are not known", async () => {
    hub.faults.ignoresRanges = true;
    hub.faults.cuts = [3 * 2 ** 20, 5 * 2 ** 20];
    expect(same(await fetchOne(wanted("long.bin")), LONG)).toBe(true);
  });

  test("is requested again when the hub has too many requests", async () => {
    hub.faults.tooMany = 2;
    hub.faults.retryAfter = 0;
    expect(same(await fetchOne(wanted("small.bin")), SMALL)).toBe(true);
    hub.faults.tooMany = 1000;
    await expect(fetchOne({ ...wanted("long.bin") })).rejects.toMatchObject({
      code: "network",
      details: { status: 429 },
      why: expect.stringContaining("429"),
      next: expect.stringContaining("Wait"),
    });
  });

  test("is resumed after a stall, and rejects when no more bytes come", async () => {
    hub.faults.stalls = [2 ** 20];
    expect(same(await fetchOne(wanted("long.bin")), LONG)).toBe(true);
    folder.files.clear();
    hub.faults.stalls = [3000, 0, 0, 0, 0, 0];
    await expect(fetchOne(wanted("small.bin"), { stallSeconds: 0.2 })).rejects.toMatchObject({
      what: expect.stringContaining("stopped loading"),
      why: expect.stringContaining("3000 of 5000 bytes"),
    });
  });

  test("is rejected by its hash when it was changed, and is not stored", async () => {
    const changed = SMALL.slice();
    changed[100] = (changed[100] as number) ^ 1;
    hub.replace(REPO, "small.bin", changed);
    await expect(fetchOne(wanted("small.bin"))).rejects.toMatchObject({
      code: "integrity",
      what: expect.stringContaining("not the file"),
      why: expect.stringContaining(sha256(SMALL).slice(0, 12)),
    });
    expect(folder.files.size).toBe(0);
  });

  test("is rejected when it is too short or too long", async () => {
    hub.replace(REPO, "small.bin", SMALL.slice(0, 1500));
    await expect(fetchOne(wanted("small.bin"))).rejects.toMatchObject({
      why: expect.stringMatching(/Expected 5000 bytes.* 1500:/),
    });
    hub.replace(REPO, "small.bin", randomBytes(6000, 3));
    await expect(fetchOne(wanted("small.bin"))).rejects.toMatchObject({
      why: expect.stringContaining("more than 5000"),
    });
    expect(folder.files.size).toBe(0);
  });

  test("is fetched once for several requests of the same contents", async () => {
    const files = Array.from({ length: 8 }, () => wanted("small.bin"));
    const all = await fetchFiles(files, await context());
    expect(all.every((bytes) => same(bytes, SMALL))).toBe(true);
    expect(requestsFor("small.bin")).toHaveLength(1);
  });

  test("that is missing is requested once", async () => {
    await expect(
      fetchOne({ ...wanted("small.bin"), url: `${hub.url}/${REPO}/resolve/main/none` }),
    ).rejects.toMatchObject({ why: expect.stringContaining("404") });
    expect(hub.requests).toHaveLength(1);
  });

  test("stops at once when aborted, with the signal's reason", async () => {
    hub.faults.stalls = [2000];
    const controller = new AbortController();
    const running = fetchOne(wanted("small.bin"), { signal: controller.signal, stallSeconds: 60 });
    setTimeout(() => controller.abort(), 30);
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("a file of unknown hash", () => {
  test("is pinned at its first use, and read from storage afterwards", async () => {
    const file = wanted("small.bin", false);
    expect(same(await fetchOne(file), SMALL)).toBe(true);
    const [kept] = await (await context()).store.list();
    expect(kept).toMatchObject({ url: file.url, sha256: sha256(SMALL), known: false });
    hub.replace(REPO, "small.bin", randomBytes(5000, 9));
    expect(same(await fetchOne(file), SMALL)).toBe(true);
  });

  test("starts over when it changes between two ranges, never mixing two versions", async () => {
    const other = randomBytes(5000, 4);
    hub.faults.cuts = [3000];
    const file = wanted("small.bin", false);
    const running = fetchOne(file, {
      onEvent: (event) => {
        if (event.kind === "progress") hub.replace(REPO, "small.bin", other);
      },
    });
    expect(same(await running, other)).toBe(true);
  });

  test("that cannot start over rejects rather than mix two versions", async () => {
    hub.faults.cuts = [3000];
    const sink = {
      push: () => hub.replace(REPO, "small.bin", randomBytes(5000, 4)),
      restart: () => false,
    };
    const running = downloadFile(
      wanted("small.bin", false),
      await context(),
      sink,
      () => undefined,
    );
    await expect(running).rejects.toBeInstanceOf(RestartRequired);
  });
});

describe("a stored file", () => {
  test("is fetched again when it is damaged", async () => {
    await fetchOne(wanted("small.bin"));
    const damaged = folder.files.get(sha256(SMALL)) as Uint8Array;
    damaged[7] = (damaged[7] as number) ^ 1;
    expect(same(await fetchOne(wanted("small.bin")), SMALL)).toBe(true);
    expect(requestsFor("small.bin")).toHaveLength(2);
    expect(stages()).toEqual(["The stored copy of main/small.bin is damaged: fetching it again"]);
  });

  /** Fetches into a reader that refuses bytes other than those of `right`, as a format's reader does. */
  async function read(file: RemoteFile, right: Uint8Array) {
    let loaded = 0;
    const sink = {
      push(chunk: Uint8Array) {
        const expected = right.subarray(loaded, loaded + chunk.length);
        if (!same(chunk, expected)) throw new Error("not in this format");
        loaded += chunk.length;
      },
      restart() {
        loaded = 0;
        return true;
      },
    };
    await downloadFile(file, await context(), sink, () => undefined);
    return loaded;
  }

  test("is fetched again when its reader meets the damage before its hash does", async () => {
    const file = wanted("small.bin");
    await fetchOne(file);
    (folder.files.get(sha256(SMALL)) as Uint8Array).fill(0, 2500);
    expect(await read(file, SMALL)).toBe(SMALL.length);
    expect(stages()).toEqual(["The stored copy of main/small.bin is damaged: fetching it again"]);
    // What is whole, and what the reader refuses for good, is not fetched again.
    await expect(read(file, LONG)).rejects.toThrow("not in this format");
    expect(requestsFor("small.bin")).toHaveLength(2);
  });

  test("in part is fetched from its start when its reader refuses it", async () => {
    const file = wanted("small.bin");
    const { store } = await context();
    const writer = await store.append(sha256(SMALL), 0);
    await writer?.write(new Uint8Array(2000));
    const record = { key: sha256(SMALL), url: file.url, total: SMALL.length, etag: null };
    await writer?.describe({ ...record, sha256: null, known: true });
    await writer?.close();
    expect(await read(file, SMALL)).toBe(SMALL.length);
    expect(same(await fetchOne(file), SMALL)).toBe(true);
  });

  test.each([
    ["a web page", "<!doctype html><title>Home</title>"],
    ["a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n"],
  ])("that is %s, which nothing detected before, is asked for again", async (_, stands) => {
    hub.replace(REPO, "small.bin", new TextEncoder().encode(stands));
    const file = wanted("small.bin", false);
    await fetchOne(file, { detectPlaceholder: () => null });
    // While the host still has it, it is named and not kept.
    await expect(fetchOne(file)).rejects.toMatchObject({
      what: expect.stringContaining(", not the file."),
    });
    expect(await (await context()).store.list()).toEqual([]);
    hub.replace(REPO, "small.bin", SMALL);
    expect(same(await fetchOne(file), SMALL)).toBe(true);
  });

  test("is fetched again when the browser stops returning it", async () => {
    const message = "The browser did not return main/small.bin from storage: fetching it again";
    const { caches, stuck, kept } = memoryCaches();
    const stores = [await openStore({ getDirectory: folder.getDirectory }, 0.05)];
    stores.push(await openStore({ caches }, 0.05));
    for (const store of stores) {
      await fetchOne(wanted("small.bin"), { store });
      folder.stuck.middle.add(sha256(SMALL));
      for (const address of kept.keys()) if (!address.endsWith(".json")) stuck.add(address);
      events.length = 0;
      hub.requests.length = 0;
      expect(same(await fetchOne(wanted("small.bin"), { store }), SMALL)).toBe(true);
      expect(requestsFor("small.bin")).toHaveLength(1);
      expect(stages()).toEqual([message]);
    }
  });

  test("is dropped when the disk is full, and the download succeeds", async () => {
    folder.room = 10 * 2 ** 20;
    expect(same(await fetchOne(wanted("long.bin")), LONG)).toBe(true);
    expect(stages()).toEqual([expect.stringContaining("no room")]);
    expect(folder.files.size).toBe(0);
  });

  test("is skipped when the browser's file system does not respond", async () => {
    const store = await openStore({ getDirectory: folder.getDirectory }, 0.05);
    const key = sha256(SMALL);
    // Seen in Chromium: the file never opens, with no error, when everything else is there.
    folder.stuck.writing.add(key);
    expect(same(await fetchOne(wanted("small.bin"), { store }), SMALL)).toBe(true);
    expect(stages()).toEqual([
      "The browser cannot store main/small.bin: it will be fetched again next time",
    ]);
    folder.stuck.writing.clear();
    await fetchOne(wanted("small.bin"), { store });
    folder.stuck.reading.add(key);
    expect(same(await fetchOne(wanted("small.bin"), { store }), SMALL)).toBe(true);
    folder.stuck.reading.clear();
    folder.stuck.writing.add(`${key}.json`);
    expect(same(await fetchOne(wanted("small.bin"), { store }), SMALL)).toBe(true);
  });

  test("is left alone while another tab writes it", async () => {
    const { store } = await context();
    const writer = await store.append(sha256(SMALL), 0);
    expect(same(await fetchOne(wanted("small.bin")), SMALL)).toBe(true);
    await writer?.close();
  });

  test("is in the Cache API where there is no private file system", async () => {
    const { caches } = memoryCaches();
    const store = await openStore({ caches });
    expect(store.kind).toBe("cache");
    expect(same(await fetchOne(wanted("small.bin"), { store }), SMALL)).toBe(true);
    expect(await store.list()).toMatchObject([{ bytes: 5000, sha256: sha256(SMALL) }]);
    await hub.close();
    expect(same(await fetchOne(wanted("small.bin"), { store }), SMALL)).toBe(true);
    await store.remove(sha256(SMALL));
    expect(await store.list()).toEqual([]);
  });

  test("is skipped where the browser offers no storage", async () => {
    const refused = async () => Promise.reject(new DOMException("private", "SecurityError"));
    const store = await openStore({ getDirectory: refused });
    expect(store.kind).toBe("memory");
    expect(same(await fetchOne(wanted("small.bin"), { store }), SMALL)).toBe(true);
  });

  test("is another one, or none, where the browser does not open it in time", async () => {
    const never = <T>() => new Promise<T>(() => undefined);
    const { caches } = memoryCaches();
    const folders = [never<FileSystemDirectoryHandle>, folder.getDirectory];
    folder.stuck.opening = true;
    for (const getDirectory of folders) {
      expect((await openStore({ getDirectory, caches }, 0.05)).kind).toBe("cache");
    }
    const stuck = { open: never } as unknown as CacheStorage;
    expect((await openStore({ caches: stuck }, 0.05)).kind).toBe("memory");
  });

  test("says so where its files are not listed in time", async () => {
    const store = await openStore({ getDirectory: folder.getDirectory }, 0.05);
    folder.stuck.listing = true;
    await expect(store.list()).rejects.toMatchObject({ name: "TimeoutError" });
  });

  test("can be deleted", async () => {
    await fetchOne(wanted("small.bin"));
    const { store } = await context();
    await store.remove(sha256(SMALL));
    expect(folder.files.size).toBe(0);
  });
});

describe("If-Range", () => {
  test("is sent to the page's own server", async () => {
    const tag = `"${createHash("sha256").update(SMALL).digest("hex")}"`;
    const asked: Headers[] = [];
    vi.stubGlobal("location", { origin: new URL(ORIGIN).origin });
    serveLibrary((_path, headers) => {
      asked.push(headers);
      if (asked.length === 1) {
        return new Response(stalledBody(SMALL.slice(0, 3000)), { headers: { ETag: tag } });
      }
      return new Response(SMALL, { headers: { ETag: tag } });
    });
    const file = { url: `${ORIGIN}file`, bytes: null, sha256: null };
    expect(same(await fetchOne(file), SMALL)).toBe(true);
    expect(asked[1]?.get("If-Range")).toBe(tag);
    expect(asked[1]?.get("Range")).toBe("bytes=3000-");
  });
});

test("a file that another tab downloads is waited for, by name, and read from the store", async () => {
  const file = wanted("small.bin");
  let release = () => {};
  const other = new Promise<void>((resolve) => {
    release = resolve;
  });
  const request = vi.fn(
    async (_name: string, options: LockOptions, work: (lock: unknown) => unknown) => {
      if (options.ifAvailable) return work(null);
      await other;
      return work({});
    },
  );
  vi.stubGlobal("navigator", { locks: { request } });
  const second = fetchOne(file);
  await vi.waitFor(() => {
    expect(events).toContainEqual({
      kind: "stage",
      text: "Another tab downloads main/small.bin: waiting for it",
    });
  });
  expect(hub.requests).toEqual([]);
  release();
  expect(same(await second, SMALL)).toBe(true);
  expect(request.mock.calls.map(([name]) => name)).toEqual(
    Array(2).fill(`loraloom download ${sha256(SMALL)}`),
  );
});

describe("a registry", () => {
  const REGISTRY = `${ORIGIN}registry.json`;
  const parse = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));

  test("is read from the store when the server does not answer, and only then", async () => {
    const titles = ["one", "two"];
    const served = () => Promise.resolve(Response.json({ title: titles.shift() }));
    serveLibrary(served);
    await fetchRegistry(REGISTRY, parse, await context());
    const second = await fetchRegistry(REGISTRY, parse, await context());
    expect(second.registry).toEqual({ title: "two" });
    serveLibrary(() => Promise.reject(new TypeError("connection refused")));
    const third = await fetchRegistry(REGISTRY, parse, await context());
    expect(third).toEqual({ registry: { title: "two" }, url: REGISTRY });
    expect(events).toContainEqual({
      kind: "stage",
      text: "No answer from the server: using the stored /registry.json",
    });
    // An answer that it is gone is an answer.
    serveLibrary(() => new Response("", { status: 404 }));
    await expect(fetchRegistry(REGISTRY, parse, await context())).rejects.toMatchObject({
      code: "not-found",
    });
  });

  test("is not asked for where the browser has no network", async () => {
    serveLibrary(() => Response.json({ title: "one" }));
    await fetchRegistry(REGISTRY, parse, await context());
    const asked = vi.fn();
    serveLibrary(asked);
    vi.stubGlobal("navigator", { onLine: false });
    const { registry } = await fetchRegistry(REGISTRY, parse, await context());
    expect(registry).toEqual({ title: "one" });
    expect(asked).not.toHaveBeenCalled();
  });

  test("that its reader refuses is not stored", async () => {
    serveLibrary(() => new Response("{"));
    await expect(fetchRegistry(REGISTRY, parse, await context())).rejects.toThrow(SyntaxError);
    serveLibrary(() => Promise.reject(new TypeError("connection refused")));
    await expect(fetchRegistry(REGISTRY, parse, await context())).rejects.toMatchObject({
      code: "network",
    });
  });

  test("that gets no response rejects with the reason", async () => {
    serveLibrary(() => Promise.reject(new TypeError("connection refused")));
    await expect(fetchRegistry(REGISTRY, parse, await context())).rejects.toMatchObject({
      why: expect.stringContaining("connection refused"),
    });
  });

  test("that is too large is rejected", async () => {
    serveLibrary(() => new Response(new Uint8Array(9 * 2 ** 20)));
    await expect(fetchRegistry(REGISTRY, parse, await context())).rejects.toMatchObject({
      what: expect.stringContaining("too large"),
    });
  });
});
