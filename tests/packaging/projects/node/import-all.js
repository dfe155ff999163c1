// Imports every entry of the package, as a server does that renders a page. Nothing may start.

import assert from "node:assert";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

// Deno defines a global of its own with it.
process.getBuiltinModule?.("node:fs");
const before = Object.getOwnPropertyNames(globalThis);
const { LoraLoom } = await import("loraloom");
const { LoraLoomElement } = await import("loraloom/element");
await import("loraloom/worker");
const wasm = new URL("wasm/", import.meta.resolve("loraloom"));
for (const build of readdirSync(fileURLToPath(wasm))) {
  await import(`loraloom/wasm/${build}/loraloom.js`);
}
assert.equal(typeof LoraLoom.open, "function");
assert.deepEqual(LoraLoomElement.observedAttributes, ["registry", "recipe"]);
assert.deepEqual(Object.getOwnPropertyNames(globalThis), before);
const started = process.getActiveResourcesInfo().filter((name) => /Worker|Port|Time/.test(name));
assert.deepEqual(started, []);
