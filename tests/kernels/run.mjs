// Runs the kernels' test in Chromium: node run.mjs KERNELS.wasm…
//
// Fails where one panics, tells nothing, or lacks the instruction sets that its name promises.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";

const { chromium } = createRequire(new URL("../../pkg-scripts/", import.meta.url))(
  "playwright-core",
);

const EXPECTED = {
  "relaxed.wasm": ["relaxed", "relaxed-pairs"],
  "simd128.wasm": ["simd128"],
};

/** What the program tells, and whether it ended well. Runs in the page. */
async function runInPage(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const said = [];
  const decoder = new TextDecoder();
  let memory;
  const tell = (text, length) =>
    said.push(decoder.decode(new Uint8Array(memory.buffer, text, length)));
  const module = await WebAssembly.compile(bytes);
  // The library's bindings ask for functions of a page, which no kernel calls.
  const imports = { page: { tell } };
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] ??= () => {
      throw new Error(`${from}.${name} was called`);
    };
  }
  const { exports } = await WebAssembly.instantiate(module, imports);
  memory = exports.memory;
  try {
    exports.main(0, 0);
    return { said, failure: null };
  } catch (error) {
    return { said, failure: String(error) };
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
});
const page = await browser.newPage();
for (const file of process.argv.slice(2)) {
  const { said, failure } = await page.evaluate(runInPage, readFileSync(file).toString("base64"));
  for (const line of said) console.log(`   ${basename(file)}: ${line}`);
  const missing = EXPECTED[basename(file)].filter((name) => !said.includes(`passed: ${name}`));
  if (failure || missing.length > 0) {
    console.error(`error: ${basename(file)}: ${failure ?? `${missing} did not run`}`);
    process.exitCode = 1;
  }
}
await browser.close();
