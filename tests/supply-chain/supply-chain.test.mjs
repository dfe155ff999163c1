// What the project is made of: every npm package is pinned by its hash, and the list of parts that is written beside
// the site names all of them, with a licence and a hash.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LOCKS, lockProblems } from "../../pkg-scripts/npm-locks.mjs";
import { document } from "../../pkg-scripts/sbom.mjs";

const root = new URL("../../", import.meta.url);
const lockOf = (path) => JSON.parse(readFileSync(new URL(path, root), "utf8"));

test("every package of the lock files has a hash, and none has a source but the npm registry", () => {
  for (const path of LOCKS) {
    assert.deepEqual(lockProblems(lockOf(path)), [], path);
    assert.ok(Object.keys(lockOf(path).packages).length > 50, path);
  }
});

test("a package without a hash, and one of another host, are refused by name", () => {
  const integrity = `sha512-${"a".repeat(86)}==`;
  const packages = {
    "": { name: "own" },
    package: { name: "a workspace" },
    "node_modules/own": { link: true },
    "node_modules/right": { integrity, resolved: "https://registry.npmjs.org/right.tgz" },
    "node_modules/bare": { version: "1.0.0" },
    "node_modules/weak": { integrity: "sha1-aaaa" },
    "node_modules/other": { integrity, resolved: "git+ssh://git@example.org/other.git" },
  };
  assert.deepEqual(lockProblems({ lockfileVersion: 3, packages }), [
    "node_modules/bare has no SHA-512",
    "node_modules/weak has no SHA-512",
    "node_modules/other comes from git+ssh://git@example.org/other.git",
  ]);
  assert.deepEqual(lockProblems({ lockfileVersion: 1 }), ["lockfileVersion is 1, not 3"]);
});

test("the list of parts has what is built into the site, and nothing that only builds or tests it", () => {
  const { components, dependencies, ...rest } = document();
  assert.equal(rest.specVersion, "1.6");
  const names = components.map(({ purl }) => purl.replace(/@[^@]*$/, ""));
  for (const part of ["cargo/loraloom", "cargo/wasm-bindgen", "cargo/wgpu", "cargo/serde_json"])
    assert.ok(names.includes(`pkg:${part}`), part);
  for (const part of ["preact", "fflate", "lean-qr", "wasm-feature-detect", "%40preact/signals"])
    assert.ok(names.includes(`pkg:npm/${part}`), part);
  // The command line's, the tests', and the tools'.
  for (const part of ["cargo/clap", "cargo/candle-core", "cargo/loom", "npm/vite", "npm/vitest"])
    assert.ok(!names.includes(`pkg:${part}`), part);
  assert.equal(new Set(components.map((one) => one["bom-ref"])).size, components.length);
  for (const { name, version, licenses, hashes } of components) {
    assert.match(licenses[0].expression, /^[\w.\-+() ]+$/, name);
    const length = { "SHA-256": 64, "SHA-512": 128 }[hashes?.[0].alg];
    // The project's own crate has none.
    if (name !== "loraloom") assert.equal(hashes[0].content.length, length, `${name} ${version}`);
  }
  const known = new Set(components.map((one) => one["bom-ref"]));
  for (const { dependsOn } of dependencies) for (const one of dependsOn) assert.ok(known.has(one));
  assert.equal(JSON.stringify(document()), JSON.stringify({ ...rest, components, dependencies }));
});
