// Writes www/package/src/generated/engine.d.ts: the declarations that wasm-bindgen wrote for the build
// that every browser can run, without comments and without the raw exports, whose names change, and with an import
// of the generated types that they name.
// usage: engine-types.mjs [--check]   (--check fails where the file in the tree is another)
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const from = new URL("../www/package/wasm/simd128/loraloom.d.ts", import.meta.url);
const to = new URL("../www/package/src/generated/engine.d.ts", import.meta.url);
const types = new URL("../www/package/src/generated/types.ts", import.meta.url);
if (!existsSync(from)) process.exit(0);

const declarations = readFileSync(from, "utf8")
  .replace(
    /(export interface InitOutput \{\n)[^}]*\}/,
    "$1    readonly memory: WebAssembly.Memory;\n}",
  )
  .replace(/^ *\/\*.*?\*\/\n/gms, "")
  // The package passes typed arrays only.
  .replaceAll("Uint8Array | number[]", "Uint8Array")
  .replace(/\n{2,}/g, "\n");
const words = new Set(declarations.match(/\w+/g));
const names = [...readFileSync(types, "utf8").matchAll(/^export type (\w+)/gm)].map(
  ([, name]) => name,
);
const used = names.filter((name) => words.has(name));
const text = `// The exports of the wasm builds. Written by pkg-scripts/generate-types after a build.
import type {\n${used.map((name) => `    ${name},\n`).join("")}} from "./types.js";
${declarations}`;

if (!process.argv.includes("--check")) writeFileSync(to, text);
else if (readFileSync(to, "utf8") !== text) {
  console.error(
    "error: www/package/src/generated/engine.d.ts is not what the wasm build declares.\n" +
      "       Run: pkg-scripts/generate-types, and commit what it wrote.",
  );
  process.exit(1);
}
