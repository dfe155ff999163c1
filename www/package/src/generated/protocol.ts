// The types that cross between the page, the worker and the wasm engine.
// Generated from the crate by pkg-scripts/generate-types: change them there.

/**
 * Files of a base model.
 */
export type BaseFiles = { 
/**
 * `config.json`.
 */
config: RegistryFile, 
/**
 * `tokenizer.json`.
 */
tokenizer: RegistryFile, 
/**
 * Safetensors or GGUF.
 */
weights: RegistryFile, };

/**
 * A base model that is loaded.
 */
export type BaseInfo = { 
/**
 * Its id in the registry.
 */
id: string, 
/**
 * Title for people.
 */
title: string, 
/**
 * License of the weights.
 */
license: string, 
/**
 * Number of parameters, embeddings included.
 */
parameters: number, 
/**
 * Bytes of the file of weights.
 */
bytes: number, 
/**
 * What the products are computed in.
 */
precision: Precision, 
/**
 * Tokens that the model knows.
 */
vocabSize: number, 
/**
 * Width of the hidden states.
 */
dModel: number, 
/**
 * Blocks of the encoder and the decoder together.
 */
layers: number, 
/**
 * Bytes of memory that the packed weights take.
 */
memoryBytes: number, 
/**
 * SHA-256 of the file of weights; of the first one where there are several, and empty for files
 * of this computer.
 */
sha256: string, };

/**
 * A WebAssembly build of the engine.
 */
export type Build = "threads" | "relaxed" | "simd128" | "gpu";

/**
 * A module that may suit some examples.
 */
export type Candidate = { 
/**
 * The module.
 */
module: RegistryModule, 
/**
 * Words that it shares with the examples, rarest first.
 */
words: Array<string>, };

/**
 * Modules with their coefficients, and how they become one update of the base.
 */
export type Composition = { 
/**
 * The modules; those at 0 may be left out.
 */
modules: Array<WeightedModule>, 
/**
 * How they become one update.
 */
merge: Merge, };

/**
 * What the engine runs on, and why.
 */
export type Device = { 
/**
 * The build that was picked.
 */
build: Build, 
/**
 * Threads that it runs on.
 */
threads: number, 
/**
 * Its vector instructions.
 */
simd: Simd, 
/**
 * Whether the page's headers allow shared memory.
 */
isolated: boolean, 
/**
 * Why it is this build, in words.
 */
reason: string, 
/**
 * Bytes of WebAssembly memory that it starts with.
 */
memoryBytes: number, 
/**
 * Whether the graphics card is used; null where it was not asked for.
 */
gpu: GpuStatus | null, };

/**
 * What the model is asked to run on.
 */
export type DeviceKind = "wasm" | "webgpu";

/**
 * A failure as people read it.
 */
export type ErrorReport = { 
/**
 * What happened.
 */
what: string, 
/**
 * Why: what was expected and what was found.
 */
why: string, 
/**
 * What to do next.
 */
next: string, };

/**
 * One evaluation that was made.
 */
export type Evaluation = { 
/**
 * Number of the evaluation, from 1.
 */
number: number, 
/**
 * What it belongs to.
 */
phase: Phase, 
/**
 * The objective: cross-entropy and penalty; infinite if the cross-entropy was not finite.
 */
loss: number, 
/**
 * The lowest objective so far, this evaluation included.
 */
best: number, 
/**
 * The modules with their coefficients, as in [`Step`].
 */
weights: Array<WeightedModule>, 
/**
 * Time this evaluation took, as the caller measured it.
 */
seconds: number, };

/**
 * What a worker tells while it works.
 */
export type Event = { "kind": "progress", 
/**
 * The file.
 */
file: string, 
/**
 * Its bytes so far.
 */
loaded: number, 
/**
 * Its bytes in all.
 */
total: number, 
/**
 * Bytes of all files of this request so far.
 */
overallLoaded: number, 
/**
 * Bytes of all files of this request.
 */
overallTotal: number, 
/**
 * Whether they came from the browser's cache.
 */
cached: boolean, } | { "kind": "stage", 
/**
 * The words.
 */
text: string, } | { "kind": "gpu", 
/**
 * Whether, and why not.
 */
status: GpuStatus, } | { "kind": "selected", 
/**
 * They, with the loss of each alone.
 */
modules: Array<ModuleLoss>, } | { "kind": "evaluation", 
/**
 * The evaluation.
 */
evaluation: Evaluation, } | { "kind": "token", 
/**
 * The text so far.
 */
text: string, } | { "kind": "tested", 
/**
 * Items answered.
 */
done: number, 
/**
 * Items in all.
 */
total: number, 
/**
 * Exact matches so far.
 */
correct: number, };

/**
 * One example of a task: what goes in, and what should come out.
 */
export type Example = { 
/**
 * Text that the model reads.
 */
input: string, 
/**
 * Text that the model should write.
 */
output: string, };

/**
 * The loss of one example.
 */
export type ExampleScore = { 
/**
 * Mean cross-entropy of the output's tokens, in nats.
 */
loss: number, 
/**
 * Tokens of the output, the end marker included.
 */
tokens: number, };

/**
 * How a text of examples is written.
 */
export type ExamplesFormat = "auto" | "jsonl" | "csv" | "tsv";

/**
 * What was found.
 */
export type FoundModules = { 
/**
 * Modules that match.
 */
total: number, 
/**
 * Those asked for, best first.
 */
modules: Array<RegistryModule>, 
/**
 * The library's most frequent tags, most frequent first.
 */
tags: Array<TagCount>, 
/**
 * The library's ranks, ascending.
 */
ranks: Array<RankCount>, };

/**
 * An answer.
 */
export type Generated = { 
/**
 * The text.
 */
text: string, 
/**
 * Its tokens, the end marker included.
 */
tokens: number, 
/**
 * Time it took.
 */
seconds: number, 
/**
 * False if it was stopped.
 */
complete: boolean, };

/**
 * What one step of an answer brought.
 */
export type GenerationStep = { 
/**
 * The text so far.
 */
text: string, 
/**
 * Its tokens.
 */
tokens: number, 
/**
 * The answer, once it is whole.
 */
result: Generated | null, };

/**
 * Bytes of the graphics card's memory, each planned before anything is made there and compared with
 * the card's limits: what does not fit is left to the CPU.
 */
export type GpuMemory = { 
/**
 * The model's weights but the embedding.
 */
weightsBytes: number, 
/**
 * The embedding, which is looked up in f32.
 */
embeddingBytes: number, 
/**
 * The modules that are on it.
 */
modulesBytes: number, 
/**
 * What the largest evaluation or answer so far computes in; the check against the CPU is the
 * first.
 */
workBytes: number, };

/**
 * Whether the graphics card is used, and why not. Without a base it is not used yet.
 */
export type GpuStatus = { 
/**
 * Whether it is used.
 */
active: boolean, 
/**
 * Its name, where the browser tells it.
 */
name: string, 
/**
 * What it takes of the card's memory; all 0 where it is not used.
 */
memory: GpuMemory, 
/**
 * Why the CPU took over, or how often a lost device was opened again; empty if neither.
 */
reason: string, };

/**
 * What is known before a model is fetched.
 */
export type Inspected = { 
/**
 * The module library.
 */
registry: Registry, 
/**
 * What the engine runs on.
 */
device: Device, 
/**
 * The settings of learning where none are given.
 */
defaults: LearnOptions, 
/**
 * The settings of the published method.
 */
published: LearnOptions, };

/**
 * The settings of a learning run.
 */
export type LearnOptions = { 
/**
 * Evaluations of the search, the one at 0 included; 2 to 10,000.
 */
budget: number, 
/**
 * Which search finds the coefficients.
 */
optimizer: Optimizer, 
/**
 * How the modules that are searched over are chosen.
 */
selection: Selection, 
/**
 * Most modules to search over, where the selection chooses; 1 to 1,000.
 */
modules: number, 
/**
 * How the modules become one LoRA branch.
 */
merge: Merge, 
/**
 * What is minimised.
 */
objective: Objective, 
/**
 * Seed of everything that is random.
 */
seed: number, 
/**
 * Largest size of a coefficient; above 0 and at most 100.
 */
bound: number, 
/**
 * Factor of the penalty mean|w|; 0 or more.
 */
regularization: number, };

/**
 * What a run has found.
 */
export type LearnResult = { 
/**
 * The modules of the best point with their coefficients, those at 0 included.
 */
modules: Array<WeightedModule>, 
/**
 * How the modules become one LoRA branch.
 */
merge: Merge, 
/**
 * Which search found it.
 */
optimizer: Optimizer, 
/**
 * The objective of the base model alone; infinite if it was not evaluated.
 */
lossStart: number, 
/**
 * The objective at the best point.
 */
loss: number, 
/**
 * Evaluations in all.
 */
evaluations: number, 
/**
 * Evaluations of modules alone among them.
 */
selectEvaluations: number, 
/**
 * Time of all evaluations together.
 */
seconds: number, 
/**
 * Whether the run went to its end; false if it was cancelled.
 */
complete: boolean, 
/**
 * Every evaluation.
 */
history: Array<Evaluation>, };

/**
 * What one step of learning brought.
 */
export type LearningStep = { 
/**
 * The evaluation that was made, if any was left.
 */
evaluation: Evaluation | null, 
/**
 * The modules that were chosen by this step, with the loss of each alone.
 */
selected: Array<ModuleLoss> | null, 
/**
 * The result, after the last evaluation.
 */
result: LearnResult | null, };

/**
 * A file of the person's computer.
 */
export type LocalFile = { 
/**
 * Its path within what was chosen, with `/` between its parts.
 */
path: string, 
/**
 * Its contents.
 */
contents: Blob, };

/**
 * How modules with weights `wᵢ` become one update of the base.
 */
export type Merge = "lorahub" | "delta";

/**
 * Files of a module.
 */
export type ModuleFiles = { 
/**
 * `adapter_config.json`.
 */
config: RegistryFile, 
/**
 * `adapter_model.safetensors` or `adapter_model.bin`.
 */
weights: RegistryFile, };

/**
 * A module that is loaded.
 */
export type ModuleInfo = { 
/**
 * Its id.
 */
id: string, 
/**
 * The largest rank of its layers.
 */
rank: number, 
/**
 * PEFT's names of the layers that it changes.
 */
targets: Array<string>, 
/**
 * Bytes of memory that its matrices take.
 */
bytes: number, 
/**
 * SHA-256 of the file of weights.
 */
sha256: string, };

/**
 * The loss of a module alone, or of a composition without it.
 */
export type ModuleLoss = { 
/**
 * The module.
 */
id: string, 
/**
 * The loss.
 */
loss: number, };

/**
 * What to look for.
 */
export type ModuleQuery = { 
/**
 * Words of the title, the task, the example, the tags or the id; each has to be there, or a
 * longer word that starts with it.
 */
text: string, 
/**
 * Tags; each has to be there.
 */
tags: Array<string>, 
/**
 * The rank; any where null.
 */
rank: number | null, 
/**
 * Id of the base; any where null.
 */
base: string | null, 
/**
 * Modules to pass over, best first.
 */
offset: number, 
/**
 * Modules to answer with.
 */
limit: number, };

/**
 * What a module scores on the task that it was trained for.
 */
export type ModuleResult = { 
/**
 * Exact match of the base with the module, 0 to 100.
 */
exact_match: number, 
/**
 * Exact match of the base alone, 0 to 100.
 */
base_exact_match: number, };

/**
 * How the losses of the examples become one number; the penalty on the coefficients,
 * [`LearnOptions::regularization`] · mean|w|, is added to either.
 */
export type Objective = "paper" | "reference";

/**
 * Which search finds the coefficients.
 */
export type Optimizer = "cobyla" | "cma-es" | "greedy" | "ridge-trust-region";

/**
 * What an evaluation belongs to.
 */
export type Phase = "select" | "search";

/**
 * What the base model's products are computed in.
 */
export type Precision = "f32" | "int8";

/**
 * How many modules have a rank.
 */
export type RankCount = { 
/**
 * The rank.
 */
rank: number, 
/**
 * Modules that have it.
 */
modules: number, };

/**
 * A composition with all that another machine needs to repeat it.
 */
export type Recipe = { 
/**
 * Address of `registry.json`.
 */
registry: string, 
/**
 * The base model.
 */
base: RecipeBase, 
/**
 * The modules, in the order in which they are added up.
 */
modules: Array<RecipeModule>, 
/**
 * How the modules become one LoRA branch.
 */
merge: Merge, 
/**
 * What the base's products are computed in.
 */
precision: Precision, 
/**
 * Name of the task, for people.
 */
title: string, 
/**
 * What the task is, in a line, if a person wrote one.
 */
instruction: string | null, 
/**
 * Examples of the task, if a person chose to share them.
 */
examples: Array<Example>, };

/**
 * A base model, by id and contents.
 */
export type RecipeBase = { 
/**
 * Id in the registry.
 */
id: string, 
/**
 * The first hexadecimal digits of the SHA-256 of its weights.
 */
hash: string, };

/**
 * A module, by id and contents, with its coefficient.
 */
export type RecipeModule = { 
/**
 * Id in the registry.
 */
id: string, 
/**
 * The first hexadecimal digits of the SHA-256 of its weights.
 */
hash: string, 
/**
 * Its coefficient.
 */
weight: number, };

/**
 * Everything that a static host offers.
 */
export type Registry = { 
/**
 * Version of the format, [`VERSION`].
 */
version: number, 
/**
 * Title for people.
 */
title: string, 
/**
 * Base models.
 */
bases: Array<RegistryBase>, 
/**
 * Modules; none where they are in pages.
 */
modules: Array<RegistryModule>, 
/**
 * Where the modules are that `modules` does not list.
 */
index?: RegistryIndex, 
/**
 * Tasks to try.
 */
tasks: Array<RegistryTask>, };

/**
 * A base model.
 */
export type RegistryBase = { 
/**
 * Id, which modules refer to.
 */
id: string, 
/**
 * Title for people.
 */
title: string, 
/**
 * What it is, in a sentence or two.
 */
description: string, 
/**
 * License of the weights.
 */
license: string, 
/**
 * Number of parameters.
 */
parameters: number, 
/**
 * Its files.
 */
files: BaseFiles, };

/**
 * One file, by its place beside `registry.json` or in a repository of a hub.
 */
export type RegistryFile = { 
/**
 * Path relative to the registry's own address, with `/` between its parts; or
 * `hub:OWNER/NAME@REVISION/FILE`.
 */
path: string, 
/**
 * Length; 0 for a hub's file whose length the registry does not give.
 */
bytes: number, 
/**
 * SHA-256 of the contents, 64 lower-case hexadecimal digits; empty for a hub's file whose hash
 * the registry does not give: then that of the first download counts.
 */
sha256: string, 
/**
 * About how long it is, for people, where `bytes` does not say.
 */
about_bytes?: number, };

/**
 * Where the modules of a registry are that does not list them itself.
 */
export type RegistryIndex = { 
/**
 * Modules in all.
 */
modules: number, 
/**
 * Modules of each page but the last.
 */
page_modules: number, 
/**
 * JSON lists of modules.
 */
pages: Array<RegistryFile>, 
/**
 * The index of terms.
 */
terms: Array<TermShard>, 
/**
 * The most frequent tags, most frequent first.
 */
tags: Array<TagCount>, 
/**
 * All ranks, ascending.
 */
ranks: Array<RankCount>, };

/**
 * A LoRA module.
 */
export type RegistryModule = { 
/**
 * Id, which recipes refer to.
 */
id: string, 
/**
 * Title for people.
 */
title: string, 
/**
 * What it was trained for, in one sentence.
 */
task: string, 
/**
 * One example of that task, where one is known.
 */
example?: Example, 
/**
 * Id of the base that it was trained on.
 */
base: string, 
/**
 * Rank of its layers.
 */
rank: number, 
/**
 * PEFT's names of the layers that it changes.
 */
targets: Array<string>, 
/**
 * Its files.
 */
files: ModuleFiles, 
/**
 * License of the weights.
 */
license: string, 
/**
 * Words to find it by.
 */
tags: Array<string>, 
/**
 * What it scores, where that was measured.
 */
result?: ModuleResult, };

/**
 * A task that no module was trained for, with its five examples and its test set.
 */
export type RegistryTask = { 
/**
 * Id.
 */
id: string, 
/**
 * Title for people.
 */
title: string, 
/**
 * What a person asks for.
 */
description: string, 
/**
 * Why no module was trained for it, in one sentence.
 */
why_unseen: string, 
/**
 * Which list it belongs to.
 */
set: TaskSet, 
/**
 * Whether the inputs state the task.
 */
instruction_shown: boolean, 
/**
 * Examples to learn from.
 */
examples: Array<Example>, 
/**
 * The test set, as JSON lines.
 */
test: RegistryFile, };

/**
 * What a page asks of its worker.
 */
export type Request = { "kind": "inspect", 
/**
 * Address of `registry.json`.
 */
registryUrl: string, 
/**
 * What to run on.
 */
device: DeviceKind, 
/**
 * Threads to use; one per core where null.
 */
threads: number | null, 
/**
 * Folder of the wasm builds; the package's own where null.
 */
wasmUrl: string | null, 
/**
 * Address of the hub that the registry's `hub:` paths belong to.
 */
hub: string, 
/**
 * Seconds without a byte after which a server counts as stalled.
 */
stallSeconds: number, } | { "kind": "open", 
/**
 * Where its files are.
 */
source: Source, 
/**
 * What to compute in.
 */
precision: Precision, } | { "kind": "verify" } | { "kind": "search", 
/**
 * What to look for.
 */
query: ModuleQuery, } | { "kind": "entries", 
/**
 * Their ids; those that the registry has not are left out of the answer.
 */
ids: Array<string>, } | { "kind": "suggest", 
/**
 * The examples.
 */
examples: Array<Example>, 
/**
 * At most so many modules.
 */
most: number, } | { "kind": "loadModules", 
/**
 * Their ids.
 */
ids: Array<string>, } | { "kind": "addModule", 
/**
 * The id that it gets.
 */
id: string, 
/**
 * Where its files are.
 */
source: Source, } | { "kind": "storage" } | { "kind": "deleteStored", 
/**
 * Their keys.
 */
keys: Array<string>, } | { "kind": "learn", 
/**
 * What to learn from.
 */
examples: Array<Example>, 
/**
 * The candidates.
 */
modules: Array<string>, 
/**
 * The settings.
 */
options: LearnOptions, } | { "kind": "leaveOneOut", 
/**
 * The examples of the loss.
 */
examples: Array<Example>, 
/**
 * The composition.
 */
composition: Composition, } | { "kind": "generate", 
/**
 * The input.
 */
input: string, 
/**
 * The composition; the base alone where null.
 */
composition: Composition | null, 
/**
 * At most so many tokens.
 */
maxNewTokens: number, } | { "kind": "test", 
/**
 * Inputs with the answers that count.
 */
examples: Array<Example>, 
/**
 * The composition; the base alone where null.
 */
composition: Composition | null, 
/**
 * At most so many tokens for each.
 */
maxNewTokens: number, } | { "kind": "score", 
/**
 * The examples.
 */
examples: Array<Example>, 
/**
 * The composition; the base alone where null.
 */
composition: Composition | null, } | { "kind": "fetchTest", 
/**
 * The task.
 */
taskId: string, } | { "kind": "parseExamples", 
/**
 * The text.
 */
text: string, 
/**
 * How it is written.
 */
format: ExamplesFormat, } | { "kind": "encodeRecipe", 
/**
 * What it holds.
 */
recipe: Recipe, } | { "kind": "decodeRecipe", 
/**
 * The fragment, without `#`.
 */
fragment: string, } | { "kind": "memory" };

/**
 * What one step of a retrieval brought.
 */
export type RetrievalStep = { 
/**
 * Texts read.
 */
done: number, 
/**
 * Texts in all.
 */
total: number, 
/**
 * The nearest modules, once every text is read.
 */
result: Array<Suggestion> | null, };

/**
 * The loss over examples.
 */
export type Score = { 
/**
 * Mean of the examples' losses.
 */
loss: number, 
/**
 * Each example's loss.
 */
examples: Array<ExampleScore>, };

/**
 * How the modules that are searched over are chosen from the candidates.
 */
export type Selection = "all" | "random" | "single-loss" | "by-hand";

/**
 * The vector instructions of a build.
 */
export type Simd = "relaxed" | "simd128";

/**
 * Where the files of a base model or of a module are.
 */
export type Source = { "kind": "registry", 
/**
 * The id there; the first base where null.
 */
id: string | null, } | { "kind": "hub", 
/**
 * Address of the hub, without a `/` at its end.
 */
host: string, 
/**
 * Owner and name, with a `/` between them.
 */
repo: string, 
/**
 * Branch, tag or commit.
 */
revision: string, 
/**
 * The file of weights; the best one that the repository has where null.
 */
file: string | null, } | { "kind": "folder", 
/**
 * Address of the folder, with a `/` at its end.
 */
url: string, 
/**
 * The file of weights; the first of the usual names where null.
 */
file: string | null, } | { "kind": "files", 
/**
 * The files.
 */
files: Array<LocalFile>, };

/**
 * What the browser keeps.
 */
export type Storage = { 
/**
 * Where.
 */
kind: StoreKind, 
/**
 * Whether the browser promised not to evict it.
 */
persisted: boolean, 
/**
 * Bytes that the site uses, where the browser tells.
 */
usage: number | null, 
/**
 * Bytes that the site may use, where the browser tells.
 */
quota: number | null, 
/**
 * The files, largest first.
 */
files: Array<StoredFile>, };

/**
 * Where fetched files are kept.
 */
export type StoreKind = "file-system" | "cache" | "memory";

/**
 * A file that is kept.
 */
export type StoredFile = { 
/**
 * What it is kept under: its SHA-256, `url-` and that of its address, or `packed-` and what names
 * a packed copy.
 */
key: string, 
/**
 * Where it came from.
 */
url: string, 
/**
 * Bytes kept.
 */
bytes: number, 
/**
 * Whether it is whole; the rest of an interrupted download is fetched when it is next needed.
 */
complete: boolean, 
/**
 * SHA-256 of the contents, once it is whole.
 */
sha256: string | null, 
/**
 * Whether that hash was given beforehand, or is that of the first download.
 */
pinned: boolean, 
/**
 * Whether it is the file's weights as the engine packs them, which load faster than the file.
 */
packed: boolean, };

/**
 * A module that may suit some examples, and why.
 */
export type Suggestion = { 
/**
 * The module.
 */
module: RegistryModule, 
/**
 * Mean cosine of its description with the examples, in the eyes of the model's encoder and less
 * what all candidates share: 1 at most.
 */
similarity: number, 
/**
 * Words that it shares with the examples, rarest first.
 */
words: Array<string>, };

/**
 * How many modules have a tag.
 */
export type TagCount = { 
/**
 * The tag.
 */
tag: string, 
/**
 * Modules that have it.
 */
modules: number, };

/**
 * Which list of tasks one belongs to.
 */
export type TaskSet = "settings" | "table";

/**
 * A shard of the index of terms.
 */
export type TermShard = { 
/**
 * Its first term; the next shard's first one comes after its last.
 */
first: string, 
/**
 * Where it is.
 */
file: RegistryFile, };

/**
 * The answer to one item of a test set.
 */
export type TestAnswer = { 
/**
 * What the model was given.
 */
input: string, 
/**
 * The answer that counts.
 */
expected: string, 
/**
 * The model's answer.
 */
answer: string, 
/**
 * Whether they match.
 */
correct: boolean, };

/**
 * The result of a test set.
 */
export type TestResult = { 
/**
 * Exact matches in percent of the items answered.
 */
exactMatch: number, 
/**
 * Exact matches.
 */
correct: number, 
/**
 * Items answered.
 */
total: number, 
/**
 * Time it took.
 */
seconds: number, 
/**
 * False if it was stopped.
 */
complete: boolean, 
/**
 * The answers, in the order of the items.
 */
answers: Array<TestAnswer>, };

/**
 * What one step of a test brought.
 */
export type TestStep = { 
/**
 * Items answered.
 */
done: number, 
/**
 * Items in all.
 */
total: number, 
/**
 * Exact matches so far.
 */
correct: number, 
/**
 * The result, once every item is answered.
 */
result: TestResult | null, };

/**
 * What came out of a [`KnownAnswer`].
 */
export type Verified = { 
/**
 * The published model's id on the hub.
 */
model: string, 
/**
 * Where the value is published.
 */
source: string, 
/**
 * The input's text.
 */
input: string, 
/**
 * What should come out: an answer, or a score with four digits after the point.
 */
expected: string, 
/**
 * What came out.
 */
found: string, 
/**
 * Whether the two agree; scores of a model in 8 bits within 2 %.
 */
agrees: boolean, };

/**
 * A module and its coefficient.
 */
export type WeightedModule = { 
/**
 * The module.
 */
id: string, 
/**
 * Its coefficient.
 */
weight: number, };
