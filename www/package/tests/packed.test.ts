// The packed copy of a base: stored after the first load, read in place of the files the next time, and
// not used when anything about it is wrong.

import { beforeEach, describe, expect, test } from "vitest";
import type { Precision, WorkerEvent } from "../src/protocol.js";
import { loadBase } from "../src/worker/base.js";
import type { DownloadContext } from "../src/worker/download.js";
import { type BasePieces, NONE_BESIDE } from "../src/worker/pieces.js";
import { openStore, toStoredFile } from "../src/worker/store.js";
import { downloadContext } from "./download-context.js";
import { fakeModule } from "./fake-engine.js";
import { files, registry, sha256 } from "./fake-library.js";
import { FakeSession } from "./fake-session.js";
import { MemoryFolder } from "./file-system.js";
import { ORIGIN, serveLibrary } from "./server.js";

const WEIGHTS = "base/model.gguf";

let folder: MemoryFolder;
let asked: string[];
let events: WorkerEvent[];

beforeEach(() => {
  folder = new MemoryFolder();
  asked = serveLibrary();
  events = [];
});

const context = (overrides: Partial<DownloadContext> = {}) =>
  downloadContext(
    { stallSeconds: 2, onEvent: (event) => events.push(event), ...overrides },
    folder,
  );

/** The library's base; `known`: whether the hashes of its files are given. */
function pieces(known = true): BasePieces {
  const { id, title, license, files } = registry.bases[0] as (typeof registry.bases)[0];
  const wanted = ({ path, bytes, sha256 }: typeof files.weights) =>
    known
      ? { url: ORIGIN + path, bytes, sha256 }
      : { url: ORIGIN + path, bytes: null, sha256: null };
  return {
    id,
    title,
    license,
    commit: null,
    config: wanted(files.config),
    tokenizer: wanted(files.tokenizer),
    ...NONE_BESIDE,
    weights: [wanted(files.weights)],
  };
}

async function load(
  base: BasePieces = pieces(),
  precision: Precision = "int8",
  overrides: Partial<DownloadContext> = {},
) {
  const { load, sha256 } = await loadBase(base, precision, fakeModule, await context(overrides));
  return new FakeSession().finishBase(load, sha256);
}

const copies = () => [...folder.files.keys()].filter((name) => /^packed-.*[0-9a-f]$/.test(name));

const stages = () => events.flatMap((event) => (event.kind === "stage" ? [event.text] : []));

/** Whether the last load read the file of weights. */
const weightsRead = () =>
  events.some((event) => event.kind === "progress" && event.total === files.get(WEIGHTS)?.length);

describe("a packed copy", () => {
  test("is stored after the first load and read the next time, without the file", async () => {
    const first = await load();
    expect(copies()).toHaveLength(1);
    // Also where the file itself is no longer stored.
    await (await context()).store.remove(sha256(files.get(WEIGHTS) as Uint8Array));
    asked.length = 0;
    events.length = 0;
    expect(await load()).toEqual(first);
    expect(asked).toEqual([]);
    expect(weightsRead()).toBe(false);
    const last = events.findLast((event) => event.kind === "progress");
    expect(last).toMatchObject({ cached: true, file: WEIGHTS });
  });

  test("is marked in the list of stored files", async () => {
    await load();
    const kept = (await (await context()).store.list()).map(toStoredFile);
    expect(kept.filter(({ packed }) => packed)).toMatchObject([
      { url: ORIGIN + WEIGHTS, complete: true, pinned: false },
    ]);
  });

  test.each([
    ["changed", (bytes: Uint8Array) => bytes.fill(0x61, -2, -1)],
    ["cut short", (bytes: Uint8Array) => bytes.slice(0, -1)],
    ["empty", () => new Uint8Array()],
  ])("that was %s is replaced, from the file", async (_, damage) => {
    const first = await load();
    const [name] = copies() as [string];
    const good = (folder.files.get(name) as Uint8Array).slice();
    folder.files.set(name, damage(good.slice()) as Uint8Array<ArrayBuffer>);
    events.length = 0;
    expect(await load()).toEqual(first);
    expect(weightsRead()).toBe(true);
    expect(stages()[0]).toContain("The stored packed weights are damaged");
    expect(folder.files.get(name)).toEqual(good);
  });

  test("that the browser stops returning is replaced by the file", async () => {
    const store = await openStore({ getDirectory: folder.getDirectory }, 0.05);
    const first = await load(pieces(), "int8", { store });
    const [name] = copies() as [string];
    folder.stuck.middle.add(name);
    events.length = 0;
    expect(await load(pieces(), "int8", { store })).toEqual(first);
    expect(weightsRead()).toBe(true);
    expect(stages()[0]).toContain("The browser did not return the packed weights from storage");
  });

  test("of a file that is another one now is not used", async () => {
    await load(pieces(false));
    const before = files.get(WEIGHTS) as Uint8Array;
    const { store } = await context();
    const kept = (await store.list()).find(
      ({ url, key }) => url.endsWith(WEIGHTS) && !copies().includes(key),
    );
    await store.remove(kept?.key as string);
    files.set(WEIGHTS, new TextEncoder().encode("other weights"));
    try {
      // The first load after that cannot detect it; the file is fetched for another precision.
      await load(pieces(false), "f32");
      expect(await load(pieces(false))).toMatchObject({ bytes: 13 });
    } finally {
      files.set(WEIGHTS, before);
    }
  });

  test("of another layout is removed when one of this layout is stored", async () => {
    await load();
    const [name] = copies() as [string];
    const old = name.replace("packed-1-", "packed-0-");
    for (const end of ["", ".json"]) {
      folder.files.set(old + end, folder.files.get(name + end) as Uint8Array<ArrayBuffer>);
    }
    await (await context()).store.remove(name);
    await load();
    expect(copies()).toEqual([name]);
  });

  test("is not made in f32, nor of files of this computer", async () => {
    await load(pieces(), "f32");
    const blob = new Blob(["w"]);
    await load({ ...pieces(), weights: [blob] });
    expect(copies()).toEqual([]);
  });

  test("of a GGUF file alone needs no other file, and is not that of the file beside others", async () => {
    const before = files.get(WEIGHTS) as Uint8Array;
    files.set(WEIGHTS, new TextEncoder().encode(`GGUF\n${"w".repeat(5000)}`));
    try {
      const nothing = { config: null, tokenizer: null };
      const alone = { ...pieces(false), ...nothing };
      const first = await load(alone);
      expect(asked).toEqual([WEIGHTS]);
      const [name] = copies();
      asked.length = 0;
      events.length = 0;
      expect(await load(alone)).toEqual(first);
      expect(asked).toEqual([]);
      expect(weightsRead()).toBe(false);
      await load(pieces(false));
      expect(copies()).not.toContain(name);
      expect(stages().join()).not.toContain("damaged");
    } finally {
      files.set(WEIGHTS, before);
    }
  });

  test("is dropped when the disk is full", async () => {
    folder.room = 60;
    await load();
    expect(copies()).toEqual([]);
    expect(stages().at(-1)).toContain("no room to store the packed weights");
  });

  test("of which only a part was written is not there", async () => {
    const controller = new AbortController();
    const running = load(pieces(), "int8", {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.kind === "stage") controller.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
    expect(copies()).toEqual([]);
    const { store } = await context();
    expect((await store.list()).every(({ sha256 }) => sha256 !== null)).toBe(true);
  });
});
