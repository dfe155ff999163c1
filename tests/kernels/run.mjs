// Runs the kernels' test in Chromium: node run.mjs KERNELS.wasm…
//
// Fails if a program panics or does not test every instruction set of its build.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";

const { chromium } = createRequire(new URL("../../pkg-scripts/", import.meta.url))(
  "playwright-core",
);

const EXPECTED = {
  "threads.wasm": ["relaxed", "relaxed-pairs"],
  "simd128.wasm": ["simd128"],
};

/** Runs a program in the page; returns its lines of text, and its failure or null. */
async function runInPage(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const lines = [];
  const decoder = new TextDecoder();
  let memory;
  // A copy, as no decoder reads shared memory.
  const print = (text, length) =>
    lines.push(decoder.decode(new Uint8Array(memory.buffer, text, length).slice()));
  const module = await WebAssembly.compile(bytes);
  // The library's bindings import functions that no kernel calls.
  const imports = { page: { print } };
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    if (kind === "memory") {
      memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
      imports[from][name] = memory;
    } else {
      imports[from][name] ??= () => {
        throw new Error(`${from}.${name} was called`);
      };
    }
  }
  const { exports } = await WebAssembly.instantiate(module, imports);
  memory ??= exports.memory;
  try {
    exports.main(0, 0);
    return { lines, failure: null };
  } catch (error) {
    return { lines, failure: String(error) };
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
});
const page = await browser.newPage();
for (const file of process.argv.slice(2)) {
  const { lines, failure } = await page.evaluate(runInPage, readFileSync(file).toString("base64"));
  for (const line of lines) console.log(`   ${basename(file)}: ${line}`);
  const missing = EXPECTED[basename(file)].filter((name) => !lines.includes(`passed: ${name}`));
  if (failure || missing.length > 0) {
    console.error(`error: ${basename(file)}: ${failure ?? `${missing} did not run`}`);
    process.exitCode = 1;
  }
}
await browser.close();
