// A fake of the engine's session and of the loading of a base: it counts, and computes nothing.

import type {
  Assessment,
  Candidate,
  Composition,
  Evaluation,
  Example,
  GpuStatus,
  LearnOptions,
  LearnResult,
  ModuleLoss,
  Routed,
  RouteOptions,
  StoredComposition,
  TuneOptions,
  TuneResult,
} from "../src/protocol.js";
import type { BaseLoad, Hooks, Session } from "../src/worker/engine.js";
import { bytesOf, sha256 } from "./fake-library.js";

/** The facts of a module with these weights. */
const moduleInfo = (id: string, weights: Uint8Array) => ({
  id,
  rank: 8,
  targets: ["q", "v"],
  bytes: 100,
  sha256: sha256(weights),
  filesSha256: sha256(weights),
});

/** What each class of a wasm build has. */
export abstract class Freed {
  free() {}
  [Symbol.dispose]() {}
}

/** A load that counts the bytes pushed. */
export class FakeLoad extends Freed implements BaseLoad {
  /** The files beside the tokenizer and the configuration of the last load. */
  static filesBeside: string[] = [];
  /** The lengths that were said of files of weights. */
  static expected: number[] = [];
  readonly #label: { id: string; title: string; license: string };
  readonly #precision: "f32" | "int8";
  #alone = false;
  #start = "";
  #bytes = 0;
  #copy = "";

  constructor(
    id: string,
    title: string,
    license: string,
    _config: Uint8Array,
    _tokenizer: Uint8Array,
    addedTokens: Uint8Array,
    specialTokensMap: Uint8Array,
    tokenizerConfig: Uint8Array,
    generationConfig: Uint8Array,
    precision: "f32" | "int8",
  ) {
    super();
    const beside = [addedTokens, specialTokensMap, tokenizerConfig, generationConfig];
    FakeLoad.filesBeside = beside.map((bytes) => new TextDecoder().decode(bytes));
    this.#label = { id, title, license };
    this.#precision = precision;
  }
  /** A load of a GGUF file alone, whose packed copy has the file's start. */
  static ofGguf(id: string, title: string, license: string, precision: "f32" | "int8") {
    const none = new Uint8Array();
    const load = new FakeLoad(id, title, license, none, none, none, none, none, none, precision);
    load.#alone = true;
    return load;
  }
  push(bytes: Uint8Array) {
    this.#bytes += bytes.length;
    if (!this.#alone) return;
    this.#start += new TextDecoder().decode(bytes.subarray(0, 20));
    if (!this.#start.startsWith("GGUF")) throw failure("invalid-input", "No GGUF.", this.#start);
  }
  expectFile(bytes: number) {
    FakeLoad.expected.push(bytes);
  }

  endFile() {}
  packedPiece(sha256: string, offset: number, limit: number) {
    const { 0: start } = this.#start.split("\n");
    const copy = bytesOf(JSON.stringify({ packed: sha256, bytes: this.#bytes, start }));
    return copy.slice(offset, offset + limit);
  }
  pushPacked(bytes: Uint8Array) {
    this.#copy += new TextDecoder().decode(bytes);
  }
  endPacked() {
    const { packed, bytes, start } = JSON.parse(this.#copy);
    if (this.#alone !== start.startsWith("GGUF")) throw new Error("a copy of another kind");
    this.#bytes = bytes;
    return packed as string;
  }
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

export const failure = (
  code: "invalid-input" | "not-found" | "aborted",
  what: string,
  why: string,
) => ({
  code,
  what,
  why,
  next: "Try another.",
  details: {},
});

/** A session whose calls take `steps` steps, and which may trap at one of them. */
export class FakeSession extends Freed implements Session {
  static steps = 5;
  static trapAt = Number.POSITIVE_INFINITY;
  /** Called with a trap, which leaves the promise of the call unsettled. */
  static onTrap: (error: WebAssembly.RuntimeError) => void = () => undefined;
  /** Whether a call is running: the engine's own borrow check. */
  #borrowed = false;
  /** Whether descriptions were encoded before. */
  #encoded = false;

  /** Runs a call as the engine does: none while another one is awaited. */
  protected async borrow<T>(call: () => Promise<T>): Promise<T> {
    if (this.#borrowed) throw new Error("called while another call was awaited");
    this.#borrowed = true;
    try {
      return await call();
    } finally {
      this.#borrowed = false;
    }
  }

  /** Takes steps until the last one or until the call is to stop; whether it came to its end. */
  protected async each({ nextTurn }: Hooks, steps: number, onStep: (step: number) => void) {
    for (let step = 1; step <= steps; step++) {
      if (await nextTurn()) return false;
      if (step >= FakeSession.trapAt) {
        FakeSession.onTrap(new WebAssembly.RuntimeError("unreachable"));
        await new Promise(() => undefined);
      }
      onStep(step);
    }
    return true;
  }

  finishBase(load: BaseLoad, sha256: string) {
    if (this.#borrowed) throw new Error("called while another call was awaited");
    return { ...(load as FakeLoad).finish(), sha256, filesSha256: sha256 };
  }
  async openGpu(): Promise<GpuStatus | null> {
    return null;
  }
  addModule(id: string, config: Uint8Array, weights: Uint8Array) {
    if (this.#borrowed) throw new Error("called while another call was awaited");
    if (new TextDecoder().decode(config) === "broken") {
      throw failure("invalid-input", "The module was not read.", "Its config is broken.");
    }
    return moduleInfo(id, weights);
  }
  async verify(id: string) {
    if (id !== "small") return null;
    const known = { model: id, source: "a test", input: "in", expected: "-1.0000" };
    return { ...known, found: "-2.0000", agrees: false };
  }
  learn(
    examples: unknown,
    _modules: unknown,
    options: LearnOptions,
    before: unknown,
    hooks: Hooks,
  ) {
    return this.borrow(async (): Promise<LearnResult> => {
      const outputs = (examples as Example[]).flatMap(({ output }, example) =>
        output === "犬" ? [{ example, parts: [output] }] : [],
      );
      if (outputs.length) hooks.onEvent({ kind: "unwritable", outputs });
      if ((examples as Example[]).length > 5) {
        hooks.onEvent({ kind: "estimate", evaluation: 2, total: 70 });
      }
      const history = [...(before as Evaluation[])];
      let best: Evaluation | null = null;
      const complete = await this.each(hooks, FakeSession.steps, (number) => {
        const weights = [{ id: "one", weight: number / 10 }];
        const loss = 1 / number;
        const whole = {
          phase: "search" as const,
          complete: true,
          examples: [],
          losses: [],
          cost: 1,
        };
        best = { ...whole, number: history.length + 1, loss, best: loss, weights, seconds: 0 };
        history.push(best);
        hooks.onEvent({ kind: "evaluation", evaluation: best });
        this.evaluated(number, hooks);
      });
      const { number, loss, weights } = best ?? { number: 0, loss: 1, weights: [] };
      const { merge, optimizer } = options;
      const found = { modules: weights, merge, optimizer, lossStart: 1, loss };
      const counts = { evaluations: number, selectEvaluations: 0, seconds: 0 };
      return { ...found, ...counts, complete, assessment: null, history };
    });
  }
  protected evaluated(_number: number, _hooks: Hooks) {}
  suggest(_examples: unknown, candidates: Candidate[], limit: number, hooks: Hooks) {
    return this.borrow(async () => {
      const complete = await this.each(hooks, 2, (done) => {
        if (done === 2 || !this.#encoded) hooks.onEvent({ kind: "step", done, total: 2 });
      });
      if (!complete) throw failure("aborted", "The search was stopped.", "It was stopped.");
      this.#encoded = true;
      return candidates.slice(0, limit).map((one) => ({ ...one, similarity: 0.5 }));
    });
  }
  embeddings() {
    return bytesOf(this.#encoded ? "encoded" : "");
  }
  addEmbeddings(bytes: Uint8Array) {
    this.#encoded = new TextDecoder().decode(bytes) === "encoded";
  }
  generate(_input: string, _composition: unknown, maxNewTokens: number, hooks: Hooks) {
    return this.borrow(async () => {
      let text = "";
      const steps = Math.min(FakeSession.steps, maxNewTokens);
      const complete = await this.each(hooks, steps, () => {
        text += "x";
        hooks.onEvent({ kind: "token", text });
      });
      return { text, tokens: text.length, seconds: 0, complete };
    });
  }
  /** Chooses the composition with an input that is the input; the answer is the number of background texts. */
  route(
    input: string,
    compositions: StoredComposition[],
    { background, nearest, threshold }: Partial<RouteOptions>,
    hooks: Hooks,
  ) {
    return this.borrow(async (): Promise<Routed> => {
      const total = compositions.length;
      const complete = await this.each(hooks, total, (done) => {
        hooks.onEvent({ kind: "step", done, total });
      });
      if (!complete) throw failure("aborted", "It was stopped.", "It was stopped.");
      const found = compositions.findIndex(({ inputs }) => inputs.includes(input));
      const text = JSON.stringify({ background, nearest, threshold });
      const candidates = compositions.map(({ inputs }) => {
        const similarity = inputs.includes(input) ? 1 : 0;
        return { similarity, loss: 0, score: similarity, answer: text };
      });
      return { chosen: found < 0 ? null : found, text, candidates };
    });
  }
  test(_examples: unknown, _composition: unknown, _maxNewTokens: number, hooks: Hooks) {
    return this.borrow(async () => {
      let correct = 0;
      const complete = await this.each(hooks, FakeSession.steps, (done) => {
        correct = done;
        hooks.onEvent({ kind: "tested", done, total: FakeSession.steps, correct });
      });
      return { exactMatch: 100, correct, total: correct, seconds: 0, complete, answers: [] };
    });
  }
  score(_examples: unknown, composition: Composition | null) {
    const loss = composition?.modules.length ?? 0;
    return this.borrow(async () => ({ loss, examples: [] }));
  }
  assess() {
    return this.borrow(
      async (): Promise<Assessment> => ({
        verdict: "works",
        probability: 0.9,
        expected: { mean: 0.9, low: 0.8, high: 1 },
        calibrated: true,
        probabilities: [0.9],
        answers: [{ answer: "out", correct: true }],
        contradicting: [],
      }),
    );
  }
  /** Tunes by `steps` steps, each of which halves the loss. */
  tune(
    examples: Example[],
    { modules }: Composition,
    { part }: Partial<TuneOptions>,
    id: string,
    hooks: Hooks,
  ) {
    return this.borrow(async (): Promise<TuneResult> => {
      const steps: TuneResult["steps"] = [];
      const complete = await this.each(hooks, FakeSession.steps, (number) => {
        const step = { number, loss: 2 ** (1 - number), seconds: 0 };
        steps.push(step);
        hooks.onEvent({ kind: "tuned", step, steps: FakeSession.steps });
      });
      if (!steps.length) throw failure("aborted", "Tuning was stopped.", "It was stopped.");
      const weights = bytesOf(JSON.stringify(modules));
      return {
        module: moduleInfo(id, weights),
        composition: { modules: [{ id, weight: 1 }], merge: "delta" },
        ...(part === "scales" && { scales: { step: 0.1, values: [steps.length] } }),
        lossStart: 1,
        loss: 2 ** -steps.length,
        steps,
        seconds: 0,
        complete,
        assessment: {
          verdict: "works",
          probability: 0.9,
          expected: { mean: 0.9, low: 0.8, high: 1 },
          calibrated: true,
          probabilities: examples.map(() => 0.9),
          answers: complete ? examples.map(() => ({ answer: "out", correct: true })) : [],
          contradicting: [],
        },
      };
    });
  }
  addScaled(id: string, composition: Composition, scales: unknown) {
    if (this.#borrowed) throw new Error("called while another call was awaited");
    const weights = bytesOf(JSON.stringify([composition, scales]));
    return moduleInfo(id, weights);
  }
  exportAdapter() {
    return { config: bytesOf("{}"), weights: bytesOf("weights") };
  }
  leaveOneOut(_examples: unknown, { modules }: Composition, hooks: Hooks) {
    return this.borrow(async () => {
      const losses: ModuleLoss[] = [];
      const total = modules.length;
      const complete = await this.each(hooks, total, (done) => {
        losses.push({ id: modules[done - 1]?.id ?? "", loss: total - 1 });
        hooks.onEvent({ kind: "step", done, total });
      });
      if (!complete) throw failure("aborted", "It was stopped.", "It was stopped.");
      return losses;
    });
  }
}

const UNUSED: GpuStatus = {
  active: false,
  name: "",
  memory: { weightsBytes: 0, embeddingBytes: 0, modulesBytes: 0, workBytes: 0 },
  reason: "",
};

/** The same on a GPU that may be lost at one of the evaluations. */
export class FakeGpuSession extends FakeSession {
  static losesAt = Number.POSITIVE_INFINITY;

  override async openGpu() {
    return { ...UNUSED, active: true, memory: { ...UNUSED.memory, weightsBytes: 100 } };
  }
  protected override evaluated(number: number, { onEvent }: Hooks) {
    if (number !== FakeGpuSession.losesAt) return;
    onEvent({ kind: "gpu", status: { ...UNUSED, reason: "It was lost." } });
  }
}
