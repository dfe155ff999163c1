// The files that sources resolve to. How addresses are read is tested beside the engine's resolver.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Hub, startHub } from "../../../tests/e2e/hub.js";
import type { FilesSource, RegistryFile, RegistryModule } from "../src/protocol.js";
import type { DownloadContext, RemoteFile } from "../src/worker/download.js";
import { fetchFiles } from "../src/worker/fetch.js";
import {
  adapterFolder,
  baseFolder as baseFolderBy,
  type FolderSource,
} from "../src/worker/folder.js";
import { Library } from "../src/worker/library.js";
import { NONE_BESIDE, type Piece } from "../src/worker/pieces.js";
import { downloadContext } from "./download-context.js";
import { fakeModule } from "./fake-engine.js";
import { registry, sha256 } from "./fake-library.js";

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

const POINTER = text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 2000\n");

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
      "owner/folders": {
        "adapter_config.json": text("root"),
        "adapter_model.bin": WEIGHTS,
        "checkpoint-500/adapter_config.json": text("500"),
        "checkpoint-500/adapter_model.safetensors": WEIGHTS,
      },
      "owner/pointers": {
        "config.json": text("{}"),
        "tokenizer.json": POINTER,
        "spiece.model": text("s".repeat(1500)),
        "model.safetensors": POINTER,
        "pytorch_model.bin": WEIGHTS,
        "adapter_config.json": text("{}"),
        "adapter_model.safetensors": POINTER,
        "added_tokens.json": text("added"),
        "tokenizer_config.json": text("config"),
        "special_tokens_map.json": text("map"),
        "generation_config.json": text("settings"),
      },
      "owner/nothing": { "README.md": text("# Nothing") },
      "owner/alone": { "README.md": text("# GGUF"), "model-Q8_0.gguf": WEIGHTS },
      "owner/lost-config": { "spiece.model": text("s"), "model-Q8_0.gguf": WEIGHTS },
      "owner/lost-gguf": { "README.md": text("# GGUF"), "model-Q8_0.gguf": POINTER },
    });
    context = await downloadContext();
  });
  afterEach(() => hub.close());

  const onHub = (repo: string, file: string | null = null) =>
    ({ kind: "hub", host: hub.url, repo, revision: "main", file }) as const;
  const inFolder = (repo: string) =>
    ({ kind: "folder", url: `${hub.url}/${repo}/resolve/main/`, file: null }) as const;
  const names = (pieces: (Piece | null)[]) =>
    pieces.map((piece) => (piece instanceof Blob ? "blob" : piece?.url.split("/").at(-1)));

  test("a hub's list gives lengths and hashes", async () => {
    const { id, weights, tokenizer } = await baseFolder(onHub("owner/whole"));
    expect(id).toBe("owner/whole");
    expect(weights).toMatchObject([{ bytes: 2000, sha256: sha256(WEIGHTS) }]);
    expect(names([...weights, tokenizer])).toEqual(["model.safetensors", "tokenizer.json"]);
  });

  describe("at a branch of a hub", () => {
    const tree = (commit: string | null) => `GET /api/models/owner/whole/tree/${commit}`;
    const read = (pieces: (Piece | null)[]) => fetchFiles(pieces as RemoteFile[], context);

    test("are those of the commit that it is at, which is asked for once", async () => {
      const { commit, config, weights } = await baseFolder(onHub("owner/whole"));
      expect(commit).toMatch(/^[0-9a-f]{40}$/);
      expect(hub.requests).toEqual(["GET /api/models/owner/whole/revision/main", tree(commit)]);
      // The branch moves on before the files are fetched.
      hub.replace("owner/whole", "config.json", text('{"newer":true}'));
      hub.replace("owner/whole", "model.safetensors", text("n".repeat(2000)));
      expect(await read([config, ...weights])).toEqual([text("{}"), WEIGHTS]);
      const newer = await baseFolder(onHub("owner/whole"));
      expect(newer.commit).not.toBe(commit);
      expect(await read([newer.config])).toEqual([text('{"newer":true}')]);
    });

    test("stay stored when a commit leaves them alone", async () => {
      const before = await baseFolder(onHub("owner/whole"));
      await read([before.config, ...before.weights]);
      hub.replace("owner/whole", "pytorch_model.bin", text("n".repeat(2000)));
      const after = await baseFolder(onHub("owner/whole"));
      expect(after.commit).not.toBe(before.commit);
      hub.requests.length = 0;
      expect(await read([after.config, ...after.weights])).toEqual([text("{}"), WEIGHTS]);
      expect(hub.requests).toEqual([]);
    });

    test("are those of a commit that the address names, which nobody is asked for", async () => {
      const { commit } = await baseFolder(onHub("owner/whole"));
      hub.replace("owner/whole", "config.json", text('{"newer":true}'));
      hub.requests.length = 0;
      const pinned = await baseFolder({ ...onHub("owner/whole"), revision: commit ?? "" });
      expect(pinned.commit).toBe(commit);
      expect(hub.requests).toEqual([tree(commit)]);
      expect(await read([pinned.config])).toEqual([text("{}")]);
    });

    test("are those of the branch where a host does not say its commit", async () => {
      const fetched = globalThis.fetch;
      vi.stubGlobal("fetch", async (url: string, init?: RequestInit) =>
        url.includes("/revision/") ? new Response("", { status: 404 }) : fetched(url, init),
      );
      try {
        const { commit, config } = await baseFolder(onHub("owner/whole"));
        expect(commit).toBeNull();
        expect(await read([config])).toEqual([text("{}")]);
      } finally {
        vi.unstubAllGlobals();
      }
    });
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

  describe("of a registry on a hub", () => {
    const WRONG = "0".repeat(64);
    const config = { path: "hub:owner/adapter@main/adapter_config.json", bytes: 0, sha256: "" };
    const weights = { path: "hub:owner/adapter@main/adapter_model.bin", bytes: 0, sha256: "" };
    const tokenizer = { path: "hub:owner/whole@main/tokenizer.json", bytes: 0, sha256: "" };
    const baseConfig = { ...tokenizer, path: "hub:owner/whole@main/config.json" };
    const baseWeights = { ...tokenizer, path: "hub:owner/whole@main/model.safetensors" };
    const small = { bytes: 2, sha256: sha256(text("{}")) };
    const large = { bytes: WEIGHTS.length, sha256: sha256(WEIGHTS) };

    /** A library with these files of its base and its module. */
    async function library(base: RegistryFile[], module: RegistryFile[]): Promise<Library> {
      const [config, tokenizer, weights] = base;
      const entry = { ...registry.modules[0], files: { config: module[0], weights: module[1] } };
      const bases = [{ ...registry.bases[0], files: { config, tokenizer, weights } }];
      const listed = { ...registry, bases, modules: [entry] };
      const url = "https://library.test/registry.json";
      const answer = globalThis.fetch;
      vi.stubGlobal("fetch", async (address: string, init: RequestInit) =>
        String(address) === url ? new Response(JSON.stringify(listed)) : answer(address, init),
      );
      return Library.open({ registryUrl: url, hub: hub.url }, fakeModule, context);
    }
    afterEach(() => void vi.unstubAllGlobals());

    const files = [baseConfig, tokenizer, baseWeights, config, weights];
    const exact = [small, small, large, small, large];
    const cases = files.flatMap(({ path }, index) => {
      const one = exact[index] as typeof small;
      const name = path.slice("hub:owner/".length);
      return [
        { name, index, wrong: { bytes: one.bytes, sha256: WRONG }, code: "integrity" },
        { name, index, wrong: { bytes: 0, sha256: WRONG }, code: "integrity" },
        { name, index, wrong: { bytes: one.bytes + 1, sha256: one.sha256 }, code: "integrity" },
        { name, index, wrong: { bytes: one.bytes - 1, sha256: "" }, code: "integrity" },
        { name, index, wrong: { bytes: one.bytes + 1, sha256: "" }, code: "integrity" },
      ];
    });

    async function readAll(entries: RegistryFile[]): Promise<void> {
      const opened = await library(entries.slice(0, 3), entries.slice(3));
      const base = await opened.basePieces(null, context);
      const module = await opened.modulePieces(
        opened.registry.modules[0] as RegistryModule,
        context,
      );
      const pieces = [base.config, base.tokenizer, ...base.weights, module.config, module.weights];
      await fetchFiles(pieces as RemoteFile[], context);
    }

    test.each(cases)("a wrong %o is refused", async ({ index, wrong, code }) => {
      // Whether the registry gives what it knows of the others, or nothing.
      for (const others of [exact, files.map(() => ({ bytes: 0, sha256: "" }))]) {
        const entries = files.map((file, at) => ({
          ...file,
          ...(at === index ? wrong : others[at]),
        }));
        await expect(readAll(entries)).rejects.toMatchObject({ code });
      }
    });

    test("right hashes and lengths are read, and need no list of files", async () => {
      await readAll(files.map((file, index) => ({ ...file, ...exact[index] })));
      await readAll(files.map((file, index) => ({ ...file, sha256: exact[index]?.sha256 ?? "" })));
      await readAll(files);
    });
  });

  test("the preferred GGUF is taken, or the named one", async () => {
    const best = await baseFolder(onHub("owner/gguf"));
    expect(names(best.weights)).toEqual(["model-Q8_0.gguf"]);
    const named = await baseFolder(onHub("owner/gguf", "model-q4_k.gguf"));
    expect(names(named.weights)).toEqual(["model-q4_k.gguf"]);
  });

  const NOTHING = { config: null, tokenizer: null, ...NONE_BESIDE };

  test("a GGUF file alone needs no other file, on a hub, a host and this computer", async () => {
    const onHost = { ...inFolder("owner/alone"), file: "model-Q8_0.gguf" };
    for (const source of [onHub("owner/alone"), onHub("owner/alone", onHost.file), onHost]) {
      const pieces = await baseFolder(source);
      expect(pieces).toMatchObject(NOTHING);
      expect(names(pieces.weights)).toEqual(["model-Q8_0.gguf"]);
    }
    const blob = new Blob([WEIGHTS]);
    for (const path of ["model-Q8_0.gguf", "t5/model-Q8_0.gguf"]) {
      const pieces = await baseFolder({ kind: "files", files: [{ path, contents: blob }] });
      expect(pieces).toMatchObject(NOTHING);
      expect(pieces.weights).toEqual([blob]);
    }
    // A host of a one-page site answers with its page for what it does not have.
    hub.faults.pages = true;
    expect(await baseFolder(onHost)).toMatchObject(NOTHING);
  });

  test("a GGUF file beside a part of the other files is not alone", async () => {
    const config = { why: expect.stringMatching(/^Expected config.json, found /) };
    for (const repo of ["owner/lost-config", "owner/nothing"]) {
      await expect(baseFolder(onHub(repo))).rejects.toMatchObject(config);
    }
    const onHost = { ...inFolder("owner/lost-config"), file: "model-Q8_0.gguf" };
    await expect(baseFolder(onHost)).rejects.toMatchObject({
      why: "Expected config.json, found no such file.",
    });
    await expect(baseFolder(onHub("owner/lost-gguf"))).rejects.toMatchObject({
      what: "model-Q8_0.gguf is a Git LFS pointer, not the file.",
    });
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

  test("a model of another kind is refused as one, before its tokenizer is missed", async () => {
    const files = (config: string): FilesSource => ({
      kind: "files",
      files: [{ path: "config.json", contents: new Blob([config]) }],
    });
    await expect(baseFolder(files("longt5"))).rejects.toMatchObject({
      why: "LongT5 has local attention.",
    });
    await expect(baseFolder(files("t5"))).rejects.toMatchObject({
      why: "Expected tokenizer.json or spiece.model, found config.json.",
    });
  });

  test("a tokenizer without a file is the configuration that names it", async () => {
    const named = '{"tokenizer_class": "ByT5Tokenizer"}';
    const files = (contents: Record<string, string>): FilesSource => ({
      kind: "files",
      files: Object.entries({ "model.safetensors": "w".repeat(2000), ...contents }).map(
        ([path, text]) => ({ path, contents: new Blob([text]) }),
      ),
    });
    const read = async (contents: Record<string, string>) => {
      const { tokenizer } = await baseFolder(files(contents));
      return (tokenizer as Blob).text();
    };
    const config = '{"model_type": "t5"}';
    expect(await read({ "config.json": config, "tokenizer_config.json": named })).toBe(named);
    const both = '{"model_type": "t5", "tokenizer_class": "ByT5Tokenizer"}';
    expect(await read({ "config.json": both })).toBe(both);
    expect(await read({ "config.json": both, "tokenizer_config.json": "{}" })).toBe(both);
    expect(await read({ "config.json": both, "spiece.model": "s" })).toBe("s");
  });

  test("an adapter in a folder of a repository is that one", async () => {
    const root = await adapterFolder(onHub("owner/folders"), context);
    const folder = { ...onHub("owner/folders"), folder: "checkpoint-500" };
    const inside = await adapterFolder(folder, context);
    expect(names([root.weights, inside.weights])).toEqual([
      "adapter_model.bin",
      "adapter_model.safetensors",
    ]);
    const [config] = await fetchFiles([inside.config as RemoteFile], context);
    expect(new TextDecoder().decode(config)).toBe("500");
  });

  test("a repository that the hub does not give is missing or private", async () => {
    await expect(baseFolder(onHub("owner/none"))).rejects.toMatchObject({
      code: "not-found",
      what: "owner/none was not found.",
      why: expect.stringContaining("does not exist, or is private (401)"),
    });
  });

  test("the query of an address follows the names of its files", async () => {
    const source = { ...inFolder("owner/whole"), query: "?token=1" };
    const { config, weights } = await baseFolder(source);
    expect([config, ...weights].map((piece) => (piece as RemoteFile).url)).toEqual([
      `${source.url}config.json?token=1`,
      `${source.url}model.safetensors?token=1`,
    ]);
  });

  test.each([["hub"], ["folder"]])("pointers of Git LFS are passed over in a %s", async (kind) => {
    const source = kind === "hub" ? onHub("owner/pointers") : inFolder("owner/pointers");
    const { weights, addedTokens, specialTokensMap, tokenizerConfig, generationConfig } =
      await baseFolder(source);
    expect(names(weights)).toEqual(["pytorch_model.bin"]);
    const beside = [addedTokens, specialTokensMap, tokenizerConfig] as Piece[];
    expect(names(beside)).toEqual([
      "added_tokens.json",
      "special_tokens_map.json",
      "tokenizer_config.json",
    ]);
    // A host that lists no files is not asked for what is only noted.
    expect(generationConfig !== null).toBe(kind === "hub");
    await expect(adapterFolder(source, context)).rejects.toMatchObject({
      what: "adapter_model.safetensors is a Git LFS pointer, not the file.",
    });
  });

  test("pages in place of missing files are passed over, or named", async () => {
    hub.faults.pages = true;
    const { tokenizer, weights } = await baseFolder(inFolder("owner/shards"));
    expect(names([tokenizer, ...weights]).slice(0, 2)).toEqual([
      "spiece.model",
      "model-00001-of-00002.safetensors",
    ]);
    await expect(baseFolder(inFolder("owner/nothing"))).rejects.toMatchObject({
      what: "config.json is a web page, not the file.",
    });
  });

  test.each([["hub"], ["folder"]])(
    "a file of unknown hash follows the version of a %s, and stays without it",
    async (kind) => {
      const source = kind === "hub" ? onHub("owner/adapter") : inFolder("owner/adapter");
      const config = async () => {
        const pieces = await adapterFolder(source, context);
        const files = [pieces.config, pieces.weights] as RemoteFile[];
        const [bytes] = await fetchFiles(files, context);
        return new TextDecoder().decode(bytes);
      };
      for (const contents of ['{"r": 16, "lora_alpha": 16}', '{"r": 8}', "{}"]) {
        hub.replace("owner/adapter", "adapter_config.json", text(contents));
        expect(await config()).toBe(contents);
      }
      const configs = (await context.store.list()).filter(({ url }) => url.includes("config"));
      expect(configs).toHaveLength(1);
      await hub.close();
      expect(await config()).toBe("{}");
    },
  );

  test("a small file of a hub that is not the one it lists is refused, and not kept", async () => {
    const listed = async () =>
      ((await adapterFolder(onHub("owner/adapter"), context)).config as RemoteFile) ?? null;
    const config = await listed();
    expect(config.gitSha1).toMatch(/^[0-9a-f]{40}$/);
    const [before] = await fetchFiles([config], context);
    for (const { key } of await context.store.list()) await context.store.remove(key);
    const contents = new Uint8Array(before as Uint8Array);
    contents[0] = (contents[0] as number) ^ 1;
    hub.replace("owner/adapter", "adapter_config.json", contents);
    // The file that the hub listed, at an address that has another one by now.
    const moved = { ...config, url: config.branchUrl as string };
    await expect(fetchFiles([moved], context)).rejects.toMatchObject({
      code: "integrity",
      what: "main/adapter_config.json is not the file that the hub names.",
    });
    expect(await context.store.list()).toEqual([]);
    const [after] = await fetchFiles([await listed()], context);
    expect(after).toEqual(contents);
  });

  test("an adapter in place of a model is called one", async () => {
    await expect(baseFolder(onHub("owner/adapter"))).rejects.toMatchObject({
      what: "This is a module, not a model.",
    });
  });
});
