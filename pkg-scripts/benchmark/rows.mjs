// The rows of the report: the workload that is sent to the runners, and how its time gives the row's value
// and its share of a ceiling.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LIBRARY } from "./runners.mjs";

/** Names of rows, in the JSON too; `size` is printed only. */
export const NAMES = [
  "ceiling/int8",
  "ceiling/f32",
  "ceiling/memory",
  "product",
  "encoder",
  "loss",
  "learn",
  "tune",
  "seq2seq",
  "decode",
  "load",
  "memory",
  "size",
];

/** Sizes of the published geometries, for the products' shapes. */
export const GEOMETRIES = {
  "flan-t5-small": { dModel: 512, dAttention: 384, dFf: 1024, vocabulary: 32128 },
  "flan-t5-base": { dModel: 768, dAttention: 768, dFf: 2048, vocabulary: 32128 },
  // For tests of the benchmark itself.
  tiny: { dModel: 64, dAttention: 64, dFf: 96, vocabulary: 512 },
};
const LIBRARY_MODEL = "demo-library";
/** Measured through a hub only, as it is too large for the other measurements. */
const LARGE_MODEL = "flan-t5-large";
export const HUB_MODELS = [...Object.keys(GEOMETRIES), LARGE_MODEL];
export const MODELS = [...HUB_MODELS, LIBRARY_MODEL];
export const DEFAULT_MODELS = ["flan-t5-small", "flan-t5-base", LIBRARY_MODEL];

const milliseconds = { unit: "ms", value: ({ seconds }) => seconds * 1e3 };
const wholeSeconds = { unit: "s", value: ({ seconds }) => seconds };
const multiplyAdds = {
  unit: "GMAC/s",
  value: ({ seconds, work }) => work.multiplyAdds / seconds / 1e9,
  more: true,
};
const bandwidth = {
  unit: "GB/s",
  value: ({ seconds, work }) => work.bytes / seconds / 1e9,
  more: true,
};
const tokensPerSecond = {
  unit: "tokens/s",
  value: ({ seconds, tokens }) => tokens / seconds,
  more: true,
};
const secondsPer100Megabytes = {
  unit: "s/100 MB",
  value: ({ seconds, work }) => seconds / (work.bytes / 1e8),
};

/** The ceiling of a row, and how much of it a sample used. */
const OF_INT8 = { unit: "int8", amount: (work) => work.multiplyAdds };
const OF_MEMORY = { unit: "memory", amount: (work) => work.bytes };

export const CEILINGS = {
  int8: { measure: "ceiling", unit: "int8" },
  memory: { measure: "ceiling", unit: "memory" },
};

function ceilings() {
  const row = (name, shape, unit, value) => ({
    name,
    shape,
    session: "ceilings",
    workload: { measure: "ceiling", unit },
    ...value,
  });
  return [
    row("ceiling/int8", "register tile in L1", "int8", multiplyAdds),
    row("ceiling/f32", "fused multiply-add, in L1", "f32", multiplyAdds),
    row("ceiling/f32", "multiply, then add, in L1", "f32-unfused", multiplyAdds),
    row("ceiling/memory", "read of 256 MiB", "memory", bandwidth),
  ];
}

function products(model) {
  const { dModel, dAttention, dFf, vocabulary } = GEOMETRIES[model];
  const encoder = [
    ["q, k, v", dAttention, dModel],
    ["o", dModel, dAttention],
    ["wi", dFf, dModel],
    ["wo", dModel, dFf],
  ];
  const row = (rows, what, columns, depth) => ({
    name: "product",
    shape: `${model} ${what}: ${rows}×${depth}×${columns}`,
    session: model,
    workload: { measure: "product", rows, columns, depth, precision: "int8" },
    ceiling: OF_INT8,
    ...multiplyAdds,
  });
  return [
    ...encoder.map(([what, columns, depth]) => row(640, what, columns, depth)),
    row(40, "lm_head", vocabulary, dModel),
  ];
}

function batch(model, examples, tokens, targets) {
  return { model, precision: "int8", examples, tokens, ...(targets ? { targets } : {}) };
}

function encoder(model, examples, tokens) {
  return {
    name: "encoder",
    shape: `${model} ${examples}×${tokens}`,
    session: model,
    workload: { measure: "encoder", ...batch(model, examples, tokens) },
    ceiling: OF_INT8,
    ...milliseconds,
  };
}

const TARGETS = 8;
const RANK = 16;

function loss(model, examples, tokens, modules, merge) {
  return {
    name: "loss",
    shape: `${model} ${examples}×${tokens}+${TARGETS}, ${modules} modules, ${merge}`,
    session: model,
    workload: {
      measure: "loss",
      ...batch(model, examples, tokens, TARGETS),
      modules,
      rank: RANK,
      merge,
    },
    ceiling: OF_INT8,
    ...milliseconds,
  };
}

function learn(model) {
  return {
    name: "learn",
    shape: `${model} 5×128+${TARGETS}, 20 modules, lorahub, 40 evaluations`,
    session: model,
    workload: {
      measure: "learn",
      ...batch(model, 5, 128, TARGETS),
      modules: 20,
      rank: RANK,
      merge: "lorahub",
      budget: 40,
      optimizer: "cobyla",
    },
    ceiling: OF_INT8,
    long: true,
    ...wholeSeconds,
  };
}

/** One step of tuning what a search usually finds. */
function tune(model) {
  return {
    name: "tune",
    shape: `${model} 5×128+${TARGETS}, 3 modules, a step`,
    session: model,
    workload: {
      measure: "tune",
      ...batch(model, 5, 128, TARGETS),
      modules: 3,
      rank: RANK,
      merge: "delta",
    },
    ceiling: OF_INT8,
    ...milliseconds,
  };
}

/** Learning with the default settings; its evaluations have few modules each, and some examples. */
function learnByDefault(model, budget) {
  return {
    name: "learn",
    shape: `${model} 5×128+${TARGETS}, 41 modules, default, ${budget} evaluations`,
    session: model,
    workload: {
      measure: "learn",
      ...batch(model, 5, 128, TARGETS),
      modules: 41,
      rank: RANK,
      merge: "delta",
      budget,
      optimizer: "forward",
    },
    long: true,
    ...wholeSeconds,
  };
}

function decode(model, inputs) {
  return {
    name: "decode",
    shape: `${model} ${inputs}×128, 16 tokens`,
    session: model,
    workload: { measure: "decode", ...batch(model, inputs, 128), newTokens: 16 },
    // With one input memory is the limit, as every token reads all weights; with 32, the products.
    ceiling: inputs === 1 ? OF_MEMORY : OF_INT8,
    ...tokensPerSecond,
  };
}

/** A row that contenders measure, too. */
const compared = (row) => ({ ...row, compared: true });

function ofModel(model) {
  return [
    ...products(model),
    compared(encoder(model, 1, 128)),
    compared(encoder(model, 5, 128)),
    compared(loss(model, 5, 128, 20, "lorahub")),
    loss(model, 5, 128, 20, "delta"),
    compared(learn(model)),
    learnByDefault(model, 35),
    learnByDefault(model, 65),
    tune(model),
    compared({
      name: "seq2seq",
      shape: `${model} 1×128, 16 tokens`,
      session: model,
      workload: { measure: "seq2seq", ...batch(model, 1, 128), newTokens: 16 },
      ceiling: OF_INT8,
      ...milliseconds,
    }),
    compared(decode(model, 1)),
    compared(decode(model, 32)),
    compared({
      name: "load",
      shape: `${model} Q8_0`,
      session: `${model} load`,
      model,
      workload: { measure: "load", model, precision: "int8" },
      ...secondsPer100Megabytes,
    }),
    {
      name: "memory",
      shape: `${model} Q8_0, loaded, then a loss of 5×128+${TARGETS}`,
      session: `${model} memory`,
      model,
      workload: { measure: "load", model, precision: "int8" },
      afterwards: loss(model, 5, 128, 0, "lorahub").workload,
      unit: "MB",
    },
  ];
}

/** Rows that differ in one size; the report compares each with the one before. */
function grown(what, sizes, row) {
  return sizes.map((size) => {
    const made = row(size);
    return { ...made, growth: { series: `${made.session}, ${what}`, size } };
  });
}

/** How the cost grows with examples, tokens and modules. */
function growth(model) {
  return [
    ...grown("examples", [1, 4, 16, 64], (examples) => loss(model, examples, 128, 20, "lorahub")),
    ...grown("tokens", [32, 64, 128, 256, 512], (tokens) => encoder(model, 5, tokens)),
    ...["lorahub", "delta"].flatMap((merge) =>
      grown(`modules, ${merge}`, [5, 20, 50, 200], (modules) =>
        loss(model, 5, 128, modules, merge),
      ),
    ),
  ];
}

/** The demo library: what the page runs on Learn. */
function library() {
  const registry = JSON.parse(readFileSync(join(LIBRARY, "registry.json"), "utf8"));
  const modules = registry.modules.map(({ id }) => id);
  const task = "next-day-brackets";
  const files = [
    "base/config.json",
    "base/model.gguf",
    "base/tokenizer.json",
    `tasks/${task}.jsonl`,
    ...modules.flatMap((id) => [
      `modules/${id}/adapter_config.json`,
      `modules/${id}/adapter_model.safetensors`,
    ]),
  ];
  const shared = { task, modules, precision: "int8" };
  const decoding = (inputs) => ({
    name: "decode",
    shape: `demo library, ${task}, ${inputs} inputs`,
    session: "library",
    files,
    workload: { measure: "library-decode", inputs, ...shared },
    ...tokensPerSecond,
  });
  return [
    {
      name: "learn",
      shape: `demo library, ${task}, ${modules.length} modules`,
      session: "library",
      files,
      workload: { measure: "library-learn", ...shared },
      long: true,
      ...wholeSeconds,
    },
    decoding(1),
    decoding(32),
  ];
}

/** The rows to measure, those of one session together. */
export function plan({ only, models, grows }) {
  // A model that is measured through a hub only.
  if (models.every((model) => model === LARGE_MODEL)) return [];
  const all = [
    ...ceilings(),
    ...models
      .filter((model) => model in GEOMETRIES)
      .flatMap((model) => [...ofModel(model), ...(grows ? growth(model) : [])]),
    ...(models.includes(LIBRARY_MODEL) ? library() : []),
  ];
  const wanted = all.filter(({ name }) => only.length === 0 || only.includes(name));
  // A row of the growth that exists already is measured once, as both.
  const distinct = new Map();
  for (const row of wanted) {
    const key = `${row.name} ${row.shape}`;
    distinct.set(key, { ...distinct.get(key), ...row });
  }
  const sessions = new Map();
  for (const row of distinct.values())
    sessions.set(row.session, [...(sessions.get(row.session) ?? []), row]);
  return [...sessions.values()];
}
