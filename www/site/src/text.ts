// Every English sentence of the page that does not come from the engine or the library.

import { bytes, count, loss, percent, seconds, signed } from "./format.js";

type Expected = { mean: number; low: number; high: number };

/** A share in words. */
const ofTen = (share: number) =>
  share >= 0.95
    ? "nearly all"
    : share < 0.05
      ? "hardly any"
      : `about ${Math.max(1, Math.round(10 * share))} of 10`;

/** The first of some names. */
export const some = (names: string[]) =>
  names.slice(0, 3).join(", ") + (names.length > 3 ? ", …" : "");

type ErrorText = { what: string; why: string; next: string };

/** Words of the field, explained on hover and focus. */
export const GLOSSARY = {
  "LoRA module": "A small add-on for a language model, trained for one task.",
  rank: "The size of a module's update in each layer. Higher changes more, in more bytes.",
  weight:
    "How much a module counts in the mix: 1 as it was trained, 0 not at all, below 0 in reverse.",
  loss: "How wrong the model is about the examples' outputs, per token. Lower is better.",
  "exact match": "The share of answers that equal the expected ones, word for word.",
  "base model": "The model without any module.",
  composed: "The base model with the mix of modules added.",
  evaluation: "One mix of modules, tried on your examples.",
  polish: "A few gradient steps on the same examples, from this mix.",
} as const;

const SIDE = { base: "Base model", composed: "Composed" } as const;

const errors = {
  page: (reason: string): ErrorText => ({
    what: "Something went wrong on this page.",
    why: reason,
    next: "Try again. If you reload, what you typed is still here.",
  }),
  incompleteExample: (row: number, field: "input" | "output"): ErrorText => ({
    what: "An example is incomplete.",
    why: `Row ${row} has no ${field}.`,
    next: `Fill in the ${field}, or clear the row.`,
  }),
  noExamples: {
    what: "There are no examples to learn from.",
    why: "The table is empty.",
    next: "Choose a task, or type a few pairs. Five are enough.",
  },
  noModules: {
    what: "There are no modules to learn with.",
    why: "You chose to select the modules yourself, and none is selected.",
    next: "Select some modules in the library, or let LoraLoom choose.",
  },
  learningAlready: {
    what: "Learning did not start.",
    why: "A run is still running.",
    next: "Wait for its end, or press Stop.",
  },
  noInput: {
    what: "There is nothing to answer.",
    why: "The input is empty.",
    next: "Type an input like those of the examples.",
  },
  noSuggestions: {
    what: "No modules were found for these examples.",
    why: "No description in this library shares a word with your examples.",
    next: "Search the library below and add modules yourself.",
  },
};

const hero = {
  skip: "Skip to the input",
  title: "Teach a small language model a task with five examples",
  lede: "LoraLoom mixes small add-ons (LoRA modules) that others trained, until they do what your examples do.",
  nav: { tasks: "Tasks", library: "Library", source: "GitHub" },
  once: (size: string) => `${size} once`,
  loaded: (size: string) => `${size} loaded`,
  cpu: "on your CPU",
  gpu: "on your GPU",
  private: "nothing is uploaded",
  details: "Details",
  reading: "Reading the library",
  tryAgain: "Try again",
};

const task = {
  heading: "Five examples",
  headingOf: (rows: number) => (rows === 5 ? "Five examples" : count(rows, "example")),
  label: "Task",
  groups: { library: "Tasks to try", own: "Yours" },
  own: "My own examples",
  untitledMix: "My task",
  untitled: (example: string) => (example ? `“${example}”` : "My own examples (empty)"),
  input: "Input",
  output: "Output",
  edit: "Edit",
  done: "Done",
  useOwn: "Use my own",
  undo: "Undo",
  redo: "Redo",
  more: (rows: number) => `${count(rows, "more example")}`,
  fewer: "Fewer examples",
  ownHelp:
    "Keep inputs and outputs short. This works only if some modules come close to your task.",
  right: "comes out right",
  contradicts: "contradicts the other examples",
  wrong: (answer: string) => `comes out as “${answer}”`,
  unwritable: (output: string, parts: string[]) => {
    const inside = parts.length === 1 && parts[0] === output ? "" : ` in “${output}”`;
    return `The model cannot write ${parts.map((part) => `“${part}”`).join(", ")}${inside}. Use other words.`;
  },
};

const learn = {
  learn: "Learn this task",
  again: "Learn again",
  stop: "Stop",
  ready: "Ready. Takes a few seconds.",
  readyLarge: "Ready. With a model of this size it takes minutes.",
  readyLibrary: (size: string) =>
    `Downloads the model first, about ${size}, then the modules that fit your examples.`,
  trying: (done: number, total: number, left: number | null) =>
    `Trying mixes: ${Math.floor(done)} of at most ${total}${left === null ? "" : ` · ${seconds(left)} left`}`,
  comparing: (done: number, total: number) => `Comparing descriptions: ${done} of ${total}`,
  loading: (loaded: number, total: number, cached: boolean, speed: number | null) => {
    const from = cached ? "From this browser’s storage" : "Loading";
    const left = speed ? ` · ${bytes(speed)}/s · ${seconds((total - loaded) / speed)} left` : "";
    return `${from}: ${bytes(loaded)} of ${bytes(total)}${left}`;
  },
  learned: (took: number) => `Learned in ${seconds(took)}.`,
  stopped: (took: number) => `Stopped after ${seconds(took)}: the best mix so far is kept.`,
  stoppedEarly: "Stopped before a mix did better than the model alone.",
  nothing: "No mix does better than the model alone. Try other examples, or add modules.",
  opened: "Opened from a shared link. Nothing was learned here.",
  openedUnbound: "It binds the weights alone.",
  bytesLoaded: "Bytes loaded",
  progress: "Learning",
  spokenStart: "Learning started",
  spokenCount: (done: number) => count(done, "mix", "mixes"),
  options: "Options",
  about: (setting: string) => `About: ${setting}`,
};

const mix = {
  heading: "The mix",
  of: (used: number, all: number) => `${used} of ${count(all, "module")}`,
  empty: "One thread per module, once it is learned.",
  recorded: "A recorded run of this task",
  help: (learned: boolean) =>
    `Drag a thread; a double click returns to what was ${learned ? "learned" : "opened"}.`,
  keys: "Arrow keys move it, Enter types a weight, M mutes, S plays alone, H holds it, G opens its layer groups.",
  groupsOf: (name: string) => `Groups of layers of ${name}`,
  groups: {
    encoder: "Encoder",
    decoderSelfAttention: "Decoder, self-attention",
    decoderCrossAttention: "Decoder, cross-attention",
    decoderFeedForward: "Decoder, feed-forward",
  },
  fader: (name: string) => `Weight of ${name}`,
  typed: (name: string) => `Type the weight of ${name}`,
  typeOver: (weight: string, name: string) => `${weight}, type the weight of ${name}`,
  mute: "M",
  solo: "S",
  hold: "H",
  muteOf: (name: string) => `Mute ${name}`,
  soloOf: (name: string) => `Only ${name}`,
  holdOf: (name: string) => `Hold ${name}: learn only the rest`,
  learnRest: "Learn the rest",
  off: "off",
  undo: "Undo",
  redo: "Redo",
  reset: "As learned",
  resetLink: "As opened",
  more: (rows: number) => `${count(rows, "more module")}`,
  fewer: "Fewer modules",
  add: "Add a module",
  keep: (slot: string) => `Keep as ${slot}`,
  error: (from: number, to: number) => `Error on the examples ${loss(from)} → ${loss(to)}`,
  errorNow: (value: number) => `Error on the examples ${loss(value)}`,
  measuring: "Error on the examples …",
  all: "All mixes, and numbers",
  rise: (value: number) => `${signed(value)} error without it`,
  chartEmpty: "One dot per mix, once learning starts.",
  chartSummary: (mixes: number, first: number, best: number) =>
    `Error over ${count(mixes, "mix", "mixes")}, from ${loss(first)} to a best of ${loss(best)}.`,
  chartNone: "No mixes yet.",
  chartAlone: "each module alone",
  chartMixes: "mixes",
  chartBase: (value: number) => `base ${loss(value)}`,
};

const result = {
  heading: "The result",
  input: "A new input",
  answer: "Answer",
  stop: "Stop",
  another: "Another input",
  back: "Back to mine",
  sides: SIDE,
  group: (input: string) => (input ? `Answers to ${input}` : "Answers"),
  empty: "(an empty answer)",
  learnFirst: "Learn first.",
  typeInput: "Type an input above.",
  wait: "…",
  expected: (output: string) => `Expected: ${output}`,
  right: "right",
  wrong: "wrong",
  other: (title: string) => `This mix was learned for another task: ${title}.`,
  otherHelp: "Learn the one in the table, or go back to its examples.",
  backToTask: "Show its examples",
  unknown:
    "Opened from a shared link without its examples: those in the table are of another task.",
  verdict: (verdict: "works" | "partly" | "unlikely", { mean }: Expected) =>
    ({
      works: `Works: ${ofTen(mean)} right`,
      partly: `Partly: ${ofTen(mean)} right`,
      unlikely: `No module here comes close: ${ofTen(mean)} right`,
    })[verdict],
  range: ({ low, high }: Expected) =>
    Math.round(10 * low) === Math.round(10 * high)
      ? "."
      : `; of new inputs likely ${Math.round(10 * low)} to ${Math.round(10 * high)} in 10.`,
  examplesRight: (right: number, total: number) =>
    right === total
      ? `All ${total} examples come out right`
      : `${right} of ${total} examples come out right`,
  uncalibrated: "An estimate: it was measured on another model.",
  checking: "Checking the examples",
  contradicts: (input: string, output: string) =>
    `“${input}” → “${output}” contradicts the others: check it.`,
  wrongNext: (input: string) => `Add two more examples like “${input}”.`,
  partlyNext: "Add examples that differ more.",
  unlikelyNext: "Try other examples, other modules, or another library.",
  enough: {
    base: "The base model alone is enough: no module is needed.",
    module: "One module alone is enough.",
    held: "The modules that you held are enough.",
  },
  edited: "The weights were changed by hand.",
  held: (names: string[]) => `Held: ${names.join(", ")}.`,
  learning: "Learning.",
  notForTask: "Learn to see whether it works.",
  recorded: "A recorded run; press “Learn this task” to make it here.",
  test: (total: number | undefined) => `Run the test${total ? ` (${total})` : ""}`,
  testOf: (name: string) => `Exact match on ${name}`,
  ownTest: "a test file",
  newInputs: "new inputs",
  stopTest: "Stop the test",
  openTest: "Open a test file",
  ownTestHelp: "Use pairs that are not among your examples.",
  counts: (correct: number, done: number, total: number) =>
    `${correct} correct, ${done} of ${total}`,
  score: (share: number, correct: number, done: number) =>
    `${percent(Math.round(share * 10) / 10)} (${correct} of ${done})`,
  notTested: "not tested",
  allAnswers: "The composed model’s answers",
};

const share = {
  heading: "Share",
  take: "Take it away",
  qr: "QR code",
  runs: "Your mixes",
  copy: "Copy link",
  copied: "Copied. It opens with this exact mix, and gives the same answers.",
  blocked: "This browser does not let the page copy: copy the link below.",
  ready: "Opens with this exact mix. Nothing to learn again.",
  verdict: (verdict: string) => `${verdict}.`,
  verdictOf: (title: string, verdict: string) => `${title}. ${verdict}.`,
  none: "Learn first.",
  noneHelp: "The link holds the mix, not the model: a few hundred characters.",
  options: "What the link says",
  editedNote: "(Some weights set by hand.)",
};

const gallery = {
  heading: "Tasks that no module was trained on",
  measured: (base: number, composed: number) =>
    [`base ${percent(base)} · composed `, percent(composed)] as const,
  own: "Your own",
  ownText: "Five lines of input and output, typed or pasted.",
  ownFormats: "CSV, TSV, JSONL",
  all: (tasks: number) => `Show all ${count(tasks, "task")}`,
};

const library = {
  heading: "The library",
  all: (modules: number) => `The library: ${count(modules, "module")}`,
  loading: "Loading the module library.",
  selected: (modules: number) =>
    `${count(modules, "module")} selected; those that help most come first.`,
  large: (modules: number, limit: number) =>
    `This library has ${count(modules, "module")}. Learning first finds the ${limit} closest to your examples and downloads those.`,
  none: "There are no modules for this model yet. Add some below, or switch to another library.",
  bySingleLoss: (total: number, limit: number) =>
    `Learning tries the ${total} modules and mixes those that help, at most ${limit}.`,
  atRandom: (total: number, limit: number) =>
    `Learning mixes ${limit} of the ${total}, drawn at random.`,
  byHand: (picked: number) =>
    picked
      ? `Learning mixes the ${count(picked, "module")} that you selected.`
      : "Select at least one module below.",
  allOf: (total: number) => `Learning mixes all ${total}.`,
  add: "Add a module of your own",
  addedByYou: "added by you",
  similar: (similarity: number, words: string[]) =>
    [
      `similarity ${similarity.toFixed(2).replace("-", "−")}`,
      ...(words.length ? [`shares ${words.map((word) => `“${word}”`).join(", ")}`] : []),
    ].join(", "),
  sizeUnknown: "size unknown",
  remove: "Remove",
  addSized: (size: string) => `Add, ${size}`,
  gives: " gives ",
  ownScore: (composed: number, base: number) =>
    `${percent(composed)} on its own task (base ${percent(base)})`,
  alone: (value: number) => `error alone ${loss(value)}`,
  details: "Details",
  facts: (rank: number, targets: string) => `Rank ${rank}; changes ${targets}.`,
  find: "Find a module",
  findPlaceholder: "title, task or example",
  tag: "Tag",
  rank: "Rank",
  any: "any",
  found: (modules: number, more: boolean) =>
    `${more ? "At least " : ""}${count(modules, "module")} found${more ? "; more letters find all" : ""}`,
  modules: "Modules",
  more: (left: number) => `Show more (${left.toLocaleString("en")} left)`,
  noMatch: "No module matches. Try fewer or shorter words.",
  switch: (now: string | undefined) => `Switch library${now ? ` (now: ${now})` : ""}`,
};

const footer = {
  method: "The method is ",
  methodName: "LoraHub (Huang et al., 2023)",
  methodEnd: ": one weight per module, found without gradients.",
  fonts: "Fonts: ",
};

export const text = {
  errors,
  stages: {
    engine: "Starting the engine",
    model: "Loading the model",
    modules: "Loading the modules",
    module: (id: string) => `Loading ${id}`,
    link: "Opening the link",
    finding: "Finding modules",
  },
  hero,
  task,
  learn,
  mix,
  result,
  share,
  gallery,
  library,
  footer,
};
