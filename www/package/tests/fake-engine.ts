// A fake of the wasm engine, in unit tests only: the exports of its builds.

import { createHash } from "node:crypto";
import type {
  Example,
  LearnOptions,
  ModuleQuery,
  Recipe,
  Registry,
  RemoteFolder,
} from "../src/protocol.js";
import type { EngineModule, ModuleSearch, Sha256 } from "../src/worker/engine.js";
import { bytesOf, sha256 } from "./fake-library.js";
import { FakeGpuSession, FakeLoad, FakeSession, Freed, failure } from "./fake-session.js";

const options: LearnOptions = {
  budget: 40,
  seconds: 0,
  optimizer: "cobyla",
  selection: "all",
  modules: 20,
  merge: "delta",
  objective: "paper",
  seed: 0,
  bound: 1.5,
  regularization: 0.05,
  held: [],
};

/** Finds modules by their ids; of a registry with an index, in the one page that it names. */
class FakeModuleSearch extends Freed implements ModuleSearch {
  #modules: Registry["modules"];
  readonly #page: { path: string; bytes: number; sha256: string } | undefined;

  constructor(registry: Registry) {
    super();
    this.#modules = registry.modules;
    this.#page = registry.index?.pages[0];
  }
  #answer<T>(found: T) {
    return this.#page && !this.#modules.length ? { missing: [this.#page] } : { found };
  }
  isWhole() {
    return !this.#page;
  }
  take(_path: string, bytes: Uint8Array) {
    this.#modules = JSON.parse(new TextDecoder().decode(bytes));
  }
  search({ text, limit }: ModuleQuery) {
    const modules = this.#modules.filter(({ id }) => id.includes(text));
    const shown = modules.slice(0, limit);
    return this.#answer({
      total: modules.length,
      more: false,
      modules: shown,
      tags: [],
      ranks: [],
    });
  }
  ofIds(ids: string[]) {
    return this.#answer(this.#modules.filter(({ id }) => ids.includes(id)));
  }
  candidates() {
    return this.#answer(this.#modules.map((module) => ({ module, words: ["a"] })));
  }
}

class FakeSha256 extends Freed implements Sha256 {
  readonly #hash = createHash("sha256");
  update(bytes: Uint8Array) {
    this.#hash.update(bytes);
  }
  hex() {
    return this.#hash.copy().digest("hex");
  }
}

const foreign = (why: string) =>
  failure("not-found", "This link does not fit the library that is open here.", why);

/** An id or an address: the engine's rules are tested in Rust. */
function resolveAddress(text: string, host: string, files: boolean): RemoteFolder {
  if (files && text.startsWith("file:")) {
    const [, folder, file = null] =
      text.match(/^(.*?)\/?(?:\/([^/]*\.(?:gguf|safetensors)))?$/) ?? [];
    return { kind: "folder", url: `${folder}/`, file };
  }
  if (text.startsWith("https://")) return { kind: "folder", url: `${text}/`, file: null };
  const entry = text.match(/^hub:([^@]+)@([^/]+)\/(.+)$/);
  if (entry) {
    const [, repo = "", revision = "", path = ""] = entry;
    const file = /\.(bin|gguf|safetensors)$/.test(path) ? path : null;
    return { kind: "hub", host, repo, revision, file };
  }
  const [, owner, name, folder] = text.match(/^([\w.-]+)\/([\w.-]+)(?:\/([^@]+))?(?:@|$)/) ?? [];
  if (!owner) throw failure("invalid-input", "This names no model or adapter.", text);
  const revision = text.split("@")[1] ?? "main";
  const source = { kind: "hub" as const, host, repo: `${owner}/${name}`, revision, file: null };
  return folder ? { ...source, folder } : source;
}

function detectPlaceholder(start: Uint8Array) {
  const text = new TextDecoder().decode(start.subarray(0, 40));
  if (text.startsWith("version https://git-lfs")) return "lfs-pointer";
  return text.startsWith("<!doctype html") ? "web-page" : null;
}

/** Examples as JSON lines. */
const parsed = (bytes: Uint8Array): Example[] =>
  new TextDecoder()
    .decode(bytes)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** The exports of a wasm build, with the session above. */
export const fakeModule: EngineModule = {
  default: async () => ({ memory: new WebAssembly.Memory({ initial: 1 }) }) as never,
  Session: FakeSession,
  BaseLoad: FakeLoad,
  ModuleSearch: FakeModuleSearch,
  Sha256: FakeSha256,
  resolveAddress,
  detectPlaceholder,
  checkConfig: (_title, config) => {
    if (new TextDecoder().decode(config).includes("longt5")) {
      throw failure("invalid-input", "The base was not loaded.", "LongT5 has local attention.");
    }
  },
  namesTokenizer: (config) => new TextDecoder().decode(config).includes("ByT5Tokenizer"),
  hubAddress: (text) => text || "https://huggingface.co",
  registryAddress: (text, files) =>
    files && text.startsWith("file:") && !text.endsWith(".json")
      ? `${text.replace(/\/$/, "")}/registry.json`
      : text,
  fileBeside: (registry, path) => new URL(path, registry).href,
  memoryBytes: () => 100,
  packedKey: (sources, precision) => `packed-1-${sha256(bytesOf([precision, ...sources].join()))}`,
  usualWeights: () => ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"],
  chooseWeights: (names) => {
    const name = [
      "model.safetensors",
      "model.safetensors.index.json",
      "model-Q8_0.gguf",
      "pytorch_model.bin",
    ].find((one) => names.includes(one));
    return name ? { kind: name.endsWith(".index.json") ? "index" : "file", name } : null;
  },
  weightsIdentity: (hashes) =>
    hashes.includes("")
      ? ""
      : hashes.length === 1
        ? (hashes[0] ?? "")
        : sha256(bytesOf(hashes.join())),
  shardNames: (index) => [
    ...new Set<string>(
      Object.values(JSON.parse(new TextDecoder().decode(index)).weight_map as object),
    ),
  ],
  parseRegistry: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
  parseExamples: parsed,
  readExamples: (bytes) => ({
    examples: parsed(bytes),
    layout: {
      delimiter: null,
      instruction: [],
      input: ["input"],
      output: ["output"],
      unused: [],
      leftOut: 0,
      empty: [],
      trimmed: 0,
    },
  }),
  makeRecipe: ({ base: id, composition, ...draft }, _bases, entries, loaded): Recipe => {
    const modules = composition.modules.map(({ id, weight }) => {
      const entry = entries.find((one) => one.id === id);
      if (!entry)
        throw failure("invalid-input", "This composition cannot become a link.", `"${id}"`);
      return { id, hash: loaded.modules[id] ?? entry.files.weights.sha256, weight };
    });
    const { merge } = composition;
    return { ...draft, base: { id, hash: loaded.bases[id] ?? "" }, modules, merge };
  },
  checkRecipe: ({ base, modules }, bases, entries, loaded) => {
    const found = bases.find(({ id }) => id === base.id);
    if (!found) throw foreign("The base is not here.");
    const baseHash = loaded.bases[base.id] ?? found.files.weights.sha256;
    if (baseHash !== base.hash) throw foreign("The base is another.");
    for (const { id, hash } of modules) {
      const entry = entries.find((one) => one.id === id);
      if (!entry) throw foreign("A module is not here.");
      if ((loaded.modules[id] ?? entry.files.weights.sha256) !== hash) {
        throw foreign("A module is another.");
      }
    }
  },
  encodeRecipe: (recipe) => encodeURIComponent(JSON.stringify(recipe)),
  decodeRecipe: (fragment) => {
    try {
      return JSON.parse(decodeURIComponent(fragment));
    } catch {
      throw failure("invalid-input", "The link was not read.", "It is not a recipe.");
    }
  },
  learnSettings: () => [],
  defaultLearnOptions: () => options,
  publishedLearnOptions: () => ({ ...options, merge: "lorahub" }),
};

/** The exports of the build with the GPU. */
export const fakeGpuModule: EngineModule = { ...fakeModule, Session: FakeGpuSession };
