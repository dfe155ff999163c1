// The types of the wasm engine: what it takes, returns and reports.
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
 * A value of a setting, with its texts.
 */
export type Choice = { value: string, label: string, help: string, };

/**
 * The file that names a folder's weights.
 */
export type ChosenWeights = { "kind": "file", name: string, } | { "kind": "index", name: string, };

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
 * What kind of failure an error is.
 */
export type ErrorCode = "network" | "not-found" | "integrity" | "quota" | "unsupported" | "out-of-memory" | "invalid-input" | "not-loaded" | "busy" | "aborted" | "gpu" | "internal";

/**
 * A failure with its code, its text in three parts, and the data that the text is made from.
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
 * The data of the text.
 */
details: { [key in string]: string | number }, };

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
 * SHA-256 of loaded weights by id, in hexadecimal digits.
 */
export type LoadedHashes = { bases: { [key in string]: string }, modules: { [key in string]: string }, };

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
 * What a recipe is made of, before ids get their hashes.
 */
export type RecipeDraft = { registry: string, base: string, composition: Composition, precision: Precision, title: string, instruction: string | null, examples: Array<Example>, };

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
 * What a call reports while it runs.
 */
export type SessionEvent = { "kind": "selected", 
/**
 * The chosen modules, with the loss of each alone.
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
correct: number, } | { "kind": "step", 
/**
 * Items done.
 */
done: number, 
/**
 * Items in all.
 */
total: number, } | { "kind": "gpu", 
/**
 * The new status.
 */
status: GpuStatus, };

/**
 * A setting of learning, with its limits, default and texts.
 */
export type Setting = { name: string, label: string, help: string, kind: SettingKind, };

/**
 * The values of a setting.
 */
export type SettingKind = { "kind": "integer", min: number, max: number, default: number, } | { "kind": "number", min: number, max: number, default: number, step: number, } | { "kind": "choice", choices: Array<Choice>, default: string, };

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
