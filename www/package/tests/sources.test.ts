// The files that sources resolve to. How addresses are read is tested beside the engine's resolver.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { zipSync } from "fflate";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Hub, startHub } from "../../../tests/e2e/hub.js";
import { LoraLoomError } from "../src/errors.js";
import type { FilesSource, LocalFile, RegistryFile, RegistryModule } from "../src/protocol.js";
import { addressSource, describeSource, droppedFiles, filesSource } from "../src/sources.js";
import type { DownloadContext, RemoteFile } from "../src/worker/download.js";
import { fetchFiles } from "../src/worker/fetch.js";
import {
  adapterFolder,
  adapterFolders,
  baseFolder as baseFolderBy,
  type FolderSource,
  NONE_BESIDE,
  type Piece,
} from "../src/worker/folder.js";
import { Library } from "../src/worker/library.js";
import { downloadContext } from "./download-context.js";
import { fakeModule, registry, sha256 } from "./fake-engine.js";

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

test("a source is described in the words of its address", () => {
  expect(describeSource(addressSource(" o/n@v1 "))).toBe("o/n@v1");
  const hub = { kind: "hub", host: "https://hub.test", repo: "o/n", revision: "main" } as const;
  expect(describeSource({ ...hub, folder: "checkpoint-500", file: "adapter_model.bin" })).toBe(
    "o/n/checkpoint-500/adapter_model.bin",
  );
});

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

  const local = (...paths: string[]): FilesSource => ({
    kind: "files",
    files: paths.map((path) => ({ path, contents: new Blob([path]) })),
  });
  const read = (piece: Piece) => (piece as Blob).text();

  test("of several adapters among files of this computer, each can be chosen", async () => {
    const source = local(
      "drop/one/adapter_config.json",
      "drop/one/adapter_model.bin",
      "drop/two/adapter_config.json",
      "drop/two/adapter_model.safetensors",
      "drop/two/checkpoint-5/adapter_config.json",
    );
    expect(await adapterFolders(source)).toEqual(["drop/one", "drop/two"]);
    await expect(adapterFolder(source, context)).rejects.toMatchObject({
      why: "Expected one PEFT folder, found drop/one, drop/two.",
    });
    const { weights } = await adapterFolder({ ...source, folder: "drop/two" }, context);
    expect(await read(weights)).toBe("drop/two/adapter_model.safetensors");
  });

  test("of several adapters in one archive, each can be chosen, also one made on Windows", async () => {
    const entries = ["one\\", "two/"].flatMap((folder) => [
      [`${folder}adapter_config.json`, text(`config of ${folder}`)],
      [`${folder}adapter_model.safetensors`, text(`weights of ${folder}`)],
      [`${folder}README.md`, text("read me")],
    ]);
    const archive = new Blob([zipSync(Object.fromEntries(entries)) as Uint8Array<ArrayBuffer>]);
    const source: FilesSource = { kind: "files", files: [{ path: "my.zip", contents: archive }] };
    expect(await adapterFolders(source)).toEqual(["one", "two"]);
    for (const [folder, written] of [
      ["one", "one\\"],
      ["two", "two/"],
    ]) {
      const { config, weights } = await adapterFolder(
        { ...source, folder: folder as string },
        context,
      );
      expect([await read(config), await read(weights)]).toEqual([
        `config of ${written}`,
        `weights of ${written}`,
      ]);
    }
  });

  test("an archive that unpacks to many times its length is refused before it is unpacked", async () => {
    const zeros = new Uint8Array(33 * 2 ** 20);
    const entries = ["one/", "two/"].flatMap((folder) => [
      [`${folder}adapter_config.json`, text("config")],
      [`${folder}adapter_model.safetensors`, zeros],
    ]);
    const archive = new Blob([
      zipSync(Object.fromEntries(entries), { level: 1 }) as Uint8Array<ArrayBuffer>,
    ]);
    expect(archive.size).toBeLessThan(2 ** 20);
    const source: FilesSource = { kind: "files", files: [{ path: "my.zip", contents: archive }] };
    // What it holds is known without unpacking.
    expect(await adapterFolders(source)).toEqual(["one", "two"]);
    await expect(adapterFolder(source, context)).rejects.toMatchObject({
      code: "invalid-input",
      what: "my.zip was not unpacked.",
    });
    // One of its folders is short enough, and only that one is unpacked.
    const { weights } = await adapterFolder({ ...source, folder: "two" }, context);
    expect((weights as Blob).size).toBe(zeros.length);
  }, 30_000);

  test("damaged archives are refused or read, and never anything else", async () => {
    const whole = zipSync({
      "one/adapter_config.json": text("config"),
      "one/adapter_model.safetensors": new Uint8Array(5000),
    });
    // The same at every run.
    let state = 1;
    const below = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    for (let round = 0; round < 500; round++) {
      const bytes = whole.slice(0, below(4) ? whole.length : below(whole.length));
      for (let change = below(6); change >= 0; change--) bytes[below(bytes.length)] = below(256);
      const archive = new Blob([bytes as Uint8Array<ArrayBuffer>]);
      const source: FilesSource = { kind: "files", files: [{ path: "my.zip", contents: archive }] };
      const [listed, read] = await Promise.allSettled([
        adapterFolders(source),
        adapterFolder(source, context),
      ]);
      for (const result of [listed, read]) {
        if (result.status === "rejected") expect(result.reason).toBeInstanceOf(LoraLoomError);
      }
    }
  }, 30_000);

  test("paths of Windows' archives and names of second downloads are read", async () => {
    const source = local(
      "mine\\adapter_config (1).json",
      "mine\\adapter_model (2).safetensors",
      "mine\\README.md",
    );
    const { config, weights } = await adapterFolder(source, context);
    expect(await read(config)).toContain("config (1)");
    expect(await read(weights)).toContain("model (2)");
  });

  test("second downloads are modules of their own, by their numbers", async () => {
    for (const folder of ["", "mine/"]) {
      const source = local(
        `${folder}adapter_model (1).safetensors`,
        `${folder}adapter_config.json`,
        `${folder}adapter_config (1).json`,
        `${folder}adapter_model.safetensors`,
      );
      const ids = [`${folder}adapter_model`, `${folder}adapter_model (1)`];
      expect(await adapterFolders(source)).toEqual(ids);
      for (const [index, number] of ["", " (1)"].entries()) {
        const pieces = await adapterFolder({ ...source, folder: ids[index] as string }, context);
        expect([await read(pieces.config), await read(pieces.weights)]).toEqual([
          `${folder}adapter_config${number}.json`,
          `${folder}adapter_model${number}.safetensors`,
        ]);
      }
    }
    const beside = local(
      "a/adapter_config.json",
      "a/adapter_config (1).json",
      "a/adapter_model.bin",
    );
    beside.files.push(...local("a/adapter_model (1).bin", "b/adapter_config.json").files);
    expect(await adapterFolders(beside)).toEqual(["a/adapter_model", "a/adapter_model (1)", "b"]);
  });

  test("second downloads without their other file are named, not left out", async () => {
    for (const [alone, ...others] of [
      ["adapter_config (1).json", "adapter_config.json", "adapter_model.bin"],
      ["adapter_model (1).safetensors", "adapter_config.json", "adapter_model.safetensors"],
    ]) {
      const source = local(alone as string, ...others);
      const refused = {
        what: "Which files belong together is not known.",
        why: expect.stringContaining(`found without the other: ${alone}.`),
      };
      await expect(adapterFolders(source)).rejects.toMatchObject(refused);
      await expect(adapterFolder(source, context)).rejects.toMatchObject(refused);
    }
  });

  test("a model among modules and a module in place of a model are called what they are", async () => {
    const contents = new Blob(['{"model_type": "t5"}']);
    const model: FilesSource = {
      kind: "files",
      files: [
        { path: "t5/config.json", contents },
        { path: "t5/model.safetensors", contents: new Blob(["w"]) },
      ],
    };
    expect(await adapterFolders(model)).toEqual([]);
    await expect(adapterFolder(model, context)).rejects.toMatchObject({
      what: "This is a model, not a module.",
      next: expect.stringContaining("“Use another model”"),
    });
    await expect(
      baseFolder(local("mine/adapter_config.json", "mine/adapter_model.bin")),
    ).rejects.toMatchObject({ what: "This is a module, not a model." });
    await expect(baseFolder(onHub("owner/adapter"))).rejects.toMatchObject({
      what: "This is a module, not a model.",
    });
  });

  test("a web page among files of this computer is one that was saved", async () => {
    const html = new Blob(["<!doctype html><html></html>"]);
    const source: FilesSource = {
      kind: "files",
      files: [
        { path: "adapter_config.json", contents: new Blob(["{}"]) },
        { path: "adapter_model.safetensors", contents: html },
      ],
    };
    const error = await adapterFolder(source, context).catch((error) => error);
    expect(error.what).toBe("adapter_model.safetensors is a web page, not the file.");
    expect(error.message).not.toMatch(/host|address|answered/);
  });

  test("of files of this computer, the folder of the topmost configuration counts", async () => {
    const blob = new Blob(["x"]);
    const source = filesSource([
      { path: "t5/checkpoints/config.json", contents: blob },
      { path: "t5/config.json", contents: blob },
      { path: "t5/tokenizer.json", contents: blob },
      { path: "t5/model.safetensors", contents: blob },
    ]);
    if (source.kind !== "files") throw new Error("files were given");
    const { title, weights } = await baseFolder(source);
    expect(title).toBe("t5");
    expect(names(weights)).toEqual(["blob"]);
  });
});

test("all files of dropped folders are read, however many and deep", async () => {
  const file = (fullPath: string) => ({
    isFile: true,
    fullPath,
    file: (resolve: (file: Blob) => void) => resolve(new Blob([fullPath])),
  });
  const folder = (entries: object[]) => ({
    isFile: false,
    createReader: () => {
      const left = [...entries];
      return { readEntries: (resolve: (some: object[]) => void) => resolve(left.splice(0, 100)) };
    },
  });
  const many = Array.from({ length: 250 }, (_, index) => file(`/one/${index}`));
  const entries = [
    folder([...many, folder([file("/one/deep/a")])]),
    folder([file("/two/b")]),
    null,
  ];
  const items = entries.map((entry) => ({ webkitGetAsEntry: () => entry }));
  const files: LocalFile[] = await droppedFiles({ items } as unknown as DataTransfer);
  expect(files).toHaveLength(252);
  expect(files.slice(-2).map(({ path }) => path)).toEqual(["one/deep/a", "two/b"]);
});
