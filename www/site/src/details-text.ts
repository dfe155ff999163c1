// The English sentences of what is fetched once it is opened; text.ts has those of the page.

import type { AdapterNotes, BaseNotes, ExamplesLayout, LmHeadNote, Precision } from "loraloom";
import { bytes, count, loss, seconds } from "./format.js";
import { some } from "./text.js";

/** Where a hub's files come from, after what they are; nothing for others. */
const atCommit = (commit: string | null) => (commit ? `, commit ${commit.slice(0, 7)}` : "");

/** The hosts of a download; none for the page's own. */
const from = (hosts: string[]) => (hosts.length ? ` from ${hosts.join(" and ")}` : "");

const landing = {
  decline: "Not now",
  link: {
    title: "A shared mix",
    accept: (hosts: string[], size: number) =>
      `Download${size ? ` ${bytes(size)}` : ""}${from(hosts)} and open`,
    help: "A shared mix. Its model and modules are downloaded once; nothing is learned.",
  },
  library: {
    title: "A library on another site",
    accept: (hosts: string[]) => `Load the library${from(hosts)}`,
    help: "Nothing is loaded from there before you press the button. Until then this page uses its own library.",
  },
  hub: {
    title: "Models and modules from another site",
    accept: (hosts: string[]) => `Use models and modules${from(hosts)}`,
    help: "Nothing is loaded from there before you press the button.",
  },
};

const edit = {
  cell: (field: "input" | "output", row: number) =>
    `${field === "input" ? "Input" : "Output"} ${row}`,
  remove: "Remove",
  removeRow: (row: number) => `Remove row ${row}`,
  addRow: "Add a row",
  more: (left: number) => `Show more rows (${left.toLocaleString("en")} left)`,
  openFile: "Open a file",
  paste: "Paste CSV, TSV or JSONL",
  pasteHelp:
    'One pair per line: input,output, or with a tab between them, or {"input": …, "output": …}. Blanks around the text of a table are removed.',
  usePasted: "Use these examples",
};

const DELIMITERS: Record<string, string> = {
  "\t": "tab-separated",
  ",": "comma-separated",
  ";": "semicolon-separated",
  "|": "Markdown",
};

/** Names in quotation marks. */
const quoted = (names: string[], between: string) => names.map((name) => `“${name}”`).join(between);

const incoming = {
  heading: (own: number, rows: number) =>
    `Replace your ${count(own, "example")} with ${rows === 1 ? "this one" : `these ${rows.toLocaleString("en")}`}?`,
  /** What a text was taken for. */
  layout: ({ delimiter, instruction, input, output, unused, trimmed }: ExamplesLayout) => {
    const kind =
      delimiter === null ? "JSON" : (DELIMITERS[delimiter] ?? `separated by “${delimiter}”`);
    const inputs = [instruction, input].filter((names) => names.length > 0);
    const fields =
      delimiter === null && !output.length
        ? "the first of each pair is the input, the second the output"
        : output.length
          ? `${inputs.map((names) => quoted(names, " or ")).join(" and ")} ${inputs.length > 1 ? "are" : "is"} the input, ${quoted(output, " or ")} the output`
          : "the first column is the input, the second the output";
    const header =
      delimiter === null ? "" : output.length ? ", with a header" : ", without a header";
    return [
      `Read as ${kind}${header}: ${fields}.`,
      ...(unused.length ? [`Not used: ${quoted(unused, ", ")}.`] : []),
      ...(trimmed ? [`Blanks around the cells removed in ${count(trimmed, "row")}.`] : []),
    ].join(" ");
  },
  leftOut: ({ leftOut, empty }: ExamplesLayout) => {
    const reasons = empty.slice(0, 3).map(({ place, field }) => `${place} has no ${field}`);
    const more = leftOut > reasons.length ? ", …" : "";
    return `${count(leftOut, "row")} left out: ${reasons.join(", ")}${more}.`;
  },
  more: (rows: number) => `and ${rows.toLocaleString("en")} more`,
  replace: "Replace",
  addBelow: "Add below",
  cancel: "Cancel",
};

const learnOptions = {
  recommended: "Recommended",
  published: "As published",
};

const numbers = {
  chart: "Error of every mix that was tried (log scale)",
  matter: "Which modules matter?",
  matterHelp: "Measures the error without each.",
  leftOut: "Modules left out",
  matterBefore: "Measures the error without each, before polishing.",
  last: (shown: number, all: number) =>
    `The last ${shown} of ${all.toLocaleString("en")} evaluations.`,
  tables: {
    weights: "Weights",
    weightColumns: ["Module", "Weight", "Error without it"],
    evaluations: "Evaluations",
    evaluationColumns: ["Mix", "Phase", "Error", "Best", "Time"],
    base: "model alone",
    alone: (name: string) => `${name} alone`,
    beside: (name: string, others: number) => `${name} beside ${others}`,
    phases: { search: "mix", groups: "groups of layers" },
    partial: (examples: number) => ` (${count(examples, "example")})`,
  },
};

const polish = {
  start: "Polish",
  help: "Tunes this mix further",
  takes: (took: number | null) =>
    took === null ? ", in a few seconds." : `, in about ${seconds(took)}.`,
  running: "Polishing",
  step: (done: number, total: number, error: number) =>
    `Step ${done} of ${total} · error ${loss(error)}`,
  done: "Polished",
  doneIn: (took: number, steps: number, complete: boolean) =>
    ` in ${seconds(took)}${complete ? "" : `, stopped after ${count(steps, "step")}`}`,
  right: (right: number, before: number, total: number) =>
    `: ${right} of ${count(total, "example")} right, ${before === right ? "as before" : `${before} before`}.`,
  undo: "Undo",
};

const compared = {
  caption: "Compared",
  recall: (slot: string) => `Back to ${slot}`,
  rightOf: (correct: number, total: number) => `${correct} of ${total}`,
  now: "Now",
  rows: { answer: "Answer", examples: "Examples right", error: "Error", test: "Test" },
};

const testAnswers = {
  label: "Answers to the test set",
  columns: ["Input", "Expected", "Answer"],
  csv: "Save as CSV",
};

const shareOptions = {
  name: "Name of the task",
  note: "How to write an input (optional)",
  include: (rows: number) => `Include my ${count(rows, "example")}`,
  link: "Link",
};

const take = {
  adapter: "Save as a PEFT adapter (ZIP)",
  makingAdapter: "Making the adapter…",
  recipe: "Save recipe.json",
  openEmbed: "Open that page.",
  kinds: {
    embed: "Embed",
    element: "Web component",
    javascript: "JavaScript",
    python: "Python",
    shell: "Command line",
  },
  about: {
    embed: "The mix on another page, with an input and both answers.",
    element: "The same without a frame, where your page has the npm package.",
    javascript: "With the npm package loraloom.",
    python: "With PEFT and the unpacked adapter. Nothing of LoraLoom is needed.",
    shell:
      "With recipe.json, and the library’s files beside it. The first line makes one PEFT adapter.",
    polished: "With the unpacked adapter, and the library’s files beside it.",
  },
  copy: "Copy code",
  copied: "Copied.",
};

const qr = {
  label: "QR code of the link",
  tooLong: (characters: number) =>
    `This link has ${characters.toLocaleString("en")} characters, more than a QR code holds. Leave the examples out of it, or shorten the note.`,
};

const runs = {
  none: "Every mix that you learn is kept here, in this browser.",
  facts: (
    correct: number | null,
    total: number,
    modules: number,
    polished: boolean,
    date: string,
  ) =>
    [
      ...(correct === null ? [] : [`${correct} of ${total} right`]),
      count(modules, "module"),
      ...(polished ? ["polished"] : []),
      date,
    ].join(" · "),
  removeOf: (title: string) => `Delete ${title}`,
  routeInput: (mixes: number) => `An input for the one of your ${mixes} mixes that fits`,
  route: "Answer with the mix that fits",
  routing: (done: number, total: number) => `Trying ${count(total, "mix", "mixes")}: ${done} done`,
  routed: (title: string | null, answer: string) =>
    `${title === null ? "No mix fits, so the base answers" : `“${title}” answers`}: ${answer || "(nothing)"}`,
  export: "Save as a file",
  import: "Add from a file",
  imported: (mixes: number) =>
    mixes ? `${count(mixes, "mix", "mixes")} added.` : "No mixes found in that file.",
};

const addModule = {
  drop: "Your own module: drop a PEFT folder or a ZIP of it here.",
  chooseFiles: "Choose files",
  staysHere: "It stays on this computer.",
  addLabel: "Add an adapter (Hugging Face id or address)",
  addPlaceholder: "owner/name or https://…",
  addAction: "Add",
};

const libraries = {
  known: [
    {
      url: "./library/registry.json",
      title: "The demo",
      about: "A small model with small modules, made for this page. Downloads about 25 MB.",
    },
    {
      url: "./lorahub/registry.json",
      title: "LoraHub’s published modules",
      about:
        "196 modules for Flan-T5 large, from Hugging Face. The model is a 3.1 GB download and uses about 1 GB of memory. Each module is 19 MB, and only the ones you use are downloaded.",
    },
  ],
  nothingYet: "Nothing is downloaded until you press a button.",
  address: "A library’s address",
  placeholder: "https://…/registry.json",
  open: "Open",
};

const shortlist = {
  label: "Modules to download",
  stop: "Stop",
  compared: "Descriptions compared",
  find: "Find the closest to my examples",
  compares: "Compares the modules’ descriptions with your examples.",
  downloads: (size: number) =>
    `Downloads the model first${size ? ` (${bytes(size)})` : ""}, to compare the modules’ descriptions with your examples.`,
  toDownload: (modules: number, total: number) =>
    `${count(modules, "module")} to download${total ? `, ${bytes(total)}` : ""}`,
  removeAll: "Remove all",
  removeOf: (title: string) => `Remove ${title}`,
};

const millions = (parameters: number) => `${(parameters / 1e6).toFixed(1)} million parameters`;

/** How the output layer is not what the configuration says. */
const LM_HEAD_NOTES: Record<LmHeadNote, string> = {
  missing:
    "Its configuration says that lm_head is a matrix of its own, but its weights have none. The embedding is used; transformers starts with random values.",
  differs:
    "Its configuration says that the embedding is lm_head, but its weights have another. That is used, as in transformers 5; transformers 4 uses the embedding.",
  undeclared:
    "tie_word_embeddings in its configuration is null, which is read as true, as in transformers 5. Transformers 4 reads it as false and gives other losses.",
};

const addedModules = {
  title: (id: string) => `${id} (added by you)`,
  facts: (rank: number, targets: string, size: string, commit: string | null) =>
    `rank ${rank}, ${targets}, ${size}${atCommit(commit)}`,
  notes: ({ otherBase, missingLayers, unusedLayers }: AdapterNotes) => [
    ...(otherBase ? [`Trained for ${otherBase}: it fits this model, but may not help.`] : []),
    ...(missingLayers.length
      ? [
          `${count(missingLayers.length, "layer")} without weights, left as they are: ${some(missingLayers)}.`,
        ]
      : []),
    ...(unusedLayers.length
      ? [
          `${count(unusedLayers.length, "layer")} not used, as its configuration does not name them: ${some(unusedLayers)}.`,
        ]
      : []),
  ],
};

const download = {
  heading: (loaded: boolean) => (loaded ? "Downloaded" : "Download"),
  the: "The ",
  onceThe: (host: string | null) => ` from ${host ?? "this site"}, once: the `,
  size: (about: boolean, size: string) => (about ? `about ${size}` : size),
  model: (title: string, size: string, parameters: number) =>
    ` ${title} (${size}, ${millions(parameters)})`,
  fitting: (modules: number, each: string) =>
    `those of its ${count(modules, "module")} that fit your examples${each && `, about ${each} each`}`,
  modules: (modules: number, size: string) => `${count(modules, "module")} (${size})`,
  and: " and ",
  license: (licenses: string) => `. License: ${licenses}.`,
  otherLicense: ". License: see its page.",
  otherFacts: (size: string, parameters: number, commit: string | null) =>
    ` (${size}, ${millions(parameters)}${atCommit(commit)})`,
  reading: "Reading the list of models and modules.",
  notes: ({ unusedTensors: { count: tensors, names }, lmHead, generation }: BaseNotes) =>
    [
      ...(tensors
        ? [
            `${count(tensors, "tensor")} of its weights not used, as the model does not have ${tensors === 1 ? "it" : "them"}: ${some(names)}.`,
          ]
        : []),
      ...(lmHead ? [LM_HEAD_NOTES[lmHead]] : []),
      ...(generation
        ? [
            `Its ${generation.file} sets ${generation.settings.join(", ")}. That is not applied: answers are decoded greedily.`,
          ]
        : []),
    ].join(" "),
  checked: (model: string, expected: string, source: string, found: string | null) =>
    `Checked: gives the output published for ${model} (${expected}, ${source}${found === null ? "" : `; ${found} in 8 bits`}).`,
  differs: (model: string, input: string, expected: string, source: string, found: string) =>
    `This model does not give the output published for ${model}: for ${input} it should give ${expected} (${source}), but gives ${found}. Its files are damaged or belong to another model. Delete them under Storage and load them again.`,
};

const device = {
  heading: "This machine",
  checking: "Checking what it supports.",
  change: "Change",
  cpu: (threads: number, simd: string) =>
    `CPU, ${count(threads, "thread")}, ${simd === "relaxed" ? "relaxed SIMD" : "SIMD"}`,
  build: (name: string, reason: string) => `(build “${name}”): ${reason}.`,
  memory: (gigabytes: number) => `Memory: ${gigabytes} GB or more.`,
  uses: (size: string) => `LoraLoom uses ${size}.`,
  willUse: (size: string) => `LoraLoom will use about ${size}.`,
  gpu: (name: string) => `GPU${name && ` (${name})`}:`,
  gpuActive: (
    memory: {
      weightsBytes: number;
      embeddingBytes: number;
      modulesBytes: number;
      workBytes: number;
    },
    reason: string,
  ) => {
    const { weightsBytes, embeddingBytes, modulesBytes, workBytes } = memory;
    const parts = [
      `${bytes(weightsBytes)} weights`,
      `${bytes(embeddingBytes)} embedding`,
      ...(modulesBytes ? [`${bytes(modulesBytes)} modules`] : []),
      `${bytes(workBytes)} buffers`,
    ];
    const all = bytes(weightsBytes + embeddingBytes + modulesBytes + workBytes);
    return `gives the same results as the CPU, and uses ${all} of GPU memory: ${parts.join(", ")}. ${reason}`;
  },
  gpuUnchecked: "is checked against the CPU once the model is loaded.",
  noGpu: "No usable GPU; using the CPU.",
  runsOn: "Runs on",
  onCpu: "CPU",
  onGpu: "GPU",
  threads: "Threads",
  onePerCore: (cores: number) => `one per core (${cores})`,
  precision: "Precision",
  precisions: {
    int8: "8 bits (fast)",
    f32: "32 bits (exact, slower)",
  } satisfies Record<Precision, string>,
};

const base = {
  heading: "Use another model",
  chosen: (loaded: boolean, source: string) => `${loaded ? "Loaded" : "Chosen"}: ${source}.`,
  back: "Back to the library’s model",
  label: "A T5, Flan-T5, mT5, UMT5 or ByT5 model (Hugging Face id or address)",
  placeholder: "google/flan-t5-small or https://…",
  load: "Load",
  drop: "Or drop its files here: config.json, tokenizer.json or spiece.model (ByT5 has neither), and the weights as .safetensors or .gguf. A .gguf file of llama.cpp needs no other file.",
  choose: "Choose files",
  staysHere: "They stay on this computer.",
};

const newVersion = {
  ready: "A new version of this page is ready.",
  reload: "Reload",
};

const storage = {
  heading: "Storage",
  kinds: {
    "file-system": "Kept in this browser’s private files",
    cache: "Kept in this browser’s cache",
    memory: "This browser keeps no files, so the next visit downloads them again",
  },
  total: (kind: string, files: number, total: number, quota: number | null) =>
    `${kind}: ${count(files, "file")}, ${bytes(total)}${quota === null ? "" : ` of ${bytes(quota)} available`}.`,
  safe: "The browser will not delete them.",
  unsafe: "The browser may delete them when the disk is full.",
  packed: ", packed: loads without converting",
  incomplete: ", incomplete",
  pinned: ", unchanged since the first download",
  delete: "Delete",
  deleteAll: "Delete all",
  deleteCount: (files: number) => `Delete ${count(files, "file")}`,
  keep: "Keep them",
  offline: {
    heading: "Without a network",
    all: "everything works with this library.",
    some: (modules: number, all: number, tests: number, allTests: number) =>
      `this page and the model work, with ${modules} of ${count(all, "module")} and ${tests} of ${count(allTests, "test")}.`,
    noModel: "this page opens. The model is stored once you learn.",
    nothing: "this page does not open, as this browser or this address keeps no pages.",
  },
};

const lostCharacter = (line: number) => ({
  what: "The text lost a character before it came here.",
  why: `Line ${line} has “\uFFFD” in its place.`,
  next: "Copy it again where it is whole, or type the character.",
});

const fileTooLarge = (name: string, megabytes: number, limit: number) => ({
  what: `${name} was not read.`,
  why: `It has ${megabytes} MB; the limit is ${limit} MB.`,
  next: "Keep only the lines that show the task best. Five are enough.",
});

export const details = {
  startAgain: "Start again",
  lostCharacter,
  fileTooLarge,
  landing,
  newVersion,
  edit,
  incoming,
  learnOptions,
  numbers,
  polish,
  compared,
  testAnswers,
  shareOptions,
  take,
  qr,
  runs,
  addModule,
  addedModules,
  libraries,
  shortlist,
  download,
  device,
  base,
  storage,
};
