// The cells of the fault matrix, as they run in a page: a call of the package under a fault, and the same call after it.

import type { LoraLoom, LoraLoomError } from "../../www/package/src/index.js";

/** The calls, each with what it fetches: `learn` and `restore` load modules. */
export const CALLS = [
  "inspect",
  "open",
  "add",
  "learn",
  "generate",
  "test",
  "suggest",
  "restore",
] as const;
export type Call = (typeof CALLS)[number];

/** When a fault begins. */
export type Moment =
  /** Before the engine starts. */
  | "start"
  /** Right before the call. */
  | "call"
  /** Before the engine starts, and it ends with that engine: the call is of the next one, on the same storage. */
  | "visit before";

/** A fault as faulty-worker.mjs takes it. */
export interface Injected {
  kind: string;
  /** The exports within which the engine traps. */
  within?: string;
}

/** One cell. */
export interface Cell {
  call: Call;
  /** Name of its storage. */
  folder: string;
  moment: Moment;
  fault: Injected | null;
  /** Seconds within which each of its two calls ends. */
  bound: number;
  device: "wasm" | "webgpu";
  /** The name of an engine with the base and its modules that several cells share, as it takes long to start. */
  engine?: string;
}

/** What a call came to. */
export interface Outcome {
  /** The call's result without its times, as JSON; null after an error. */
  result: string | null;
  /** The code of its error, `aborted` for the signal's reason, or `no end`; null after a result. */
  code: string | null;
  /** The error's parts. */
  message: string[];
  seconds: number;
}

declare global {
  interface Window {
    /** A call under a fault, and the same call after it. */
    runCell(cell: Cell): Promise<{ faulty: Outcome; after: Outcome }>;
    /** The results of calls, one after another on one engine without a fault. */
    runAll(calls: readonly Call[]): Promise<string[]>;
  }
}

/** Puts the functions above into a page that has the package; `workerText` is faulty-worker.mjs. */
export function installCells(workerText: string): void {
  const MODEL = "narrow-tied";
  const MODULES = [`${MODEL}-first`, `${MODEL}-second`];
  const EXAMPLES = [
    { input: "Answer the question: is the river green or cold?", output: "cold river" },
    { input: "one", output: "two" },
  ];
  const COMPOSITION = {
    modules: MODULES.map((id, index) => ({ id, weight: 1 - index / 4 })),
    merge: "lorahub" as const,
  };
  const ADAPTER = new URL(`/golden/models/${MODEL}/adapters/third`, location.href).href;
  const ABORTED = new Error("aborted by the test");
  const blob = URL.createObjectURL(new Blob([workerText], { type: "text/javascript" }));
  const script = new URL("/package/worker.js", location.href).href;

  /** The page's side of one engine with its faults. */
  class Bench {
    loom: LoraLoom | null = null;
    readonly #cell: Cell;
    #fault: Injected | null;
    #worker: Worker | null = null;
    /** Resolves when the client reports that the engine crashed. */
    readonly crashed: Promise<void>;
    #onCrash: () => void = () => undefined;

    constructor(cell: Cell, fault: Injected | null) {
      this.#cell = cell;
      this.#fault = fault;
      this.crashed = new Promise((resolve) => {
        this.#onCrash = resolve;
      });
    }

    /** Begins the fault in a running engine. */
    async begin(fault: Injected): Promise<void> {
      // The engine traps once: not the one that takes its place, too.
      this.#fault = this.#worker && fault.kind === "trap" ? null : fault;
      if (fault.kind !== "script gone") {
        this.#worker?.postMessage({ fault });
      } else if (this.#worker) {
        this.#worker.postMessage({ fault: { kind: "crash" } });
        await this.crashed;
      }
    }

    end(): void {
      this.#fault = null;
      this.#worker?.postMessage({ noFault: true });
    }

    inspect(signal?: AbortSignal): Promise<LoraLoom> {
      const { device, folder } = this.#cell;
      return window.loraloom.LoraLoom.inspect({
        registryUrl: "/golden/registry.json",
        device,
        threads: 2,
        onRestart: () => this.#onCrash(),
        createWorker: () => {
          const gone = this.#fault?.kind === "script gone";
          const faults = this.#fault && !gone ? [this.#fault] : [];
          if (this.#fault?.kind === "trap") this.#fault = null;
          const name = JSON.stringify({ script, folder, faults });
          this.#worker = new Worker(gone ? "/package/gone.js" : blob, { type: "module", name });
          return this.#worker as never;
        },
        ...(signal && { signal }),
      });
    }

    /** Brings the engine to where the call can be made. */
    async prepare(call: Call): Promise<void> {
      if (call === "inspect") return;
      this.loom = await this.inspect();
      if (call === "open" || call === "restore") return;
      await this.loom.load({ baseId: MODEL });
      const { gpu } = this.loom.device;
      if (gpu && !gpu.active) throw new Error(`The GPU is not used: ${gpu.reason}`);
      if (call !== "add" && call !== "learn") await this.loom.loadModules(MODULES);
    }

    /** Makes the call; `onEvent` is called with its first sign of work. */
    async run(call: Call, signal: AbortSignal | null, onEvent: () => void): Promise<unknown> {
      const options = {
        ...(signal && { signal }),
        onProgress: onEvent,
        onStage: onEvent,
        onStep: onEvent,
        onEvaluation: onEvent,
        onToken: onEvent,
        onTested: onEvent,
      };
      if (call === "inspect") {
        this.loom?.dispose();
        this.loom = null;
        this.loom = await this.inspect(signal ?? undefined);
        return this.loom.registry;
      }
      const { loom } = this;
      if (!loom) throw new Error("There is no engine.");
      switch (call) {
        case "open": {
          // The rest is of the device.
          const { id, sha256, parameters } = await loom.load({ ...options, baseId: MODEL });
          return { id, sha256, parameters };
        }
        case "add":
          // From outside the library: its hashes are not known.
          return loom.addModule("own", ADAPTER, options);
        case "learn": {
          const settings = { optimizer: "cobyla", selection: "all", budget: 12 } as const;
          const input = { examples: EXAMPLES, modules: MODULES, options: settings };
          const { modules, loss, evaluations } = await loom.learn({ ...input, ...options });
          return { modules, loss, evaluations };
        }
        case "generate": {
          const input = { input: "is the river cold", composition: COMPOSITION, maxNewTokens: 12 };
          const { text, tokens } = await loom.generate({ ...input, ...options });
          return { text, tokens };
        }
        case "test": {
          const input = { examples: EXAMPLES, composition: COMPOSITION, maxNewTokens: 12 };
          const { seconds: _, ...result } = (await loom.test({
            ...input,
            ...options,
          })) as object & {
            seconds?: number;
          };
          return result;
        }
        case "suggest": {
          const found = await loom.suggest({ examples: EXAMPLES, limit: 3, ...options });
          return found.map(({ module, ...rest }) => ({ id: module.id, ...rest }));
        }
        case "restore": {
          const { composition } = await loom.restore(await fragment(), options);
          const { text } = await loom.generate({ input: "one", composition, maxNewTokens: 12 });
          return { composition, text };
        }
      }
    }
  }

  let shared: Promise<string> | null = null;
  /** A link to the composition, made once by an engine without faults. */
  function fragment(): Promise<string> {
    shared ??= (async () => {
      const loom = await window.loraloom.LoraLoom.open({
        registryUrl: "/golden/registry.json",
        baseId: MODEL,
        threads: 1,
      });
      await loom.loadModules(MODULES);
      const link = await loom.share({ composition: COMPOSITION, title: "A mix" });
      loom.dispose();
      return link;
    })();
    return shared;
  }

  async function outcome(seconds: number, work: () => Promise<unknown>): Promise<Outcome> {
    const began = performance.now();
    const spent = () => (performance.now() - began) / 1000;
    let timer = 0;
    const limit = new Promise<Outcome>((resolve) => {
      const none = { result: null, code: "no end", message: [], seconds };
      timer = window.setTimeout(() => resolve(none), seconds * 1000);
    });
    const ended = work().then(
      (result) => ({
        result: JSON.stringify(result),
        code: null,
        message: [],
        seconds: spent(),
      }),
      (error: LoraLoomError) => ({
        result: null,
        code: error === (ABORTED as unknown) ? "aborted" : (error.code ?? `no code: ${error}`),
        message: error === (ABORTED as unknown) ? [] : [error.what, error.why, error.next],
        seconds: spent(),
      }),
    );
    const first = await Promise.race([ended, limit]);
    clearTimeout(timer);
    return first;
  }

  const engines = new Map<string | undefined, Bench>();

  window.runAll = async (calls) => {
    const cell = { folder: "no fault", device: "wasm" } as Cell;
    const bench = new Bench(cell, null);
    const results: string[] = [];
    for (const call of calls) {
      results.push(JSON.stringify(await bench.run(call, null, () => undefined)));
    }
    bench.loom?.dispose();
    return results;
  };

  window.runCell = async (cell) => {
    const { call, moment, fault, bound } = cell;
    // The link of `restore` is made before the fault.
    await fragment();
    if (moment === "visit before") {
      const before = new Bench(cell, fault);
      await before.prepare(call);
      await before.run(call, null, () => undefined);
      before.loom?.dispose();
    }
    const known = engines.get(cell.engine);
    const bench = known ?? new Bench(cell, moment === "start" ? fault : null);
    if (!known) await bench.prepare(cell.engine ? "generate" : call);
    if (cell.engine) engines.set(cell.engine, bench);
    const aborts = fault?.kind === "abort";
    if (fault && !aborts && moment === "call") await bench.begin(fault);
    const controller = new AbortController();
    const abort = () => aborts && controller.abort(ABORTED);
    const faulty = await outcome(bound, () => {
      const running = bench.run(call, aborts ? controller.signal : null, abort);
      // Calls without events end before a later moment.
      if (call === "inspect" || call === "restore") abort();
      return running;
    });
    bench.end();
    const after = await outcome(bound, () => bench.run(call, null, () => undefined));
    if (!cell.engine) bench.loom?.dispose();
    return { faulty, after };
  };
}
