// pkg-scripts/lorahub-registry.mjs against a hub: the registry names commits, lengths and hashes, by which the package
// then fetches.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Hub, startHub } from "../../../tests/e2e/hub.js";
import type { Registry } from "../src/protocol.js";
import { fetchFiles } from "../src/worker/fetch.js";
import { Library } from "../src/worker/library.js";
import { remoteFiles, smallPieces } from "../src/worker/pieces.js";
import { downloadContext } from "./download-context.js";
import { fakeModule } from "./fake-engine.js";
import { sha256 } from "./fake-library.js";

const SCRIPT = fileURLToPath(new URL("../../../pkg-scripts/lorahub-registry.mjs", import.meta.url));
const BASE = "google/flan-t5-large";
const MODULE = "lorahub/flan_t5_large-glue_mrpc";
const OTHER = "lorahub/flan_t5_large-trec_what_category";

const text = (value: string) => new TextEncoder().encode(value);
const CONFIG = text('{"r":16}');
const WEIGHTS = text("w".repeat(2000));
const TOKENIZER = text("t".repeat(3000));

let hub: Hub;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lorahub-registry-"));
  hub = await startHub({
    [BASE]: { "config.json": CONFIG, "tokenizer.json": TOKENIZER, "model.safetensors": WEIGHTS },
    [MODULE]: { "adapter_config.json": CONFIG, "adapter_model.bin": WEIGHTS },
    [OTHER]: {
      "adapter_config.json": CONFIG,
      "adapter_model.bin": text("b".repeat(2000)),
      "adapter_model.safetensors": WEIGHTS,
    },
  });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await hub.close();
  await rm(folder, { recursive: true });
});

/** The registry that the script makes of some modules. */
async function made(repos: string[], ...more: string[]): Promise<Registry> {
  const names = join(folder, "names.txt");
  await writeFile(names, `${repos.join("\n")}\n`);
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, names, ...more]);
  return JSON.parse(stdout);
}

test("a registry without a hub leaves commits and hashes to the page", async () => {
  const { modules } = await made([MODULE]);
  expect(modules[0]?.files).toEqual({
    config: { path: `hub:${MODULE}@main/adapter_config.json` },
    weights: { path: `hub:${MODULE}@main/adapter_model.bin`, about_bytes: 18874368 },
  });
});

test("each repository is asked once for its newest commit, which its files are of", async () => {
  const { bases, modules } = await made([MODULE, OTHER], "--hub", hub.url);
  const asked = hub.requests.filter((line) => line.includes("/revision/"));
  expect(asked).toEqual(
    [MODULE, OTHER, BASE].map((repo) => `GET /api/models/${repo}/revision/main`),
  );
  const entry = (repo: string, name: string, bytes: Uint8Array) => ({
    path: expect.stringMatching(new RegExp(`^hub:${repo}@[0-9a-f]{40}/${name}$`)),
    bytes: bytes.length,
    sha256: sha256(bytes),
  });
  expect(bases[0]?.files).toEqual({
    config: entry(BASE, "config.json", CONFIG),
    tokenizer: entry(BASE, "tokenizer.json", TOKENIZER),
    weights: entry(BASE, "model.safetensors", WEIGHTS),
  });
  expect(modules.map(({ files }) => files)).toEqual([
    {
      config: entry(MODULE, "adapter_config.json", CONFIG),
      weights: entry(MODULE, "adapter_model.bin", WEIGHTS),
    },
    {
      config: entry(OTHER, "adapter_config.json", CONFIG),
      weights: entry(OTHER, "adapter_model.safetensors", WEIGHTS),
    },
  ]);
});

test("its files are fetched at their commits, also after the hub has others", async () => {
  const registry = await made([MODULE], "--hub", hub.url);
  hub.replace(BASE, "config.json", text("another"));
  hub.replace(MODULE, "adapter_model.bin", text("o".repeat(2000)));
  const context = await downloadContext();
  const registryUrl = "https://library.test/registry.json";
  const fetched = globalThis.fetch;
  vi.stubGlobal("fetch", async (url: string, init?: RequestInit) =>
    url === registryUrl ? new Response(JSON.stringify(registry)) : fetched(url, init),
  );
  const library = await Library.open({ registryUrl, hub: hub.url }, fakeModule, context);
  const base = await library.basePieces(null, context);
  const module = await library.modulePieces(registry.modules[0] as never, context);
  const commitIn = (path = "") => path.match(/@([0-9a-f]{40})\//)?.[1];
  expect(base.commit).toBe(commitIn(registry.bases[0]?.files.config.path));
  expect(module.commit).toBe(commitIn(registry.modules[0]?.files.config.path));
  const pieces = remoteFiles([
    ...smallPieces(base),
    ...base.weights,
    module.config,
    module.weights,
  ]);
  expect(await fetchFiles(pieces, context)).toEqual([CONFIG, TOKENIZER, WEIGHTS, CONFIG, WEIGHTS]);
});

test("a repository that the hub does not have is named", async () => {
  await expect(made(["lorahub/flan_t5_large-gone"], "--hub", hub.url)).rejects.toThrow(
    "api/models/lorahub/flan_t5_large-gone/revision/main answers 401",
  );
});

test("the registry is made once the hub takes requests again", async () => {
  hub.faults.tooMany = 2;
  const { modules } = await made([MODULE], "--hub", `${hub.url}/`);
  expect(modules[0]?.files.weights.sha256).toBe(sha256(WEIGHTS));
});
