// The benchmark on a tiny model, natively: what it writes has the form that other programs read, and
// every measurement gives a number. How large the numbers are is no matter here. The GPU is
// measured where there is one, be it Mesa's in software.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const MAIN = join(dirname(fileURLToPath(import.meta.url)), "../../pkg-scripts/benchmark/main.mjs");
const folder = mkdtempSync(join(tmpdir(), "loraloom-bench-"));
after(() => rmSync(folder, { recursive: true }));
const env = { ...process.env, LORALOOM_BENCH: folder };

function measured(on, ...options) {
  const json = join(folder, "rows.json");
  const command = [MAIN, on, "--quick", "--model", "tiny", ...options, "--json", json];
  const stdout = execFileSync(process.execPath, command, {
    env,
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  return { stdout, ...JSON.parse(readFileSync(json, "utf8")) };
}

const COLUMNS = ["name", "shape", "threads", "value", "unit", "ceiling_share", "versus"];

test("every measurement of a model writes a row for one thread and one for two", () => {
  const names = ["product", "encoder", "loss", "seq2seq", "decode", "load", "memory"];
  const { machine, rows } = measured("--native", "--only", ...names);
  assert.match(machine, /\d+ cores, native$/);
  assert.deepEqual(new Set(rows.map(({ name }) => name)), new Set(names));
  for (const row of rows) {
    assert.deepEqual(Object.keys(row), COLUMNS);
    assert.ok(row.value > 0, `${row.name} ${row.shape}: ${row.value}`);
    assert.ok(row.ceiling_share === null || row.ceiling_share > 0, `${row.name} ${row.shape}`);
    assert.deepEqual(row.versus, {});
  }
  for (const row of rows.filter(({ threads, name }) => threads === 1 && name !== "memory")) {
    const other = rows.find(
      ({ shape, threads, name }) => threads === 2 && shape === row.shape && name === row.name,
    );
    assert.equal(other?.unit, row.unit, row.shape);
  }
  const shared = rows.filter(({ ceiling_share }) => ceiling_share !== null);
  assert.deepEqual(
    new Set(shared.map(({ name }) => name)),
    new Set(["product", "encoder", "loss", "seq2seq", "decode"]),
  );
});

/** Why the GPU cannot be measured here, or false. */
function gpuSkipReason() {
  const binary = process.env.LORALOOM_BENCH_BINARY;
  const { stdout } = spawnSync(binary, ["--gpu"], { input: '"adapter"\n', encoding: "utf8" });
  return JSON.parse(stdout).error ?? false;
}

test("rows of the GPU have its rates, its costs and its time per kind of kernel", {
  skip: gpuSkipReason(),
}, () => {
  const { machine, rows, stdout } = measured("--gpu", "--versus");
  assert.match(stdout, /GPU: .+\n +driver: .+/);
  assert.match(stdout, /losses: the bits of the CPU/);
  // PyTorch is skipped without CUDA, and has no tiny model with it.
  assert.match(stdout, /pytorch-f16: skipped, ./);
  assert.match(machine, /cores, .+/);
  const costs = ["dispatches", "submissions", "readback", "memory", "time"];
  const names = ["product", "loss", "population", "decode", ...costs].map((name) => `gpu/${name}`);
  assert.deepEqual(new Set(rows.map(({ name }) => name)), new Set(names));
  for (const row of rows) {
    assert.deepEqual(Object.keys(row), COLUMNS);
    assert.equal(row.threads, null);
    const offered = row.name !== "gpu/time" || !stdout.includes("not offered");
    assert.ok(offered ? row.value > 0 : row.value === null, `${row.name} ${row.shape}`);
    const shared = ["gpu/loss", "gpu/population"].includes(row.name);
    assert.equal(row.ceiling_share > 0, shared, row.name);
  }
  const cost = (name, many) =>
    rows.find((row) => row.name === `gpu/${name}` && row.shape.includes("population") === many);
  assert.equal(cost("submissions", true).value, 1);
  assert.equal(cost("readback", true).value, 32 * cost("readback", false).value);
  // A member of a population costs no dispatch of its own.
  assert.equal(cost("dispatches", true).value, cost("dispatches", false).value);
});

test("an unknown name is rejected with the known ones", () => {
  const command = [MAIN, "--native", "--only", "speed"];
  const { status, stderr } = spawnSync(process.execPath, command, { env, encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /no measurement speed[\s\S]*encoder/);
});
