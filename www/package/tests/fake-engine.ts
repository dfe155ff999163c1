// A stand-in for the wasm engine, in unit tests only: it counts and answers, and computes nothing.

import { createHash } from "node:crypto";
import type {
  Candidate,
  GpuStatus,
  LearnOptions,
  ModuleQuery,
  Registry,
} from "../src/generated/protocol.js";
import type { BaseLoad, Engine, EngineModule, Finder } from "../src/worker/engine.js";

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The files of a small library, by their path. */
export const files = new Map<string, Uint8Array>(
  Object.entries({
    "base/config.json": bytesOf("{}"),
    "base/tokenizer.json": bytesOf("tokenizer"),
    "base/model.gguf": bytesOf("w".repeat(5000)),
    "modules/one/adapter_config.json": bytesOf("one"),
    "modules/one/adapter_model.safetensors": bytesOf("1".repeat(700)),
    "modules/two/adapter_config.json": bytesOf("two"),
    "modules/two/adapter_model.safetensors": bytesOf("2".repeat(800)),
    "tasks/first.jsonl": bytesOf('{"input":"a","output":"b"}\n'),
  }),
);

const file = (path: string) => {
  const bytes = files.get(path) as Uint8Array;
  return { path, bytes: bytes.length, sha256: sha256(bytes) };
};

/** The registry of those files. */
export const registry: Registry = {
  version: 1,
  title: "Test library",
  bases: [
    {
      id: "small",
      title: "Small",
      description: "",
      license: "MIT",
      parameters: 1000,
      files: {
        config: file("base/config.json"),
        tokenizer: file("base/tokenizer.json"),
        weights: file("base/model.gguf"),
      },
    },
  ],
  modules: ["one", "two"].map((id) => ({
    id,
    title: id,
    task: id,
    example: { input: "a", output: "b" },
    base: "small",
    rank: 8,
    targets: ["q", "v"],
    files: {
      config: file(`modules/${id}/adapter_config.json`),
      weights: file(`modules/${id}/adapter_model.safetensors`),
    },
    license: "MIT",
    tags: [],
  })),
  tasks: [
    {
      id: "first",
      title: "First",
      description: "",
      why_unseen: "",
      set: "table",
      instruction_shown: false,
      examples: [],
      test: file("tasks/first.jsonl"),
    },
  ],
};

export const options: LearnOptions = {
  budget: 40,
  optimizer: "cobyla",
  selection: "all",
  modules: 20,
  merge: "delta",
  objective: "paper",
  seed: 0,
  bound: 1.5,
  regularization: 0.05,
};

/** A load that counts the bytes pushed. */
class FakeLoad implements BaseLoad {
  readonly #label: { id: string; title: string; license: string };
  readonly #precision: "f32" | "int8";
  #bytes = 0;
  #copy = "";

  constructor(
    id: string,
    title: string,
    license: string,
    _config: Uint8Array,
    _tokenizer: Uint8Array,
    precision: "f32" | "int8",
  ) {
    this.#label = { id, title, license };
    this.#precision = precision;
  }
  push(bytes: Uint8Array) {
    this.#bytes += bytes.length;
  }
  endFile() {}
  packedPiece(sha256: string, offset: number, most: number) {
    const copy = bytesOf(JSON.stringify({ packed: sha256, bytes: this.#bytes }));
    return copy.slice(offset, offset + most);
  }
  pushPacked(bytes: Uint8Array) {
    this.#copy += new TextDecoder().decode(bytes);
  }
  endPacked() {
    const { packed, bytes } = JSON.parse(this.#copy);
    this.#bytes = bytes;
    return packed as string;
  }
  free() {}
  finish() {
    return {
      ...this.#label,
      parameters: 1000,
      bytes: this.#bytes,
      precision: this.#precision,
      vocabSize: 10,
      dModel: 8,
      layers: 2,
      memoryBytes: 100,
    };
  }
}

/** An engine that learns in `steps` evaluations and may trap at one of them. */
export class FakeEngine implements Engine {
  static steps = 5;
  static trapAt = Number.POSITIVE_INFINITY;
  readonly modules = new Set<string>();
  #at = 0;
  #stopped = false;

  finishBase(load: BaseLoad, sha256: string) {
    return { ...(load as FakeLoad).finish(), sha256 };
  }
  free() {}
  addModule(id: string, _config: Uint8Array, weights: Uint8Array) {
    this.modules.add(id);
    return { id, rank: 8, targets: ["q", "v"], bytes: 100, sha256: sha256(weights) };
  }
  verify(id: string) {
    if (id !== "small") return null;
    const known = { model: id, source: "a test", input: "in", expected: "-1.0000" };
    return { ...known, found: "-2.0000", agrees: false };
  }
  hasModule(id: string) {
    return this.modules.has(id);
  }
  startLearning() {
    this.#at = 0;
  }
  learningStep(): ReturnType<Engine["learningStep"]> {
    return this.evaluate();
  }
  evaluate() {
    this.#at++;
    if (this.#at >= FakeEngine.trapAt) throw new WebAssembly.RuntimeError("unreachable");
    const weights = [{ id: "one", weight: this.#at / 10 }];
    const evaluation = {
      number: this.#at,
      phase: "search" as const,
      loss: 1 / this.#at,
      best: 1 / this.#at,
      weights,
      seconds: 0,
    };
    return {
      evaluation,
      selected: null,
      result: this.#at >= FakeEngine.steps ? this.#result(true) : null,
    };
  }
  stopLearning() {
    return this.#result(false);
  }
  #result(complete: boolean) {
    return {
      modules: [{ id: "one", weight: this.#at / 10 }],
      merge: "delta" as const,
      optimizer: "cobyla" as const,
      lossStart: 1,
      loss: 1 / Math.max(1, this.#at),
      evaluations: this.#at,
      selectEvaluations: 0,
      seconds: 0,
      complete,
      history: [],
    };
  }
  #candidates: Candidate[] = [];
  /** Whether descriptions were read before. */
  #read = false;
  startRetrieval(_examples: unknown, candidates: Candidate[], most: number) {
    this.#candidates = candidates.slice(0, most);
    this.#at = this.#read ? 1 : 0;
  }
  retrievalStep() {
    const finished = this.#at++ > 0;
    const result = this.#candidates.map((one) => ({ ...one, similarity: 0.5 }));
    return { done: this.#at, total: 2, result: finished ? result : null };
  }
  embeddings() {
    return bytesOf("read");
  }
  addEmbeddings(bytes: Uint8Array) {
    this.#read = new TextDecoder().decode(bytes) === "read";
  }
  startGeneration() {
    this.#at = 0;
    this.#stopped = false;
  }
  generationStep() {
    if (this.#stopped) throw new Error("stopped");
    this.#at++;
    const text = "x".repeat(this.#at);
    return {
      text,
      tokens: this.#at,
      result:
        this.#at >= FakeEngine.steps
          ? { text, tokens: this.#at, seconds: 0, complete: true }
          : null,
    };
  }
  startTest() {
    this.#at = 0;
  }
  testStep() {
    this.#at++;
    const counts = { done: this.#at, total: FakeEngine.steps, correct: this.#at };
    return { ...counts, result: this.#at >= FakeEngine.steps ? this.#tested(true) : null };
  }
  stopTest() {
    return this.#tested(false);
  }
  #tested(complete: boolean) {
    const counts = { exactMatch: 100, correct: this.#at, total: this.#at };
    return { ...counts, seconds: 0, complete, answers: [] };
  }
  stop() {
    this.#stopped = true;
  }
  score(_examples: unknown, composition: { modules: { id: string }[] } | null) {
    return { loss: composition?.modules.length ?? 0, examples: [] };
  }
  memoryBytes() {
    return 100;
  }
}

const UNUSED: GpuStatus = {
  active: false,
  name: "",
  memory: { weightsBytes: 0, embeddingBytes: 0, modulesBytes: 0, workBytes: 0 },
  reason: "",
};

/** The same on a graphics card that may be lost at one of the steps; it is at one thing at a time. */
export class FakeGpuEngine extends FakeEngine {
  static losesAt = Number.POSITIVE_INFINITY;
  #status = UNUSED;
  #busy = false;

  async openGpu() {
    await this.#wait();
    this.#status = { ...UNUSED, active: true, memory: { ...UNUSED.memory, weightsBytes: 100 } };
    return this.#status;
  }
  gpuStatus() {
    return { ...this.#status };
  }
  async #wait() {
    this.#busy = true;
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.#busy = false;
  }
  override async learningStep() {
    await this.#wait();
    const step = this.evaluate();
    if (step.evaluation.number === FakeGpuEngine.losesAt) {
      this.#status = { ...UNUSED, reason: "It was lost." };
    }
    return step;
  }
  override memoryBytes() {
    if (this.#busy) throw new Error("called while a step was awaited");
    return super.memoryBytes();
  }
}

/** Finds modules by their ids; of a registry with an index, in the one page that it names. */
class FakeFinder implements Finder {
  #modules: Registry["modules"];
  readonly #page: { path: string; bytes: number; sha256: string } | undefined;

  constructor(registry: Registry) {
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
    return this.#answer({ total: modules.length, modules: shown, tags: [], ranks: [] });
  }
  ofIds(ids: string[]) {
    return this.#answer(this.#modules.filter(({ id }) => ids.includes(id)));
  }
  candidates() {
    return this.#answer(this.#modules.map((module) => ({ module, words: ["a"] })));
  }
}

/** The glue of a wasm build, with the engine above. */
export const fakeModule: EngineModule = {
  default: async () => ({ memory: new WebAssembly.Memory({ initial: 1 }) }),
  Engine: FakeEngine,
  BaseLoad: FakeLoad,
  packedKey: (sources, precision) => `packed-1-${sha256(bytesOf([precision, ...sources].join()))}`,
  Finder: FakeFinder,
  shardNames: (index) => [
    ...new Set<string>(
      Object.values(JSON.parse(new TextDecoder().decode(index)).weight_map as object),
    ),
  ],
  Sha256: class {
    readonly #hash = createHash("sha256");
    update(bytes: Uint8Array) {
      this.#hash.update(bytes);
    }
    hex() {
      return this.#hash.digest("hex");
    }
  },
  parseRegistry: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
  parseExamples: (text) =>
    text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  encodeRecipe: (recipe) => encodeURIComponent(JSON.stringify(recipe)),
  decodeRecipe: (fragment) => {
    try {
      return JSON.parse(decodeURIComponent(fragment));
    } catch {
      throw { what: "The link was not read.", why: "It is not a recipe.", next: "Copy it again." };
    }
  },
  defaultLearnOptions: () => options,
  publishedLearnOptions: () => ({ ...options, merge: "lorahub" }),
};

/** The glue of the build with the graphics card. */
export const fakeGpuModule: EngineModule = { ...fakeModule, GpuEngine: FakeGpuEngine };
