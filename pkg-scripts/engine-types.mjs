// Writes www/package/src/generated/engine.d.ts: the declarations that wasm-bindgen wrote for the build
// with threads, without the raw exports, whose names change with every build.
// usage: engine-types.mjs [--check]   (--check fails where the file in the tree is another)
import { readFileSync, writeFileSync } from "node:fs";

const from = new URL("../www/package/wasm/threads/loraloom.d.ts", import.meta.url);
const to = new URL("../www/package/src/generated/engine.d.ts", import.meta.url);

const declarations = readFileSync(from, "utf8").replace(
  /(export interface InitOutput \{\n)[^}]*\}/,
  "$1    readonly memory: WebAssembly.Memory;\n}",
);
const text = `// The exports of the wasm builds. Written by pkg-scripts/generate-types after a build.\n${declarations}`;

if (!process.argv.includes("--check")) writeFileSync(to, text);
else if (readFileSync(to, "utf8") !== text) {
  console.error(
    "error: www/package/src/generated/engine.d.ts is not what the wasm build declares.\n" +
      "       Run: pkg-scripts/generate-types, and commit what it wrote.",
  );
  process.exit(1);
}
