// A client of the package for tests of the site's state: its calls compute nothing, can be stopped
// and cancelled, and are recorded.

import type {
  AddScaledInput,
  Composition,
  Example,
  ExamplesLayout,
  GenerateInput,
  LearnInput,
  LearnResult,
  LeaveOneOutInput,
  LoadedModule,
  LoraLoom,
  ModuleQuery,
  Registry,
  RegistryModule,
  Setting,
  SuggestInput,
  TestInput,
  TuneInput,
  TuneResult,
  TuneStep,
} from "loraloom";
import { RunningCall } from "../../package/src/running-call.js";

/** The public interface of the client. */
type Client = { [K in keyof LoraLoom]: LoraLoom[K] };

const file = (path: string, bytes: number) => ({ path, bytes, sha256: "" });

/** A module of the library. */
export const module = (id: string, bytes = 1000): RegistryModule => ({
  id,
  title: `Title of ${id}`,
  task: id,
  example: { input: "a", output: "b" },
  base: "small",
  rank: 8,
  targets: ["q", "v"],
  files: {
    config: file(`${id}/adapter_config.json`, 10),
    weights: file(`${id}/adapter_model.safetensors`, bytes),
  },
  license: "MIT",
  tags: [],
});

/** What a table with tabs and without a header is read as. */
export const PLAIN_TABLE: ExamplesLayout = {
  delimiter: "\t",
  instruction: [],
  input: [],
  output: [],
  unused: [],
  leftOut: 0,
  empty: [],
  trimmed: 0,
};

/** Five pairs. */
export const EXAMPLES: Example[] = ["one", "two", "three", "four", "five"].map((word) => ({
  input: `the word ${word}`,
  output: word,
}));

const task = (id: string, title: string) => ({
  id,
  title,
  description: "",
  why_unseen: "",
  set: "table" as const,
  instruction_shown: false,
  examples: EXAMPLES,
  test: file(`tasks/${id}.jsonl`, 100),
});

/** A library with three modules and two tasks. */
export const registry = (modules = ["one", "two", "three"].map((id) => module(id))): Registry => ({
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
        config: file("base/config.json", 10),
        tokenizer: file("base/tokenizer.json", 20),
        weights: file("base/model.gguf", 5000),
      },
    },
  ],
  modules,
  tasks: [task("first", "First task"), task("second", "Second task")],
});

const SETTINGS: Setting[] = [
  {
    name: "budget",
    label: "Budget",
    help: "",
    kind: { kind: "integer", min: 2, max: 10_000, default: 6 },
  },
  {
    name: "bound",
    label: "Bound",
    help: "",
    kind: { kind: "number", min: 0.1, max: 10, default: 1.5, step: 0.1 },
  },
  {
    name: "selection",
    label: "Modules",
    help: "",
    kind: {
      kind: "choice",
      default: "all",
      choices: ["all", "single-loss", "by-hand"].map((value) => ({
        value,
        label: value,
        help: "",
      })),
    },
  },
];

/** The modules of a composition that have a weight, with it. */
export const weightsOf = (composition: Composition | null | undefined) =>
  (composition?.modules ?? [])
    .filter(({ weight }) => weight !== 0)
    .map(({ id, weight }) => ` ${id} ${weight}`)
    .join("");

const turn = () => new Promise((resolve) => setTimeout(resolve));

/** The client; replace a method to make it fail or wait. */
export class FakeLoom implements Client {
  readonly settings = SETTINGS;
  readonly defaults: Client["defaults"] = {
    budget: 6,
    optimizer: "cobyla",
    selection: "all",
    modules: 20,
    merge: "delta",
    objective: "paper",
    seed: 0,
    bound: 1.5,
    regularization: 0.05,
    seconds: 0,
    held: [],
  };
  readonly published: Client["published"] = { ...this.defaults, merge: "lorahub" };
  readonly device: Client["device"] = {
    build: "simd128",
    threads: 1,
    simd: "simd128",
    isolated: false,
    reason: "",
    memoryBytes: 0,
    gpu: null,
  };
  base: Client["base"] = null;
  /** Names of the calls, in order. */
  readonly calls: string[] = [];
  /** The modules that tuning made, by what they were made from. */
  readonly tuned = new Map<string, string>();
  /** Inputs of the calls to learn. */
  readonly learned: LearnInput[] = [];
  #busy = false;

  constructor(readonly registry: Registry) {}

  load: Client["load"] = async () => {
    this.calls.push("load");
    this.tuned.clear();
    this.base = {
      id: "small",
      title: "Small",
      license: "MIT",
      parameters: 1000,
      bytes: 5000,
      precision: "int8",
      vocabSize: 10,
      dModel: 8,
      layers: 2,
      memoryBytes: 100,
      sha256: "",
      filesSha256: "",
      commit: null,
    };
    return this.base;
  };
  verify: Client["verify"] = async () => null;
  memoryBytes: Client["memoryBytes"] = async () => 100;
  fittingModules = () => this.registry.modules.map(({ id }) => id);

  search = async ({ text = "", limit = 24 }: Partial<ModuleQuery> = {}) => {
    this.calls.push(`search ${text}`.trim());
    const modules = this.registry.modules.filter(({ title }) => title.includes(text));
    return {
      total: modules.length,
      more: false,
      modules: modules.slice(0, limit),
      tags: [],
      ranks: [],
    };
  };
  entries: Client["entries"] = async (ids) =>
    this.registry.modules.filter(({ id }) => ids.includes(id));
  suggest = async ({ limit = 20, onStep, signal }: SuggestInput) => {
    this.calls.push("suggest");
    onStep?.({ done: 1, total: 2 });
    await turn();
    signal?.throwIfAborted();
    return this.registry.modules
      .slice(0, limit)
      .map((module) => ({ module, similarity: 0.5, words: ["word"] }));
  };
  loadModules: Client["loadModules"] = async (ids, { signal } = {}) => {
    this.calls.push(`loadModules ${ids}`);
    await turn();
    signal?.throwIfAborted();
    return ids.map((id) => this.#info(id));
  };
  addModule: Client["addModule"] = async (id, source) => {
    if (typeof source === "object" && source.kind === "address" && source.text.includes(" ")) {
      const { LoraLoomError } = await import("loraloom");
      const what = `“${source.text}” names no model or adapter.`;
      throw new LoraLoomError({ code: "invalid-input", what, why: "", next: "", details: {} });
    }
    this.calls.push(`addModule ${id}`);
    return this.#info(id);
  };
  addModules: Client["addModules"] = async (id, source) => [await this.addModule(id, source)];
  #info = (id: string): LoadedModule => ({
    id,
    commit: null,
    rank: 8,
    targets: ["q"],
    bytes: 1000,
    sha256: "",
    filesSha256: "",
  });
  storage: Client["storage"] = () => Promise.reject(new Error("not used"));
  deleteStored: Client["deleteStored"] = () => Promise.reject(new Error("not used"));

  learn = (input: LearnInput) =>
    new RunningCall<LearnResult, never>(async ({ stop }) => {
      this.calls.push("learn");
      if (this.#busy) throw new Error("busy");
      this.#busy = true;
      this.learned.push(input);
      const { budget, merge, held } = { ...this.defaults, ...input.options };
      const free = (input.modules ?? []).filter((id) => held.every((one) => one.id !== id));
      const modules = free.map((id) => ({ id, weight: 1 }));
      const kept = held.filter(({ weight }) => weight !== 0);
      input.onSelected?.(modules.map(({ id }) => ({ id, loss: 2 })));
      let number = 0;
      while (number < budget) {
        await turn();
        if (stop.aborted) break;
        number++;
        // The second evaluation is the best.
        const loss = number === 2 ? 0.5 : 1;
        const weights = [...kept, ...modules.map(({ id }) => ({ id, weight: number / 10 }))];
        const best = number < 2 ? 1 : 0.5;
        input.onEvaluation?.({
          number,
          phase: "search",
          loss,
          complete: true,
          best,
          weights,
          examples: input.examples.map((_, index) => index),
          losses: input.examples.map(() => ({ loss, tokens: 1 })),
          cost: 1,
          seconds: 0,
        });
      }
      this.#busy = false;
      return {
        modules: [...kept, ...modules.map(({ id }) => ({ id, weight: 0.2 }))],
        merge,
        optimizer: "cobyla",
        lossStart: 1,
        loss: 0.5,
        evaluations: number,
        selectEvaluations: 0,
        seconds: 0,
        complete: number === budget,
        assessment: null,
        history: [],
      };
    });
  /** Makes each step on a turn; the scales are the number of steps. */
  tune = ({ examples, composition, options = {}, id = "tuned", onStep }: TuneInput) =>
    new RunningCall<TuneResult, TuneStep>(async ({ stop }) => {
      this.calls.push("tune");
      if (this.#busy) throw new Error("busy");
      this.#busy = true;
      const steps: TuneStep[] = [];
      try {
        for (let number = 1; number <= (options.steps ?? 10); number++) {
          await turn();
          if (stop.aborted) break;
          const step = { number, loss: 1 / number, seconds: 0.1 };
          steps.push(step);
          onStep?.(step);
        }
      } finally {
        this.#busy = false;
      }
      if (!steps.length) {
        const { LoraLoomError } = await import("loraloom");
        const report = { what: "Tuning was stopped.", why: "", next: "", details: {} };
        throw new LoraLoomError({ code: "aborted", ...report });
      }
      const scales = { step: 0.1, values: [steps.length] };
      const module = await this.addScaled({ composition, scales, id });
      const tuned: Composition = { modules: [{ id, weight: 1 }], merge: "delta" };
      const complete = steps.length === options.steps;
      const assessment = await this.assess({ examples, composition: tuned });
      return {
        module,
        composition: tuned,
        scales,
        lossStart: 1,
        loss: 0.1,
        steps,
        seconds: steps.length / 10,
        complete,
        assessment: complete ? assessment : { ...assessment, answers: [] },
      };
    });
  addScaled = async ({ composition, scales, id = "tuned" }: AddScaledInput) => {
    this.calls.push(`addScaled ${id}`);
    this.tuned.set(id, `${weightsOf(composition)} scaled ${scales.values}`);
    return this.#info(id);
  };
  /** The modules that are heard, with their weights; of a tuned one, those that it was made from. */
  heard(composition: Composition | null | undefined): string {
    const [first] = composition?.modules ?? [];
    if (!first?.id.startsWith("tuned")) return weightsOf(composition);
    const from = this.tuned.get(first.id);
    if (from === undefined) throw new Error(`${first.id} is not loaded`);
    return from;
  }
  leaveOneOut = async ({ composition, onStep, signal }: LeaveOneOutInput) => {
    this.calls.push(`leaveOneOut ${composition.modules.map(({ id }) => id)}`);
    onStep?.({ done: 0, total: composition.modules.length });
    await turn();
    signal?.throwIfAborted();
    return composition.modules.map(({ id }) => ({ id, loss: 3 }));
  };
  route: Client["route"] = async () => ({ chosen: null, text: "", candidates: [] });
  score: Client["score"] = async ({ composition }) => {
    this.heard(composition);
    return { loss: 1, examples: [] };
  };
  /** Every example comes out as its output and the modules that are heard. */
  assess: Client["assess"] = async ({ examples, composition, signal }) => {
    await turn();
    signal?.throwIfAborted();
    return {
      verdict: "works",
      probability: 1,
      expected: { mean: 1, low: 0.9, high: 1 },
      calibrated: true,
      probabilities: examples.map(() => 1),
      answers: examples.map(({ output }) => ({
        answer: output + this.heard(composition),
        correct: true,
      })),
      contradicting: [],
    };
  };
  exportAdapter: Client["exportAdapter"] = () => Promise.reject(new Error("not used"));

  /**
   * Generates three tokens: the name of the side, with the modules that are heard and their weights, the
   * input, and a full stop.
   */
  generate = ({ input, composition, onToken, signal }: GenerateInput) =>
    new RunningCall<Awaited<ReturnType<Client["generate"]>>, string>(async ({ stop }) => {
      const side = composition ? "composed" : "base";
      this.calls.push(`generate ${side}`);
      let text = "";
      let tokens = 0;
      for (const token of [side + this.heard(composition), ` ${input}`, "."]) {
        await turn();
        signal?.throwIfAborted();
        if (stop.aborted) break;
        text += token;
        tokens++;
        onToken?.(text);
      }
      return { text, tokens, seconds: 0, complete: tokens === 3 };
    });
  /** Answers every item correctly with a composition, and none without. */
  test = ({ examples, composition, onTested, signal }: TestInput) =>
    new RunningCall<Awaited<ReturnType<Client["test"]>>, never>(async ({ stop }) => {
      this.calls.push(`test ${composition ? "composed" : "base"}`);
      let done = 0;
      while (done < examples.length) {
        await turn();
        signal?.throwIfAborted();
        if (stop.aborted) break;
        done++;
        onTested?.({ done, total: examples.length, correct: composition ? done : 0 });
      }
      const correct = composition ? done : 0;
      const exactMatch = (100 * correct) / done;
      const complete = done === examples.length;
      const answers = examples.slice(0, done).map(({ input, output }) => ({
        input,
        expected: output,
        answer: output + this.heard(composition),
        correct: composition !== null,
      }));
      return { exactMatch, correct, total: done, seconds: 0, complete, answers };
    });
  fetchTest: Client["fetchTest"] = async (taskId) => {
    this.calls.push(`fetchTest ${taskId}`);
    return ["six", "seven"].map((word) => ({ input: `the word ${word}`, output: word }));
  };
  readExamples: Client["readExamples"] = async (text) => ({
    examples: await this.parseExamples(text),
    layout: PLAIN_TABLE,
  });
  parseExamples: Client["parseExamples"] = async (source) => {
    const text = typeof source === "string" ? source : new TextDecoder().decode(source);
    return text.split("\n").map((line) => {
      const [input = "", output = ""] = line.split("\t");
      return { input, output };
    });
  };

  share: Client["share"] = async ({ title, examples = [] }) => `${title}-${examples.length}`;
  decode: Client["decode"] = () => Promise.reject(new Error("not used"));
  restore: Client["restore"] = async (fragment) => {
    this.calls.push(`restore ${fragment}`);
    await this.load();
    const modules = [{ id: "two", weight: 0.7 }];
    const recipe = {
      registry: "./library/registry.json",
      base: { id: "small", hash: "" },
      modules: modules.map((one) => ({ ...one, hash: "" })),
      merge: "delta" as const,
      precision: "int8" as const,
      title: fragment,
      instruction: "Type a word.",
      examples: [],
    };
    return { recipe, composition: { modules, merge: "delta" } };
  };
  ended: Client["ended"] = null;
  restart = async () => {
    this.ended = null;
  };
  dispose = () => undefined;
  [Symbol.dispose] = () => undefined;
}
