// Finishes dist so that it runs as it lies there, with a bundler or without one: the wasm builds go
// into dist/wasm, and the libraries that the worker uses go into the modules that use them. LORALOOM_BUILDS names
// the builds that there are, where they are not all there yet.

import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const from = new URL("./wasm/", import.meta.url);
const to = new URL("./dist/wasm/", import.meta.url);

/** Starts threads by src/worker/threads.ts. */
const ownThreads = {
  name: "own-threads",
  resolveId: {
    filter: { id: /workerHelpers/ },
    handler: () => fileURLToPath(new URL("./dist/worker/threads.js", import.meta.url)),
  },
};

// The declarations of the worker refer to it; tsc copies no .d.ts files.
await copyFile(
  new URL("./src/generated/engine.d.ts", import.meta.url),
  new URL("./dist/generated/engine.d.ts", import.meta.url),
);

// A worker's imports have no import map, so a page without a bundler could not resolve the names.
for (const [module, banner] of [
  ["capabilities", "// With wasm-feature-detect, Google Inc., Apache-2.0."],
  ["unzip", "// With fflate, Arjun Barrett, MIT."],
]) {
  const file = fileURLToPath(new URL(`./dist/worker/${module}.js`, import.meta.url));
  const bundled = await rolldown({ input: file, external: /^\.\.?\// });
  await bundled.write({ file, banner });
  await bundled.close();
}

// Each build's glue becomes one file: bundlers copy a file named by `new URL(…, import.meta.url)` as
// it is, and would lose what it imports.
await rm(to, { recursive: true, force: true });
const builds = process.env.LORALOOM_BUILDS?.split(" ") ?? [
  "threads",
  "threads-simd128",
  "gpu",
  "simd128",
];
for (const build of builds) {
  const folder = new URL(`${build}/`, from);
  const wasm = new URL("loraloom_bg.wasm", folder);
  await readFile(wasm).catch(() => {
    throw new Error(`${fileURLToPath(wasm)} is missing: run pkg-scripts/build --wasm-only first.`);
  });
  const out = new URL(`${build}/`, to);
  await mkdir(out, { recursive: true });
  const bundle = await rolldown({
    input: fileURLToPath(new URL("loraloom.js", folder)),
    plugins: [ownThreads],
    // The threads are kept in a variable that nothing reads, so that Firefox keeps them alive.
    treeshake: false,
  });
  await bundle.write({
    dir: fileURLToPath(out),
    entryFileNames: "loraloom.js",
    minify: { compress: false, mangle: false, codegen: true },
  });
  await bundle.close();
  await copyFile(wasm, new URL("loraloom_bg.wasm", out));
}
