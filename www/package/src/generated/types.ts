// The types of the wasm engine: what it takes, returns and reports.
// Generated from the crate by pkg-scripts/generate-types: change them there.

/**
 * What of an adapter does not fit its base, or is left out. PEFT loads such an adapter too.
 */
export type AdapterNotes = { 
/**
 * The base that the adapter's configuration names, where it is another one.
 */
otherBase: string | null, 
/**
 * Layers that the configuration targets but whose matrices the weights lack; they are not changed.
 */
missingLayers: Array<string>, 
/**
 * Layers whose matrices the weights contain but the configuration does not target; they are not
 * used.
 */
unusedLayers: Array<string>, };

/**
 * Whether a composition works, and why.
 */
export type Assessment = { 
/**
 * In one word.
 */
verdict: Verdict, 
/**
 * Mean over the examples of the probability of the whole right output.
 */
probability: number, 
/**
 * That mean where each example's probability is of the weights that the other examples would
 * have chosen among those that were tried; none where no weights were tried.
 */
leftOut?: number, 
/**
 * The share of the examples that are answered exactly by what was tuned on the others; none where that was not
 * tried.
 */
leftOutCorrect?: number, 
/**
 * The share of new inputs that are answered exactly.
 */
expected: Expected, 
/**
 * Whether `expected` was measured on this base; otherwise it is that of another one.
 */
calibrated: boolean, 
/**
 * The probability of the whole right output of each example.
 */
probabilities: Array<number>, 
/**
 * The answers to the examples, empty if learning was stopped.
 */
answers: Array<ExampleAnswer>, 
/**
 * Set where a mix was not needed and was left out.
 */
enough?: Enough, 
/**
 * Indices of the examples that contradict the others.
 */
contradicting: Array<number>, };

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
 * Precision of the products.
 */
precision: Precision, 
/**
 * Size of the vocabulary.
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
 * SHA-256 of the file of weights; of the first one where there are several, and empty for local
 * files.
 */
sha256: string, 
/**
 * SHA-256 over those of all files, the configuration and the tokenizer among them; empty where `sha256` is, or
 * where the files were not read as such.
 */
filesSha256: string, 
/**
 * What of the files is left out; absent where all of them are used.
 */
notes?: BaseNotes, };

/**
 * What of a base model's files is left out or replaced. Transformers loads such weights too, and warns.
 */
export type BaseNotes = { 
/**
 * Tensors that the model does not have. Copies of the embedding are none of them.
 */
unusedTensors: UnusedTensors, 
/**
 * How `lm_head` differs from what the configuration says; absent where it does not.
 */
lmHead?: LmHeadNote, 
/**
 * Settings of decoding that are not applied; absent where there are none.
 */
generation?: GenerationNote, };

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
 * A value that a form offers.
 */
export type Choice = { 
/**
 * The value, as it is in JSON.
 */
value: string, 
/**
 * Name for people.
 */
label: string, 
/**
 * What it does, in a sentence.
 */
help: string, };

/**
 * The weights of a folder.
 */
export type ChosenWeights = { "kind": "file", "name": string } | { "kind": "index", "name": string };

/**
 * Modules with their coefficients, and how they become one update of the base.
 */
export type Composition = { 
/**
 * The modules; those of weight 0 may be left out.
 */
modules: Array<WeightedModule>, 
/**
 * The merge.
 */
merge: Merge, };

/**
 * Steps and a learning rate that go together.
 */
export type Effort = "quick" | "balanced" | "thorough";

/**
 * A record whose input or output is empty.
 */
export type EmptyField = { 
/**
 * The record, as `line 3` or `item 3`.
 */
place: string, 
/**
 * The field that is empty: `input` or `output`.
 */
field: string, };

/**
 * What does as well as any mix.
 */
export type Enough = "base" | "module" | "held";

/**
 * What kind of failure it is.
 */
export type ErrorCode = "network" | "not-found" | "integrity" | "quota" | "unsupported" | "out-of-memory" | "invalid-input" | "not-loaded" | "busy" | "aborted" | "gpu" | "internal";

/**
 * A failure as people read it.
 */
export type ErrorReport = { 
/**
 * What kind of failure it is.
 */
code: ErrorCode, 
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
next: string, 
/**
 * What the sentences are about: `module`, `example` (from 1), `setting`.
 */
details: Record<string, string | number>, };

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
 * The objective over all examples of these weights that were evaluated so far; infinite if it is
 * not a finite number.
 */
loss: number, 
/**
 * Whether `loss` covers every example.
 */
complete: boolean, 
/**
 * The lowest objective over every example so far, this evaluation included.
 */
best: number, 
/**
 * The modules with their coefficients, as in [`Step`].
 */
weights: Array<WeightedModule>, 
/**
 * Indices of the examples that this evaluation computed.
 */
examples: Array<number>, 
/**
 * Their losses; empty where the gradient was computed.
 */
losses: Array<ExampleScore>, 
/**
 * The gradient of the mean of their losses with respect to the coefficients of modules that are not
 * in use, where it was computed.
 */
gradient?: Array<number>, 
/**
 * What this counts of the budget, in evaluations of all examples.
 */
cost: number, 
/**
 * Time this evaluation took, as the caller measured it.
 */
seconds: number, };

/**
 * One example of a task: an input and the expected output.
 */
export type Example = { 
/**
 * The model's input text.
 */
input: string, 
/**
 * The expected output text.
 */
output: string, };

/**
 * The answer to one of the few examples.
 */
export type ExampleAnswer = { 
/**
 * The answer.
 */
answer: string, 
/**
 * Whether it is the example's output.
 */
correct: boolean, };

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
 * The format of a text with examples.
 */
export type ExamplesFormat = "auto" | "jsonl" | "csv" | "tsv";

/**
 * What a text of examples was read as, to be shown before the examples are used.
 */
export type ExamplesLayout = { 
/**
 * What stands between the columns of a table; none for JSON.
 */
delimiter: string | null, 
/**
 * Names of the fields that go before the input, on a line of their own.
 */
instruction: Array<string>, 
/**
 * Names of the fields that the inputs were read from: several where JSON objects differ; none for a
 * table without a header, whose first column is the input and whose second is the output.
 */
input: Array<string>, 
/**
 * Names of the fields that the outputs were read from.
 */
output: Array<string>, 
/**
 * Names of fields that were not used, at most 8.
 */
unused: Array<string>, 
/**
 * Number of records that are not among the examples, as their input or output is empty.
 */
leftOut: number, 
/**
 * The first of these records, at most 8.
 */
empty: Array<EmptyField>, 
/**
 * Number of rows of a table that had blanks around a cell, which are removed. Texts in JSON are exact.
 */
trimmed: number, };

/**
 * The share of new inputs that are answered exactly, 0 to 1.
 */
export type Expected = { 
/**
 * The expected share.
 */
mean: number, 
/**
 * In one of ten cases it is lower.
 */
low: number, 
/**
 * In one of ten cases it is higher.
 */
high: number, };

/**
 * The result of a [`ModuleQuery`].
 */
export type FoundModules = { 
/**
 * Number of modules that match.
 */
total: number, 
/**
 * Whether more modules may match: those of longer words that start with a word of the query and were
 * not looked at, because there are very many.
 */
more: boolean, 
/**
 * The modules from the query's offset on, best first.
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
 * A decoded text.
 */
export type Generated = { 
/**
 * The text.
 */
text: string, 
/**
 * Number of tokens, the end marker included.
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
 * Settings of decoding that are not applied, as answers are decoded greedily.
 */
export type GenerationNote = { 
/**
 * The file that has them, `config.json` or `generation_config.json`.
 */
file: string, 
/**
 * Each as its name and its value, such as `num_beams 4`.
 */
settings: Array<string>, };

/**
 * Bytes of GPU memory. Each allocation is planned and compared with the device's limits before it is
 * made: what does not fit stays on the CPU.
 */
export type GpuMemory = { 
/**
 * The model's weights but the embedding.
 */
weightsBytes: number, 
/**
 * The embedding, in f32.
 */
embeddingBytes: number, 
/**
 * The modules on the GPU.
 */
modulesBytes: number, 
/**
 * Working memory of the largest evaluation or decoding so far, the check against the CPU
 * included.
 */
workBytes: number, };

/**
 * Whether the GPU is used, and why not.
 */
export type GpuStatus = { 
/**
 * Whether it is used; false until a base is loaded.
 */
active: boolean, 
/**
 * Its name, where the browser reports one.
 */
name: string, 
/**
 * Memory that is in use; all 0 where the GPU is not used.
 */
memory: GpuMemory, 
/**
 * Why the CPU took over, or how often a lost device was reopened; empty if neither.
 */
reason: string, };

/**
 * A module's coefficient for each group of layers.
 */
export type GroupWeights = { 
/**
 * All layers of the encoder.
 */
encoder: number, 
/**
 * The decoder's attention over the output.
 */
decoderSelfAttention: number, 
/**
 * The decoder's attention over the encoder.
 */
decoderCrossAttention: number, 
/**
 * The decoder's feed-forward layers.
 */
decoderFeedForward: number, };

/**
 * A folder of a static host.
 */
export type HostFolder = { 
/**
 * Its address, which ends with `/`.
 */
url: string, 
/**
 * The query of its files' addresses, with its `?`, such as a token.
 */
query?: string, 
/**
 * The file of weights, if one is named.
 */
file: string | null, };

/**
 * A folder in a repository of a hub.
 */
export type HubFolder = { 
/**
 * Address of the hub, without `/` at its end.
 */
host: string, 
/**
 * Owner and name; some old repositories have no owner.
 */
repo: string, 
/**
 * A branch, tag or commit.
 */
revision: string, 
/**
 * Path of the folder in the repository, with `/` between its parts; none for the root.
 */
folder?: string, 
/**
 * The file of weights, if one is named.
 */
file: string | null, };

/**
 * The settings of a learning run.
 */
export type LearnOptions = { 
/**
 * Evaluations of all examples, those of modules alone and of the base included. An evaluation of
 * some of the examples counts as that fraction.
 */
budget: number, 
/**
 * Seconds of evaluations after which the search ends; 0 for no limit.
 */
seconds: number, 
/**
 * Which search finds the coefficients.
 */
optimizer: Optimizer, 
/**
 * How the modules that are searched over are chosen.
 */
selection: Selection, 
/**
 * Most modules to search over, where the selection chooses.
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
 * Largest size of a coefficient.
 */
bound: number, 
/**
 * Factor of the penalty mean|w|.
 */
regularization: number, 
/**
 * Modules with coefficients that the run does not change: they are part of every composition that
 * it tries but the base alone, and are no candidates. One at 0 stays out.
 */
held: Array<WeightedModule>, };

/**
 * The result of a run.
 */
export type LearnResult = { 
/**
 * The modules of the best point with their coefficients.
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
 * Evaluations in all, those of some of the examples counted as that fraction.
 */
evaluations: number, 
/**
 * Those of [`Phase::Select`] among them.
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
 * Whether the composition works; none before the first evaluation.
 */
assessment: Assessment | null, 
/**
 * Every evaluation.
 */
history: Array<Evaluation>, };

/**
 * How the `lm_head` that is used differs from what the configuration says, or from what some versions of
 * transformers use.
 */
export type LmHeadNote = "missing" | "differs" | "undeclared";

/**
 * SHA-256 of loaded weights, in hexadecimal, by id. Ids that are absent or have an empty hash are
 * not loaded or not hashed.
 */
export type LoadedHashes = { 
/**
 * Of base models.
 */
bases: { [key in string]: string }, 
/**
 * Of modules.
 */
modules: { [key in string]: string }, 
/**
 * Over all files of base models.
 */
baseFiles: { [key in string]: string }, 
/**
 * Over both files of modules.
 */
moduleFiles: { [key in string]: string }, };

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
sha256: string, 
/**
 * SHA-256 over those of both files.
 */
filesSha256: string, 
/**
 * What does not fit the base or is left out; absent where all fits.
 */
notes?: AdapterNotes, };

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
 * Words of the title, the task, the example, the tags or the id; each has to occur, or a longer
 * word that starts with it.
 */
text: string, 
/**
 * Tags; a module needs each of them.
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
 * Number of modules to skip, best first.
 */
offset: number, 
/**
 * Maximum number of modules to return.
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
 * A module's coefficient: one for all layers, or one for each group of layers.
 */
export type ModuleWeight = number | GroupWeights;

/**
 * How the losses of the examples become one number; the penalty on the coefficients,
 * [`LearnOptions::regularization`] · mean|w|, is added to either.
 */
export type Objective = "paper" | "reference";

/**
 * Which search finds the coefficients.
 */
export type Optimizer = "forward" | "forward-gradient" | "cobyla" | "cma-es" | "greedy" | "ridge-trust-region";

/**
 * The two files of a PEFT folder.
 */
export type PeftFiles = { 
/**
 * `adapter_config.json`.
 */
config: Uint8Array<ArrayBuffer>, 
/**
 * `adapter_model.safetensors`.
 */
weights: Uint8Array<ArrayBuffer>, };

/**
 * What an evaluation belongs to.
 */
export type Phase = "select" | "search" | "groups";

/**
 * What a server or a clone has in place of a file.
 */
export type Placeholder = "web-page" | "lfs-pointer";

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
 * Examples, and what the text was read as.
 */
export type ReadExamples = { 
/**
 * The examples, each with an input and an output.
 */
examples: Array<Example>, 
/**
 * What the text was read as.
 */
layout: ExamplesLayout, };

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
 * Scales of the ranks, where the composition was tuned.
 */
scales?: TunedScales, 
/**
 * What the base's products are computed in.
 */
precision: Precision, 
/**
 * The first 32 hexadecimal digits of a SHA-256 over all files of the base and the modules. Absent in links of
 * earlier versions, which do not say what the configurations and the tokenizer are.
 */
files?: string, 
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
 * What a recipe is built from: a [`Recipe`] without hashes.
 */
export type RecipeDraft = { 
/**
 * Address of `registry.json`.
 */
registry: string, 
/**
 * Id of the base in the registry.
 */
base: string, 
/**
 * The modules with their weights; those at 0 are left out.
 */
composition: Composition, 
/**
 * Scales of the ranks, where the composition was tuned.
 */
scales?: TunedScales, 
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
weight: ModuleWeight, };

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
 * One file, by its path beside `registry.json` or in a repository of a hub.
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
 * The pages and the index of a registry that does not list its modules itself.
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
 * JSON lists of modules; none where `page_lists` list them.
 */
pages: Array<RegistryFile>, 
/**
 * The index of terms; empty where `term_lists` list its shards.
 */
terms: Array<TermShard>, 
/**
 * Pages of each list but the last; 0 where the pages are not in lists.
 */
list_pages?: number, 
/**
 * JSON lists of the pages' files.
 */
page_lists?: Array<RegistryFile>, 
/**
 * JSON lists of shards, each with the first term of its first shard.
 */
term_lists?: Array<TermShard>, 
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
 * One example of that task, if there is one.
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
 * The task, in a sentence.
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
 * The folder of a model or adapter that an address names.
 */
export type RemoteFolder = { "kind": "hub" } & HubFolder | { "kind": "folder" } & HostFolder;

/**
 * A stored composition compared with an input.
 */
export type RouteCandidate = { 
/**
 * Similarity of the input with the composition's inputs, about 1 at most.
 */
similarity: number, 
/**
 * Mean token cross-entropy of the composition's own answer; none where it did not answer.
 */
loss: number | null, 
/**
 * What the compositions are compared by; none where it did not answer.
 */
score: number | null, 
/**
 * The composition's own answer; none where it did not answer.
 */
answer: string | null, };

/**
 * How inputs are routed.
 */
export type RouteOptions = { 
/**
 * Number of compositions that answer, those whose inputs are nearest.
 */
nearest: number, 
/**
 * Score below which the base answers.
 */
threshold: number, 
/**
 * Other texts of the kind that inputs are of, such as the inputs on the cards of a library's modules:
 * similarities are relative to what these and the compositions' inputs have in common. The first 64
 * are used.
 */
background: Array<string>, 
/**
 * Maximum number of tokens of an answer, at least 1.
 */
maxNewTokens: number, };

/**
 * An input that was routed and answered.
 */
export type Routed = { 
/**
 * Index of the composition that answers; none where none fits and the base answers.
 */
chosen: number | null, 
/**
 * The answer.
 */
text: string, 
/**
 * Every composition, in the order in which they were given.
 */
candidates: Array<RouteCandidate>, };

/**
 * The loss of examples.
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
export type Selection = "all" | "random" | "automatic" | "by-hand";

/**
 * Progress of a session's long methods.
 */
export type SessionEvent = { "kind": "unwritable", 
/**
 * The outputs.
 */
outputs: Array<UnwritableOutput>, } | { "kind": "estimate", 
/**
 * Time that an evaluation of all examples takes, in seconds.
 */
evaluation: number, 
/**
 * Time that the whole budget takes, in seconds.
 */
total: number, } | { "kind": "selected", 
/**
 * The modules.
 */
modules: Array<ModuleLoss>, } | { "kind": "evaluation", 
/**
 * The evaluation.
 */
evaluation: Evaluation, } | { "kind": "tuned", 
/**
 * The step.
 */
step: TuneStep, 
/**
 * Steps in total.
 */
steps: number, } | { "kind": "token", 
/**
 * The text so far.
 */
text: string, } | { "kind": "tested", 
/**
 * Items answered.
 */
done: number, 
/**
 * Items in total.
 */
total: number, 
/**
 * Exact matches so far.
 */
correct: number, } | { "kind": "step", 
/**
 * Steps made.
 */
done: number, 
/**
 * Steps in total.
 */
total: number, } | { "kind": "gpu", 
/**
 * The status.
 */
status: GpuStatus, };

/**
 * One setting of a learning run.
 */
export type Setting = { 
/**
 * The field of [`LearnOptions`], in camel case.
 */
name: Exclude<keyof LearnOptions, "held">, 
/**
 * Name for people.
 */
label: string, 
/**
 * What it does, in a sentence or two.
 */
help: string, 
/**
 * Its values.
 */
kind: SettingKind, };

/**
 * The values of a setting; limits are inclusive.
 */
export type SettingKind = { "kind": "integer", 
/**
 * Smallest value.
 */
min: number, 
/**
 * Largest value.
 */
max: number, 
/**
 * Value where none is given.
 */
default: number, } | { "kind": "number", 
/**
 * Smallest value.
 */
min: number, 
/**
 * Largest value.
 */
max: number, 
/**
 * Value where none is given.
 */
default: number, 
/**
 * Increment of an input field.
 */
step: number, } | { "kind": "choice", 
/**
 * The list.
 */
choices: Array<Choice>, 
/**
 * Value where none is given.
 */
default: string, };

/**
 * A composition that inputs can be routed to.
 */
export type StoredComposition = { 
/**
 * Modules and their weights.
 */
composition: Composition, 
/**
 * Inputs of its task, such as those of the few examples that it was learned from.
 */
inputs: Array<string>, };

/**
 * A module that may suit some examples, and why.
 */
export type Suggestion = { 
/**
 * The module.
 */
module: RegistryModule, 
/**
 * Mean-centred cosine similarity of encoder embeddings of its description and the examples: 1 at
 * most.
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
 * The input.
 */
input: string, 
/**
 * The expected answer.
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
 * The settings of a tuning run.
 */
export type TuneOptions = { 
/**
 * What is tuned.
 */
part: TunedPart, 
/**
 * How much.
 */
effort: Effort, 
/**
 * Number of steps, each on all examples; none for the effort's.
 */
steps?: number, 
/**
 * Learning rate of Adam; none for the effort's.
 */
learningRate?: number, 
/**
 * Whether each example is also answered by what is tuned on the others, left out in at most five
 * parts, which takes five times as long. The tuned examples themselves say too little about new inputs.
 */
leaveOut: boolean, };

/**
 * The result of tuning: a module that takes the place of the composition.
 */
export type TuneResult = { 
/**
 * The module, which is loaded.
 */
module: ModuleInfo, 
/**
 * The module alone, at weight 1.
 */
composition: Composition, 
/**
 * The scales, where they were tuned: with the composition before, they make the module again.
 */
scales?: TunedScales, 
/**
 * The mean of the examples' losses before tuning.
 */
lossStart: number, 
/**
 * The mean of the examples' losses.
 */
loss: number, 
/**
 * Every step.
 */
steps: Array<TuneStep>, 
/**
 * Time of all steps together.
 */
seconds: number, 
/**
 * Whether all steps were made; false if it was stopped.
 */
complete: boolean, 
/**
 * Whether the module works.
 */
assessment: Assessment, };

/**
 * One step of tuning.
 */
export type TuneStep = { 
/**
 * Number of the step, from 1.
 */
number: number, 
/**
 * The mean of the examples' losses before the step.
 */
loss: number, 
/**
 * Time that the step took.
 */
seconds: number, };

/**
 * What of a composition is tuned.
 */
export type TunedPart = "lora-b" | "scales";

/**
 * Changes of the ranks' scales, in 4 bits each, so that they fit a link.
 */
export type TunedScales = { 
/**
 * What a change of a module's weight is a multiple of.
 */
step: number, 
/**
 * −7 to 7, layer by layer in the order of [`LinearId`]; in each the ranks of the modules that have a
 * weight there, in the composition's order.
 */
values: Array<number>, };

/**
 * Tensors of the weights that the model does not have, as in transformers' warning "Some weights of the
 * model checkpoint were not used".
 */
export type UnusedTensors = { 
/**
 * Their number.
 */
count: number, 
/**
 * The names of the first, at most [`UnusedTensors::MAX_NAMES`].
 */
names: Array<string>, };

/**
 * An example's output with text that the model cannot write, so that no weights give it.
 */
export type UnwritableOutput = { 
/**
 * Index of the example.
 */
example: number, 
/**
 * The parts of the output that the model's vocabulary lacks.
 */
parts: Array<string>, };

/**
 * Whether a composition works.
 */
export type Verdict = "works" | "partly" | "unlikely";

/**
 * The result of checking one [`ReferenceOutput`].
 */
export type Verified = { 
/**
 * The published model's id on the hub.
 */
model: string, 
/**
 * Where the output is published.
 */
source: string, 
/**
 * The input's text.
 */
input: string, 
/**
 * The expected text, or score with four digits after the point.
 */
expected: string, 
/**
 * The computed text or score.
 */
found: string, 
/**
 * Whether the two agree; in 8 bits, scores may differ by 2 %.
 */
agrees: boolean, };

/**
 * A module and its coefficient.
 */
export type WeightedModule = { 
/**
 * The module's id.
 */
id: string, 
/**
 * Its coefficient.
 */
weight: ModuleWeight, };
