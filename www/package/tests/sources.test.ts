// Parsing of sources, and the files that they resolve to.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Hub, startHub } from "../../../tests/e2e/hub.js";
import { DEFAULT_HUB, filesSource, parseSource } from "../src/sources.js";
import type { DownloadContext } from "../src/worker/download.js";
import {
  adapterFolder,
  baseFolder as baseFolderBy,
  type FolderSource,
  type Piece,
} from "../src/worker/folder.js";
import { openStore } from "../src/worker/store.js";
import { fakeModule, sha256 } from "./fake-engine.js";
import { MemoryFolder } from "./file-system.js";

const hubSource = (repo: string, revision = "main", file: string | null = null) => ({
  kind: "hub" as const,
  host: DEFAULT_HUB,
  repo,
  revision,
  file,
});

describe("parseSource", () => {
  test.each([
    ["google/flan-t5-small", hubSource("google/flan-t5-small")],
    [" lorahub/flan_t5_large-ag_news_subset ", hubSource("lorahub/flan_t5_large-ag_news_subset")],
    ["owner/name@v1.0", hubSource("owner/name", "v1.0")],
    ["owner/name/model-q8_0.gguf", hubSource("owner/name", "main", "model-q8_0.gguf")],
    [`${DEFAULT_HUB}/google/flan-t5-base`, hubSource("google/flan-t5-base")],
    [`${DEFAULT_HUB}/google/flan-t5-base/tree/abc123`, hubSource("google/flan-t5-base", "abc123")],
    [
      `${DEFAULT_HUB}/owner/name/blob/main/small.gguf`,
      hubSource("owner/name", "main", "small.gguf"),
    ],
    [
      "https://host.test/models/t5",
      { kind: "folder", url: "https://host.test/models/t5/", file: null },
    ],
    [
      "https://host.test/models/t5.gguf",
      { kind: "folder", url: "https://host.test/models/", file: "t5.gguf" },
    ],
  ])("reads %s", (text, expected) => {
    expect(parseSource(text)).toEqual(expected);
  });

  test("takes another hub's address", () => {
    expect(parseSource("owner/name", "https://hub.test/")).toMatchObject({
      host: "https://hub.test",
    });
    expect(parseSource("https://hub.test/owner/name", "https://hub.test")).toMatchObject({
      kind: "hub",
      repo: "owner/name",
    });
  });

  test.each(["", "flan", "two words/here", "../../etc", "javascript:alert(1)", "https://"])(
    "refuses %j",
    (text) => {
      expect(() => parseSource(text)).toThrow(/names no model/);
    },
  );
});

const text = (value: string) => new TextEncoder().encode(value);
const WEIGHTS = text("w".repeat(2000));
const SHARDS = {
  "config.json": text("{}"),
  "spiece.model": text("s".repeat(1500)),
  "model.safetensors.index.json": text(
    JSON.stringify({
      weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
    }),
  ),
  "model-00001-of-00002.safetensors": WEIGHTS,
  "model-00002-of-00002.safetensors": WEIGHTS,
};

describe("the files of a source", () => {
  let hub: Hub;
  let context: DownloadContext;
  const baseFolder = (source: FolderSource) => baseFolderBy(source, fakeModule, context);

  beforeEach(async () => {
    hub = await startHub({
      "owner/whole": {
        "config.json": text("{}"),
        "tokenizer.json": text("{}"),
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": WEIGHTS,
      },
      "owner/shards": SHARDS,
      "owner/gguf": {
        "config.json": text("{}"),
        "tokenizer.json": text("{}"),
        "model-q4_k.gguf": WEIGHTS,
        "model-Q8_0.gguf": WEIGHTS,
      },
      "owner/adapter": { "adapter_config.json": text("{}"), "adapter_model.bin": WEIGHTS },
      "owner/nothing": { "README.md": text("# Nothing") },
    });
    context = {
      signal: new AbortController().signal,
      stallSeconds: 5,
      newHasher: () => new fakeModule.Sha256(),
      onEvent: () => undefined,
      store: await openStore({ getDirectory: new MemoryFolder().getDirectory }),
    };
  });
  afterEach(() => hub.close());

  const onHub = (repo: string, file: string | null = null) =>
    ({ kind: "hub", host: hub.url, repo, revision: "main", file }) as const;
  const inFolder = (repo: string) =>
    ({ kind: "folder", url: `${hub.url}/${repo}/resolve/main/`, file: null }) as const;
  const names = (pieces: Piece[]) =>
    pieces.map((piece) => (piece instanceof Blob ? "blob" : piece.url.split("/").at(-1)));

  test("a hub's list gives lengths and hashes", async () => {
    const { id, weights, tokenizer } = await baseFolder(onHub("owner/whole"));
    expect(id).toBe("owner/whole");
    expect(weights).toMatchObject([{ bytes: 2000, sha256: sha256(WEIGHTS) }]);
    expect(names([...weights, tokenizer])).toEqual(["model.safetensors", "tokenizer.json"]);
  });

  test.each([["hub"], ["folder"]])("shards are found by their index in a %s", async (kind) => {
    const source = kind === "hub" ? onHub("owner/shards") : inFolder("owner/shards");
    const { weights, tokenizer } = await baseFolder(source);
    expect(names([...weights, tokenizer])).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "spiece.model",
    ]);
  });

  test("the preferred GGUF is taken, or the named one", async () => {
    const best = await baseFolder(onHub("owner/gguf"));
    expect(names(best.weights)).toEqual(["model-Q8_0.gguf"]);
    const named = await baseFolder(onHub("owner/gguf", "model-q4_k.gguf"));
    expect(names(named.weights)).toEqual(["model-q4_k.gguf"]);
  });

  test("an adapter may be a .bin, on a hub or in a folder", async () => {
    for (const source of [onHub("owner/adapter"), inFolder("owner/adapter")]) {
      const { weights } = await adapterFolder(source, context);
      expect(names([weights])).toEqual(["adapter_model.bin"]);
    }
  });

  test("a hub's list is stored for when the server does not respond", async () => {
    await baseFolder(onHub("owner/whole"));
    await hub.close();
    const { weights } = await baseFolder(onHub("owner/whole"));
    expect(names(weights)).toEqual(["model.safetensors"]);
  });

  test("a folder's host that does not respond is named in the error", async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "localhost", resolve));
    const url = `http://localhost:${(silent.address() as AddressInfo).port}/model/`;
    context.stallSeconds = 0.1;
    await expect(baseFolder({ kind: "folder", url, file: null })).rejects.toMatchObject({
      code: "network",
      what: `${url} could not be reached.`,
      why: expect.stringContaining("nothing came for 0.1 seconds"),
    });
    silent.closeAllConnections();
    silent.close();
  });

  test("a missing file is named, with the files that are there", async () => {
    await expect(baseFolder(onHub("owner/nothing"))).rejects.toMatchObject({
      why: "Expected config.json, found README.md.",
    });
    await expect(adapterFolder(inFolder("owner/nothing"), context)).rejects.toMatchObject({
      what: expect.stringContaining("was not found, or lacks a file"),
      why: "Expected adapter_config.json, found no such file.",
    });
  });

  test("of files of this computer, the folder of the topmost configuration counts", async () => {
    const blob = new Blob(["x"]);
    const source = filesSource([
      { path: "t5/checkpoints/config.json", contents: blob },
      { path: "t5/config.json", contents: blob },
      { path: "t5/tokenizer.json", contents: blob },
      { path: "t5/model.safetensors", contents: blob },
    ]);
    if (source.kind === "registry") throw new Error("files were given");
    const { title, weights } = await baseFolder(source);
    expect(title).toBe("t5");
    expect(names(weights)).toEqual(["blob"]);
  });
});
