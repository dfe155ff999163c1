// Files of this computer by their addresses, as Node reads them.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LoraLoom } from "../src/client.js";
import { nodeAddress } from "../src/node.js";
import { fetchLocalFile } from "../src/worker/local-files.js";
import { files, registry } from "./fake-library.js";
import { localWorker } from "./local-worker.js";
import { ORIGIN, serveLibrary } from "./server.js";

// A busy machine takes seconds for these files.
vi.setConfig({ testTimeout: 60_000 });

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "loraloom files "));
});
afterEach(() => {
  vi.unstubAllGlobals();
  rmSync(folder, { recursive: true });
});

describe("a file's response", () => {
  const get = (init: RequestInit = {}) =>
    fetchLocalFile(pathToFileURL(join(folder, "a.txt")).href, init);
  beforeEach(() => writeFileSync(join(folder, "a.txt"), "0123456789"));

  test("has the whole file, with its length and a tag", async () => {
    const response = await get();
    expect([response.status, response.headers.get("Content-Length")]).toEqual([200, "10"]);
    expect(response.headers.get("ETag")).toMatch(/^"10-/);
    expect(await response.text()).toBe("0123456789");
  });

  test("has a range, also one beyond the end", async () => {
    const part = await get({ headers: { Range: "bytes=2-4" } });
    expect([part.status, part.headers.get("Content-Range")]).toEqual([206, "bytes 2-4/10"]);
    expect(await part.text()).toBe("234");
    const rest = await get({ headers: { Range: "bytes=8-99" } });
    expect(await rest.text()).toBe("89");
    const beyond = await get({ headers: { Range: "bytes=10-" } });
    expect([beyond.status, beyond.headers.get("Content-Range")]).toEqual([416, "bytes */10"]);
  });

  test("of HEAD has no body, and of an empty file an empty one", async () => {
    const head = await get({ method: "HEAD" });
    expect([head.headers.get("Content-Length"), await head.text()]).toEqual(["10", ""]);
    writeFileSync(join(folder, "a.txt"), "");
    expect(await (await get()).text()).toBe("");
  });

  test("is 404 for what is missing, and for a folder", async () => {
    for (const name of ["b.txt", "a.txt/b.txt", ""]) {
      const url = pathToFileURL(join(folder, name)).href;
      expect((await fetchLocalFile(url, {})).status).toBe(404);
    }
  });
});

test("a folder stores what was fetched, for the next process", async () => {
  const storageFolder = join(folder, "stored");
  const open = () =>
    LoraLoom.open({
      registryUrl: `${ORIGIN}registry.json`,
      createWorker: localWorker,
      storageFolder,
    });
  const asked = serveLibrary();
  const loom = await open();
  await loom.loadModules(["one"]);
  const { kind, files: stored } = await loom.storage();
  expect(kind).toBe("file-system");
  expect(stored.every(({ complete }) => complete)).toBe(true);
  loom.dispose();
  asked.length = 0;
  const again = await open();
  await again.loadModules(["one"]);
  expect(asked).toEqual(["registry.json"]);
  const keys = stored.map(({ key }) => key);
  expect((await again.deleteStored(keys)).files).toEqual([]);
  expect(readdirSync(storageFolder)).toEqual([]);
  again.dispose();
});

test("a damaged file in the folder is fetched again", async () => {
  const options = {
    registryUrl: `${ORIGIN}registry.json`,
    createWorker: localWorker,
    storageFolder: pathToFileURL(join(folder, "stored")),
  };
  serveLibrary();
  const loom = await LoraLoom.open(options);
  const [info] = await loom.loadModules(["one"]);
  const stored = (await loom.storage()).files.find(({ sha256 }) => sha256 === info?.sha256);
  loom.dispose();
  writeFileSync(join(folder, "stored", stored?.key ?? ""), "damaged");
  const asked = serveLibrary();
  const again = await LoraLoom.open(options);
  expect((await again.loadModules(["one"]))[0]?.sha256).toBe(info?.sha256);
  expect(asked).toHaveLength(2);
  again.dispose();
});

test("a place that is no folder of this computer is refused", async () => {
  const options = { registryUrl: folder, createWorker: localWorker };
  const open = LoraLoom.inspect({ ...options, storageFolder: "https://example.org/" });
  await expect(open).rejects.toMatchObject({ code: "unsupported" });
});

test("a folder that cannot be opened is an error with its path", async () => {
  writeFileSync(join(folder, "file"), "");
  const storageFolder = join(folder, "file/stored");
  serveLibrary();
  const registryUrl = `${ORIGIN}registry.json`;
  const open = LoraLoom.inspect({ registryUrl, createWorker: localWorker, storageFolder });
  await expect(open).rejects.toMatchObject({ code: "invalid-input" });
  await expect(open).rejects.toThrow(storageFolder);
});

test("paths and addresses, as Node has them", () => {
  expect(nodeAddress("/a b/#c")).toBe("file:///a%20b/%23c");
  expect(nodeAddress("library")).toBe(pathToFileURL(join(process.cwd(), "library")).href);
  expect(nodeAddress("https://example.org/a")).toBe("https://example.org/a");
  expect(nodeAddress(new URL("file:///a"))).toBe("file:///a");
});

test("a library, a model and an adapter in folders open by their paths or addresses", async () => {
  await writeFile(join(folder, "registry.json"), JSON.stringify(registry));
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
  for (const registryUrl of [folder, pathToFileURL(folder), join(folder, "registry.json")]) {
    const loom = await LoraLoom.open({ registryUrl, createWorker: localWorker });
    expect((await loom.loadModules(["one"]))[0]?.id).toBe("one");
    const folderOf = (name: string) => pathToFileURL(join(folder, name)).href;
    expect((await loom.addModule("mine", folderOf("modules/two"))).id).toBe("mine");
    expect((await loom.load({ source: folderOf("base/model.gguf") })).bytes).toBeDefined();
    const nothing = loom.load({ source: folderOf("nothing") });
    await expect(nothing).rejects.toMatchObject({ code: "not-found" });
    loom.dispose();
  }
  const registryUrl = join(folder, "elsewhere");
  const missing = LoraLoom.open({ registryUrl, createWorker: localWorker });
  await expect(missing).rejects.toMatchObject({ code: "not-found" });
  await expect(missing).rejects.toThrow("There is no such file: file://");
});
