// Base models and adapters among files of this computer, and in ZIP archives of them.

import { zipSync } from "fflate";
import { beforeEach, expect, test } from "vitest";
import { LoraLoomError } from "../src/errors.js";
import type { FilesSource } from "../src/protocol.js";
import { filesSource } from "../src/sources.js";
import type { DownloadContext } from "../src/worker/download.js";
import {
  adapterFolder,
  baseFolder as baseFolderBy,
  type FolderSource,
} from "../src/worker/folder.js";
import { adapterFolders } from "../src/worker/picked-files.js";
import type { Piece } from "../src/worker/pieces.js";
import { downloadContext } from "./download-context.js";
import { fakeModule } from "./fake-engine.js";

const text = (value: string) => new TextEncoder().encode(value);

let context: DownloadContext;
const baseFolder = (source: FolderSource) => baseFolderBy(source, fakeModule, context);
beforeEach(async () => {
  context = await downloadContext();
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
  const beside = local("a/adapter_config.json", "a/adapter_config (1).json", "a/adapter_model.bin");
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
  expect(weights).toEqual([blob]);
});
