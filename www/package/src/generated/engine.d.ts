// The exports of the wasm builds. Written by pkg-scripts/generate-types after a build.
import type {
    Assessment,
    BaseInfo,
    Candidate,
    ChosenWeights,
    Composition,
    Evaluation,
    Example,
    ExamplesFormat,
    FoundModules,
    Generated,
    GpuStatus,
    LearnOptions,
    LearnResult,
    LoadedHashes,
    ModuleInfo,
    ModuleLoss,
    ModuleQuery,
    PeftFiles,
    Placeholder,
    Precision,
    ReadExamples,
    Recipe,
    RecipeDraft,
    Registry,
    RegistryBase,
    RegistryFile,
    RegistryModule,
    RemoteFolder,
    RouteOptions,
    Routed,
    Score,
    SessionEvent,
    Setting,
    StoredComposition,
    Suggestion,
    TestResult,
    TuneOptions,
    TuneResult,
    TunedScales,
    Verified,
} from "./types.js";
export interface Hooks {
    onEvent(event: SessionEvent): void;
    nextTurn(): Promise<boolean>;
}
export type Lookup<T> = { found: T } | { missing: RegistryFile[] };
export class BaseLoad {
    free(): void;
    [Symbol.dispose](): void;
    endFile(): void;
    endPacked(): string;
    expectFile(bytes: number): void;
    constructor(id: string, title: string, license: string, config: Uint8Array, tokenizer: Uint8Array, added_tokens: Uint8Array, special_tokens_map: Uint8Array, tokenizer_config: Uint8Array, generation_config: Uint8Array, precision: Precision);
    static ofGguf(id: string, title: string, license: string, precision: Precision): BaseLoad;
    packedPiece(sha256: string, offset: number, limit: number): Uint8Array;
    pushPacked(bytes: Uint8Array): void;
    push(bytes: Uint8Array): void;
}
export class ModuleSearch {
    free(): void;
    [Symbol.dispose](): void;
    candidates(examples: Example[], base: string, limit: number): Lookup<Candidate[]>;
    isWhole(): boolean;
    constructor(registry: Registry);
    ofIds(ids: string[]): Lookup<RegistryModule[]>;
    search(query: ModuleQuery): Lookup<FoundModules>;
    take(path: string, bytes: Uint8Array): void;
}
export class Session {
    free(): void;
    [Symbol.dispose](): void;
    addEmbeddings(bytes: Uint8Array): void;
    addModule(id: string, config: Uint8Array, weights: Uint8Array): ModuleInfo;
    addScaled(id: string, composition: Composition, scales: TunedScales): ModuleInfo;
    assess(examples: Example[], composition: Composition | null, hooks: Hooks): Promise<Assessment>;
    embeddings(): Uint8Array;
    exportAdapter(composition: Composition, baseModel: string): PeftFiles;
    finishBase(load: BaseLoad, sha256: string): BaseInfo;
    generate(input: string, composition: Composition | null, maxNewTokens: number, hooks: Hooks): Promise<Generated>;
    learn(examples: Example[], modules: string[], options: LearnOptions, history: Evaluation[], hooks: Hooks): Promise<LearnResult>;
    leaveOneOut(examples: Example[], composition: Composition, hooks: Hooks): Promise<ModuleLoss[]>;
    constructor();
    openGpu(): Promise<GpuStatus | null>;
    route(input: string, compositions: StoredComposition[], options: Partial<RouteOptions>, hooks: Hooks): Promise<Routed>;
    score(examples: Example[], composition: Composition | null): Promise<Score>;
    suggest(examples: Example[], candidates: Candidate[], limit: number, hooks: Hooks): Promise<Suggestion[]>;
    test(examples: Example[], composition: Composition | null, maxNewTokens: number, hooks: Hooks): Promise<TestResult>;
    tune(examples: Example[], composition: Composition, options: Partial<TuneOptions>, id: string, hooks: Hooks): Promise<TuneResult>;
    verify(id: string): Promise<Verified | null>;
}
export class Sha256 {
    free(): void;
    [Symbol.dispose](): void;
    hex(): string;
    constructor();
    update(bytes: Uint8Array): void;
}
export function checkConfig(title: string, config: Uint8Array): void;
export function checkRecipe(recipe: Recipe, bases: RegistryBase[], modules: RegistryModule[], loaded: LoadedHashes): void;
export function chooseWeights(names: string[]): ChosenWeights | null;
export function decodeRecipe(fragment: string): Recipe;
export function defaultLearnOptions(): LearnOptions;
export function detectPlaceholder(start: Uint8Array): Placeholder | null;
export function encodeRecipe(recipe: Recipe): string;
export function fileBeside(registry: string, path: string): string;
export function hubAddress(text: string): string;
export function learnSettings(): Setting[];
export function makeRecipe(draft: RecipeDraft, bases: RegistryBase[], modules: RegistryModule[], loaded: LoadedHashes): Recipe;
export function memoryBytes(): number;
export function namesTokenizer(config: Uint8Array): boolean;
export function packedKey(sources: string[], precision: Precision): string;
export function parseExamples(bytes: Uint8Array, format: ExamplesFormat): Example[];
export function parseRegistry(bytes: Uint8Array): Registry;
export function publishedLearnOptions(): LearnOptions;
export function readExamples(bytes: Uint8Array, format: ExamplesFormat): ReadExamples;
export function registryAddress(text: string, files: boolean): string;
export function resolveAddress(text: string, hub: string, files: boolean): RemoteFolder;
export function shardNames(index: Uint8Array): string[];
export function start(): void;
export function usualWeights(): string[];
export function weightsIdentity(sha256s: string[]): string;
export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;
export interface InitOutput {
    readonly memory: WebAssembly.Memory;
}
export type SyncInitInput = BufferSource | WebAssembly.Module;
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;
export default function __wbg_init (module_or_path?: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;
