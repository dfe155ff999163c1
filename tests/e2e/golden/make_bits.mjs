// Writes bits.json and tuned_bits.json: the native command line's losses of the examples in texts.json, and
// those after three steps of tuning the last case. The browser's must be the same bits.
//
//   node tests/e2e/golden/make_bits.mjs PATH_TO_LORALOOM
//
//   bits.json        {MODEL: {PRECISION: [[loss of each example] of each case]}}
//   tuned_bits.json  {MODEL: {PRECISION: {PART: [loss of each example]}}}

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
const tuned = {};
for (const [model, cases] of Object.entries(models)) {
  const root = join(here, "../../golden/models", model);
  const file = join(folder, "examples.jsonl");
  const run = (...options) =>
    JSON.parse(execFileSync(program, ["--json", ...options], { encoding: "utf8" }));
  const shared = (precision, examples) => {
    writeFileSync(file, examples.map((example) => JSON.stringify(example)).join("\n"));
    return ["--model", root, "--examples", file, "--precision", precision];
  };
  const composition = ({ merge, adapters, weights }) => [
    ...(merge ? ["--merge", merge] : []),
    ...adapters.map((name, index) => `--adapter=${join(root, "adapters", name)}=${weights[index]}`),
  ];
  const losses = (precision, examples, options) => {
    const { examples: scores } = run("score", ...shared(precision, examples), ...options);
    return scores.map(({ loss }) => loss);
  };
  const tunedLosses = (precision, part) => {
    const { examples, ...last } = cases.at(-1);
    const out = join(folder, "tuned");
    const options = ["--part", part, "--steps", "3", "--out", out, ...composition(last)];
    run("tune", ...shared(precision, examples), ...options);
    return losses(precision, examples, ["--adapter", out]);
  };
  const ofPart = (precision) =>
    Object.fromEntries(["lora-b", "scales"].map((part) => [part, tunedLosses(precision, part)]));
  tuned[model] = { int8: ofPart("int8"), f32: ofPart("f32") };
  const ofCases = (precision) =>
    cases.map((one) => losses(precision, one.examples, composition(one)));
  made[model] = { int8: ofCases("int8"), f32: ofCases("f32") };
}
rmSync(folder, { recursive: true });
writeFileSync(join(here, "bits.json"), `${JSON.stringify(made, null, 1)}\n`);
writeFileSync(join(here, "tuned_bits.json"), `${JSON.stringify(tuned, null, 1)}\n`);
