// Writes bits.json: the native command line's losses of the examples in texts.json. The browser's must
// be the same bits.
//
//   node tests/e2e/golden/make_bits.mjs PATH_TO_LORALOOM
//
//   {MODEL: {PRECISION: [[loss of each example] of each case]}}

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const program = process.argv[2];
if (!program) throw new Error("name the command line: node make_bits.mjs target/release/loraloom");
const here = import.meta.dirname;
const { models } = JSON.parse(readFileSync(join(here, "texts.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "loraloom-bits-"));
const made = {};
for (const [model, cases] of Object.entries(models)) {
  const root = join(here, "../../golden/models", model);
  const losses = (precision, { merge, adapters, weights, examples }) => {
    const file = join(folder, "examples.jsonl");
    writeFileSync(file, examples.map((example) => JSON.stringify(example)).join("\n"));
    const options = [
      "--json",
      "score",
      "--model",
      root,
      "--examples",
      file,
      "--precision",
      precision,
    ];
    if (merge) options.push("--merge", merge);
    for (const [index, adapter] of adapters.entries()) {
      options.push("--adapter", `${join(root, "adapters", adapter)}=${weights[index]}`);
    }
    const { examples: scores } = JSON.parse(execFileSync(program, options, { encoding: "utf8" }));
    return scores.map(({ loss }) => loss);
  };
  const ofCases = (precision) => cases.map((example) => losses(precision, example));
  made[model] = { int8: ofCases("int8"), f32: ofCases("f32") };
}
rmSync(folder, { recursive: true });
writeFileSync(join(here, "bits.json"), `${JSON.stringify(made, null, 1)}\n`);
