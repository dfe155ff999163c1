// The contenders of the benchmark: what each measures, with how many threads, and how it is started.
// `contenders/install` installs them into the cache.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ProcessRunner } from "./runners.mjs";

const SCRIPTS = join(dirname(fileURLToPath(import.meta.url)), "contenders");

function python(dtype, device = "cpu") {
  return (_browser, threads) => {
    const interpreter = join(process.env.LORALOOM_BENCH, "contenders/python/bin/python");
    const script = join(SCRIPTS, "torch_runner.py");
    // Without the warnings of its libraries.
    return new ProcessRunner(interpreter, [
      "-W",
      "ignore",
      script,
      "--device",
      device,
      "--dtype",
      dtype,
      "--threads",
      String(threads),
    ]);
  };
}

const inBrowser = (script) => (browser, threads) => browser.start(script, { threads });

const TORCH = ["encoder", "loss", "seq2seq", "decode"];
const BROWSER = ["encoder", "seq2seq", "load"];

const TABLE = {
  "pytorch-f32": { threads: [2], measures: TORCH, start: python("f32") },
  "pytorch-bf16": { threads: [2], measures: TORCH, start: python("bf16") },
  "pytorch-int8": { threads: [2], measures: TORCH, start: python("int8") },
  lorahub: { threads: [2], measures: ["learn"], start: python("f32") },
  "transformers.js": {
    threads: [1, 2],
    measures: BROWSER,
    start: inBrowser("transformers-js.mjs"),
  },
  candle: { threads: [1], measures: BROWSER, start: inBrowser("candle.mjs") },
};

/** Names of all contenders, in the JSON too. */
export const CONTENDERS = Object.keys(TABLE);

/** Contenders on the GPU, through CUDA. */
const GPU_TABLE = { "pytorch-f16": python("f16", "cuda") };
export const GPU_CONTENDERS = Object.keys(GPU_TABLE);

/** Starts a contender on the GPU. */
export const startGpuContender = (name) => GPU_TABLE[name](undefined, 1);

/** Starts a contender, once per number of threads, if it can measure any of the rows. */
export async function openContender(name, rows, browser) {
  const { threads, measures, start } = TABLE[name];
  const takes = (row) => row.compared === true && measures.includes(row.name);
  if (!rows.some(takes)) return [];
  const opened = [];
  for (const count of threads) {
    opened.push({ name, threads: count, takes, runner: await start(browser, count) });
  }
  return opened;
}
