// The benchmark on a tiny model, natively: what it writes has the form that other programs read, and
// every measurement gives a number. How large the numbers are is no matter here.
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

function measured(...options) {
  const json = join(folder, "rows.json");
  const command = [MAIN, "--native", "--quick", "--model", "tiny", ...options, "--json", json];
  execFileSync(process.execPath, command, { env, stdio: ["ignore", "ignore", "inherit"] });
  return JSON.parse(readFileSync(json, "utf8"));
}

test("every measurement of a model writes a row for one thread and one for two", () => {
  const names = ["product", "encoder", "loss", "seq2seq", "decode", "load", "memory"];
  const { machine, rows } = measured("--only", ...names);
  assert.match(machine, /\d+ cores, native$/);
  assert.deepEqual(new Set(rows.map(({ name }) => name)), new Set(names));
  for (const row of rows) {
    assert.deepEqual(Object.keys(row), [
      "name",
      "shape",
      "threads",
      "value",
      "unit",
      "ceiling_share",
      "versus",
    ]);
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

test("a name that is not known is refused with those that are", () => {
  const command = [MAIN, "--native", "--only", "speed"];
  const { status, stderr } = spawnSync(process.execPath, command, { env, encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /no measurement speed[\s\S]*encoder/);
});
