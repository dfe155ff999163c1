export type Example = {
    input: string;
    output: string;
};
export type Merge = "lorahub" | "delta";
export type Precision = "f32" | "int8";
export type Optimizer = "cobyla" | "cma-es" | "greedy";
export type Selection = "all" | "random" | "single-loss" | "by-hand";
export type Objective = "paper" | "reference";
export type LearnOptions = {
    budget: number;
    optimizer: Optimizer;
    selection: Selection;
    modules: number;
    merge: Merge;
    objective: Objective;
    seed: number;
    bound: number;
    regularization: number;
};
export type WeightedModule = {
    id: string;
    weight: number;
};
export type Composition = {
    modules: WeightedModule[];
    merge: Merge;
};
export type Evaluation = {
    number: number;
    phase: "select" | "search";
    loss: number;
    best: number;
    weights: WeightedModule[];
    seconds: number;
};
export type LearnResult = {
    modules: WeightedModule[];
    merge: Merge;
    lossStart: number;
    loss: number;
    evaluations: number;
    selectEvaluations: number;
    seconds: number;
    complete: boolean;
    history: Evaluation[];
};
export type Build = "threads" | "relaxed" | "simd128";
export type Device = {
    build: Build;
    threads: number;
    simd: "relaxed" | "simd128";
    isolated: boolean;
    reason: string;
    memoryBytes: number;
};
export type BaseInfo = {
    id: string;
    title: string;
    licence: string;
    parameters: number;
    bytes: number;
    precision: Precision;
    vocabSize: number;
    dModel: number;
    layers: number;
    memoryBytes: number;
};
export type ModuleInfo = {
    id: string;
    rank: number;
    targets: string[];
    bytes: number;
};
export type ErrorReport = {
    what: string;
    why: string;
    next: string;
};
export type Generated = {
    text: string;
    tokens: number;
    seconds: number;
    complete: boolean;
};
export type TestAnswer = {
    input: string;
    expected: string;
    answer: string;
    correct: boolean;
};
export type TestResult = {
    exactMatch: number;
    correct: number;
    total: number;
    seconds: number;
    complete: boolean;
    answers: TestAnswer[];
};
export type RecipeModule = {
    id: string;
    hash: string;
    weight: number;
};
export type Recipe = {
    registry: string;
    base: {
        id: string;
        hash: string;
    };
    modules: RecipeModule[];
    merge: Merge;
    precision: Precision;
    title: string;
    instruction: string | null;
    examples: Example[];
};
export type RegistryFile = {
    path: string;
    bytes: number;
    sha256: string;
};
export type RegistryBase = {
    id: string;
    title: string;
    description: string;
    licence: string;
    parameters: number;
    files: {
        config: RegistryFile;
        tokenizer: RegistryFile;
        weights: RegistryFile;
    };
};
export type RegistryModule = {
    id: string;
    title: string;
    task: string;
    example: Example;
    base: string;
    rank: number;
    targets: string[];
    files: {
        config: RegistryFile;
        weights: RegistryFile;
    };
    licence: string;
    tags: string[];
    result?: {
        exact_match: number;
        base_exact_match: number;
    };
};
export type RegistryTask = {
    id: string;
    title: string;
    description: string;
    why_unseen: string;
    set: "settings" | "table";
    instruction_shown: boolean;
    examples: Example[];
    test: RegistryFile;
};
export type Registry = {
    version: number;
    title: string;
    bases: RegistryBase[];
    modules: RegistryModule[];
    tasks: RegistryTask[];
};
export type ExamplesFormat = "auto" | "jsonl" | "csv" | "tsv";
export type ModuleLoss = {
    id: string;
    loss: number;
};
export type ExampleScore = {
    loss: number;
    tokens: number;
};
export type Score = {
    loss: number;
    examples: ExampleScore[];
};
export type Inspected = {
    registry: Registry;
    device: Device;
    defaults: LearnOptions;
    published: LearnOptions;
};
export type Request = {
    kind: "inspect";
    registryUrl: string;
    threads: number | null;
    wasmUrl: string | null;
    stallSeconds: number;
} | {
    kind: "open";
    baseId: string | null;
    precision: Precision;
} | {
    kind: "loadModules";
    ids: string[];
} | {
    kind: "addModule";
    id: string;
    config: Uint8Array;
    weights: Uint8Array;
} | {
    kind: "learn";
    examples: Example[];
    modules: string[];
    options: LearnOptions;
} | {
    kind: "leaveOneOut";
    examples: Example[];
    composition: Composition;
} | {
    kind: "generate";
    input: string;
    composition: Composition | null;
    maxNewTokens: number;
} | {
    kind: "test";
    examples: Example[];
    composition: Composition | null;
    maxNewTokens: number;
} | {
    kind: "score";
    examples: Example[];
    composition: Composition | null;
} | {
    kind: "fetchTest";
    taskId: string;
} | {
    kind: "parseExamples";
    text: string;
    format: ExamplesFormat;
} | {
    kind: "encodeRecipe";
    recipe: Recipe;
} | {
    kind: "decodeRecipe";
    fragment: string;
} | {
    kind: "memory";
};
export type Event = {
    kind: "progress";
    file: string;
    loaded: number;
    total: number;
    overallLoaded: number;
    overallTotal: number;
    cached: boolean;
} | {
    kind: "stage";
    text: string;
} | {
    kind: "selected";
    modules: ModuleLoss[];
} | {
    kind: "evaluation";
    evaluation: Evaluation;
} | {
    kind: "token";
    text: string;
} | {
    kind: "tested";
    done: number;
    total: number;
    correct: number;
};
