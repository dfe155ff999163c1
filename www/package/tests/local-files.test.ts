// Files of this computer by their addresses, as Node reads them.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LoraLoom } from "../src/client.js";
import { nodeAddress } from "../src/node.js";
import { fetchLocalFile, localFolder, localRegistry } from "../src/worker/local-files.js";
import { files, registry } from "./fake-engine.js";
import { localWorker } from "./local-worker.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "loraloom files "));
});
afterEach(() => rmSync(folder, { recursive: true }));

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

test("addresses of registries, folders and files of weights", () => {
  expect(localRegistry("file:///a/library")).toBe("file:///a/library/registry.json");
  expect(localRegistry("file:///a/library/")).toBe("file:///a/library/registry.json");
  expect(localRegistry("file:///a/other.json")).toBe("file:///a/other.json");
  expect(localFolder("file:///a/b%20c")).toEqual({
    kind: "folder",
    url: "file:///a/b%20c/",
    file: null,
  });
  expect(localFolder("file:///a/m%20n.gguf")).toEqual({
    kind: "folder",
    url: "file:///a/",
    file: "m n.gguf",
  });
});

test("paths and addresses, as Node has them", () => {
  expect(nodeAddress("/a b/#c")).toBe("file:///a%20b/%23c");
  expect(nodeAddress("library")).toBe(pathToFileURL(join(process.cwd(), "library")).href);
  expect(nodeAddress("https://example.org/a")).toBe("https://example.org/a");
  expect(nodeAddress(new URL("file:///a"))).toBe("file:///a");
});

test("a library in a folder opens by its path and by its address", async () => {
  await writeFile(join(folder, "registry.json"), JSON.stringify(registry));
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
  for (const registryUrl of [folder, pathToFileURL(folder), join(folder, "registry.json")]) {
    const loom = await LoraLoom.open({ registryUrl, createWorker: localWorker });
    expect((await loom.loadModules(["one"]))[0]?.id).toBe("one");
    loom.dispose();
  }
  const registryUrl = join(folder, "elsewhere");
  const missing = LoraLoom.open({ registryUrl, createWorker: localWorker });
  await expect(missing).rejects.toMatchObject({ code: "not-found" });
  await expect(missing).rejects.toThrow("There is no such file: file://");
});
