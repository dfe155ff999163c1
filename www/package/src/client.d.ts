import type { BaseInfo, Composition, Device, ErrorReport, Evaluation, Example, ExamplesFormat, Generated, LearnOptions, LearnResult, ModuleInfo, ModuleLoss, Precision, Recipe, Registry, Score, TestResult } from "./generated/protocol.js";
import type { FromWorker, Progress, ToWorker } from "./messages.js";
/** The part of a `Worker` that the client uses. */
export interface WorkerLike {
    onmessage: ((message: MessageEvent<FromWorker>) => void) | null;
    onerror: ((error: ErrorEvent) => void) | null;
    postMessage(message: ToWorker): void;
    terminate(): void;
}
/** How to stop a call, and where its downloads report. */
export interface CallOptions {
    /** Stops the call. Learning, tests and answers then resolve with what they have. */
    signal?: AbortSignal;
    /** Bytes fetched, from the cache too. */
    onProgress?: (progress: Progress) => void;
    /** What is being done, in words. */
    onStage?: (text: string) => void;
}
/** Where the library is and how to run the engine. */
export interface InspectOptions extends CallOptions {
    /** The address of `registry.json`, relative to the page. */
    registryUrl: string | URL;
    /** Threads to use; one per core (at most 8) where left out. One thread needs no isolated page. */
    threads?: number;
    /** The folder that holds the wasm builds, for bundlers that do not copy the package's files. */
    wasmUrl?: string | URL;
    /** Makes the worker, for bundlers that do not understand `new URL(…, import.meta.url)`. */
    createWorker?: () => WorkerLike;
    /** Seconds without a byte after which a server counts as stalled. Default 15. */
    stallSeconds?: number;
    /** Told when the engine crashed and a new one is being started with what was loaded. */
    onRestart?: (report: ErrorReport) => void;
}
/** Which base to load. */
export interface LoadOptions extends CallOptions {
    /** The base's id in the registry; the first one where left out. */
    baseId?: string;
    /** `int8` (default) keeps the weights in 8 bits; `f32` is exact and four times as large. */
    precision?: Precision;
}
/** Where the library is, how to run the engine, and which base to load. */
export type OpenOptions = InspectOptions & LoadOptions;
/** What to learn from. */
export interface LearnCall extends CallOptions {
    /** The examples, usually five. */
    examples: Example[];
    /** The candidate modules; all of the library that fit the base where left out. */
    modules?: string[];
    /** Options that differ from `defaults`. */
    options?: Partial<LearnOptions>;
    /** Told of every evaluation of the loss. */
    onEvaluation?: (evaluation: Evaluation) => void;
    /** Told of the modules chosen, with the loss of each alone. */
    onSelected?: (modules: ModuleLoss[]) => void;
}
/** What to answer. */
export interface GenerateCall extends CallOptions {
    /** The input text. */
    input: string;
    /** The modules and their weights; null or left out for the base alone. */
    composition?: Composition | null;
    /** At most so many tokens. Default 64. */
    maxNewTokens?: number;
    /** Told of the text so far after every token. */
    onToken?: (text: string) => void;
}
/** What to test on. */
export interface TestCall extends CallOptions {
    /** The inputs with the outputs expected. */
    examples: Example[];
    /** The modules and their weights; null or left out for the base alone. */
    composition?: Composition | null;
    /** At most so many tokens for each answer. Default 64. */
    maxNewTokens?: number;
    /** Told after every answer. */
    onTested?: (counts: {
        done: number;
        total: number;
        correct: number;
    }) => void;
}
/** What a link holds. */
export interface ShareCall {
    /** The modules and their weights. */
    composition: Composition;
    /** The task's name. */
    title: string;
    /** A line that tells what the task is. */
    instruction?: string | null;
    /** Examples go into the link only when given here. */
    examples?: Example[];
    /** How the registry is named in the link; its address where left out. */
    registry?: string;
}
/** What came out of a link. */
export interface Restored {
    /** The recipe as the link holds it. */
    recipe: Recipe;
    /** Its composition, with every module loaded. */
    composition: Composition;
}
/**
 * A registry, a base model and its modules in a worker of their own.
 *
 * ```ts
 * const loom = await LoraLoom.open({ registryUrl: "library/registry.json" });
 * const learned = await loom.learn({ examples });
 * const { text } = await loom.generate({ input: "…", composition: learned });
 * ```
 *
 * Errors are {@link LoraLoomError}s; an aborted download rejects with the signal's reason.
 */
export declare class LoraLoom {
    #private;
    /** The module library. */
    readonly registry: Registry;
    /** The wasm build that runs, and why it is that one. */
    readonly device: Device;
    /** The options that {@link learn} uses where none are given. */
    readonly defaults: LearnOptions;
    /** The options of the published method. */
    readonly published: LearnOptions;
    /** The loaded base, or null before {@link load}. */
    base: BaseInfo | null;
    private constructor();
    /** Starts the engine, reads the registry and loads a base model. */
    static open(options: OpenOptions): Promise<LoraLoom>;
    /** Starts the engine and reads the registry, without fetching any model. */
    static inspect(options: InspectOptions): Promise<LoraLoom>;
    /** Fetches a base model and packs its weights. */
    load(options?: LoadOptions): Promise<BaseInfo>;
    /** The ids of the library's modules that were trained for the loaded base. */
    fittingModules(): string[];
    /** Fetches, checks and reads modules of the library; those already loaded cost nothing. */
    loadModules(ids: string[], options?: CallOptions): Promise<ModuleInfo[]>;
    /** Adds a PEFT folder's two files as a module. Such a module cannot go into a link. */
    addModule(id: string, config: Uint8Array, weights: Uint8Array): Promise<ModuleInfo>;
    /**
     * Learns one weight for each module from a few examples, without gradients.
     *
     * When the signal aborts while it learns, it resolves with the best point seen and
     * `complete: false`.
     */
    learn(call: LearnCall): Promise<LearnResult>;
    /** The loss of a composition with each of its modules left out in turn. */
    leaveOneOut(examples: Example[], composition: Composition, options?: CallOptions & {
        onTested?: TestCall["onTested"];
    }): Promise<ModuleLoss[]>;
    /** Answers an input, token by token. Aborted, it resolves with the text so far. */
    generate(call: GenerateCall): Promise<Generated>;
    /** Answers every input and counts the exact matches. Aborted, it resolves with what is done. */
    test(call: TestCall): Promise<TestResult>;
    /** The loss over examples: the mean cross-entropy of each output's tokens. */
    score(examples: Example[], composition?: Composition | null): Promise<Score>;
    /** Fetches a task's test set. */
    fetchTest(taskId: string, options?: CallOptions): Promise<Example[]>;
    /** Reads examples from pasted text; errors name the line and the field. */
    parseExamples(text: string, format?: ExamplesFormat): Promise<Example[]>;
    /** Bytes of memory that the engine holds. */
    memoryBytes(): Promise<number>;
    /** The `#` fragment (without the `#`) that restores a composition elsewhere. */
    share(call: ShareCall): Promise<string>;
    /** Reads a link's fragment without loading anything. */
    decode(fragment: string): Promise<Recipe>;
    /**
     * Restores a composition from a link's fragment: checks that this library has the same base and
     * modules, and loads what is missing. Nothing is learned.
     */
    restore(fragment: string, options?: CallOptions): Promise<Restored>;
    /** Ends the worker and frees all that it holds. Calls still running reject. */
    dispose(): void;
}
