// The GPU, natively: the rate of the library's product kernel, which is the ceiling; one loss, a
// population and decoding of each model; and an evaluation's dispatches, submissions and memory.
import { spawnSync } from "node:child_process";
import { startGpuContender } from "./contenders.mjs";
import { median } from "./report.mjs";
import { GEOMETRIES } from "./rows.mjs";
import { GpuRunner } from "./runners.mjs";
import { takeTurns } from "./turns.mjs";

/** Names for `--only`; the costs of an evaluation belong to the loss and the population. */
export const GPU_NAMES = ["gpu/product", "gpu/loss", "gpu/population", "gpu/decode"];

/** Sizes of the square products; a product longer than this is the last. */
const PRODUCT_SIZES = [512, 1024, 2048, 4096];
const LONGEST_PRODUCT_SECONDS = 0.2;
const POPULATION = 32;
const BATCH = { precision: "int8", examples: 5, tokens: 128, targets: 8 };
const MODULES = { modules: 20, rank: 16, merge: "lorahub" };
const NEW_TOKENS = 16;

const rate = ({ multiplyAdds }, seconds) => multiplyAdds / seconds / 1e9;

function evaluation(model, members) {
  const many = members > 1 ? `, population of ${members}` : "";
  return {
    name: members > 1 ? "gpu/population" : "gpu/loss",
    shape: `${model} 5×128+8, 20 modules, lorahub${many}`,
    workload: { measure: "loss", model, ...BATCH, ...MODULES, members },
    unit: "ms",
    value: ({ seconds }) => seconds * 1e3,
    compared: members === 1,
  };
}

function decoding(model, inputs) {
  const batch = { model, precision: "int8", examples: inputs, tokens: BATCH.tokens };
  return {
    name: "gpu/decode",
    shape: `${model} ${inputs}×128, 16 tokens`,
    workload: { measure: "decode", ...batch, newTokens: NEW_TOKENS },
    unit: "tokens/s",
    value: ({ seconds, tokens }) => tokens / seconds,
    more: true,
    compared: true,
  };
}

/** Measures the rates of the product kernel; returns the best in 8 bits, or null if not measured. */
async function measureProducts(runner, turns, report) {
  let ceiling = null;
  for (const precision of ["int8", "f32"]) {
    for (const size of PRODUCT_SIZES) {
      const work = await runner.prepare({ measure: "product", size, precision });
      const party = { runner };
      await takeTurns([party], turns, true);
      const rates = party.samples.map(({ seconds }) => rate(work, seconds));
      const value = median(rates);
      if (precision === "int8") ceiling = Math.max(ceiling ?? 0, value);
      const shape = `${precision}, ${size}×${size}×${size}`;
      const best = Math.max(...rates);
      report({ name: "gpu/product", shape, value, best, unit: "GMAC/s" });
      if (size ** 3 / value / 1e9 > LONGEST_PRODUCT_SECONDS) break;
    }
  }
  return ceiling;
}

/** Rows for the costs of an evaluation other than its time. */
function reportCost({ shape }, cost, report) {
  const row = (name, what, value, unit) =>
    report({ name, shape: `${shape}${what}`, value, best: value, unit });
  row("gpu/dispatches", "", cost.dispatches, "");
  row("gpu/submissions", "", cost.submissions, "");
  row("gpu/readback", "", cost.readbackBytes, "bytes");
  row("gpu/memory", ": weights, modules and buffers", cost.memoryBytes / 1e6, "MB");
  for (const what of ["products", "attention", "rest"]) {
    const seconds = cost.split?.[what];
    row("gpu/time", `: ${what}`, seconds === undefined ? null : seconds * 1e3, "ms");
  }
  const same = cost.difference === 0;
  console.log(
    `   losses: ${same ? "the bits of the CPU" : `within ${cost.difference.toExponential(1)} of the CPU's`}`,
  );
}

/** Starts the contenders, or prints why they are skipped. */
function startContenders(names) {
  if (names.length > 0 && spawnSync("nvidia-smi").status !== 0) {
    const reason = "CUDA is needed, and nvidia-smi finds no NVIDIA GPU";
    console.log(`   ${names.join(", ")}: skipped, ${reason}`);
    return [];
  }
  return names.map((name) => ({ name, runner: startGpuContender(name) }));
}

/** The contenders that can measure the row, prepared; prints the reason for each that cannot. */
async function rivalsOf(row, contenders) {
  const parties = [];
  for (const contender of contenders.filter(({ skipped }) => row.compared && !skipped)) {
    try {
      await contender.runner.prepare(row.workload);
      await contender.runner.sample();
      parties.push({ contender, runner: contender.runner });
    } catch (error) {
      contender.skipped = true;
      console.log(`   ${contender.name}: skipped, ${error.message}`);
    }
  }
  return parties;
}

async function measureRow(row, runner, contenders, turns, ceiling, report) {
  const work = await runner.prepare(row.workload);
  const long = row.name === "gpu/population";
  if (!long) await runner.sample();
  const mine = { runner };
  const rivals = await rivalsOf(row, contenders);
  await takeTurns([mine, ...rivals], turns, long);
  const values = mine.samples.map(row.value);
  const seconds = median(mine.samples.map((sample) => sample.seconds));
  // Decoding is compared per token; ours counts the tokens after the first submission.
  const tokens = mine.samples[0].tokens || 1;
  const theirTokens = row.workload.newTokens ? row.workload.examples * NEW_TOKENS : 1;
  const ratio = (rival) =>
    median(rival.samples.map((sample) => sample.seconds)) / theirTokens / (seconds / tokens);
  report({
    ...row,
    value: median(values),
    best: row.more ? Math.max(...values) : Math.min(...values),
    // Decoding is limited by memory, not by products.
    ceilingShare: ceiling && work.cost ? rate(work, seconds) / ceiling : null,
    versus: Object.fromEntries(rivals.map((rival) => [rival.contender.name, ratio(rival)])),
  });
  if (work.cost) reportCost(row, work.cost, report);
}

/** The GPU's adapter; undefined and a message if there is none. */
async function opened(runner) {
  try {
    return await runner.adapter();
  } catch (error) {
    console.error(`\nerror: the GPU cannot be measured: ${error.message}`);
    console.error(
      "       Install its Vulkan driver or, to try without a GPU, Mesa's software Vulkan:",
    );
    console.error("       apt-get install mesa-vulkan-drivers libvulkan1; then run this again.");
    process.exitCode = 1;
    return undefined;
  }
}

/** Measures the GPU; returns its name and driver. */
export async function measureGpu({ models, only, contenders: names, turns }, onRow) {
  const report = (row) =>
    onRow({
      threads: null,
      ceilingShare: null,
      versus: {},
      ceiling: { unit: "products" },
      ...row,
    });
  const wanted = (name) => only.length === 0 || only.includes(name);
  const runner = new GpuRunner();
  const contenders = startContenders(names);
  try {
    const adapter = await opened(runner);
    if (!adapter) return "no GPU";
    console.log(`   GPU:    ${adapter.name}\n   driver: ${adapter.driver}`);
    const [packed, unpacked] = (adapter.dotSeconds ?? []).map((seconds) =>
      (seconds * 1e3).toFixed(3),
    );
    const tried = packed ? ` (timed at start: packed ${packed} ms, unpacked ${unpacked} ms)` : "";
    console.log(`   bytes:  multiplied ${adapter.dot}${tried}`);
    if (!adapter.timestamps)
      console.log("   timestamps: not offered, so there is no time per kind of kernel");
    const evaluates = wanted("gpu/loss") || wanted("gpu/population");
    const ceiling =
      wanted("gpu/product") || evaluates ? await measureProducts(runner, turns, report) : null;
    for (const model of models.filter((model) => model in GEOMETRIES)) {
      const rows = [
        evaluation(model, 1),
        evaluation(model, POPULATION),
        decoding(model, 1),
        decoding(model, 32),
      ];
      for (const row of rows.filter(({ name }) => wanted(name))) {
        await measureRow(row, runner, contenders, turns, ceiling, report);
      }
    }
    return `${adapter.name}, ${adapter.driver}`;
  } finally {
    for (const one of [runner, ...contenders.map((contender) => contender.runner)]) {
      await one.close();
    }
  }
}
