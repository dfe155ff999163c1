// Finishes dist so that it runs as it lies there, with a bundler or without one: the wasm builds go
// into dist/wasm, and the libraries that the worker uses go into the modules that use them.

import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const from = new URL("./wasm/", import.meta.url);
const to = new URL("./dist/wasm/", import.meta.url);

/** What replaces parts of the thread pool's helper. */
const HELPER_CHANGES = [
  // It passes arguments that wasm-bindgen warns of.
  [
    "pkg.default(data.module, data.memory)",
    "pkg.default({ module_or_path: data.module, memory: data.memory })",
  ],
  // Its threads start from a blob, which a strict Content Security Policy forbids. A file of another origin
  // starts no worker, so that one still needs the blob.
  [
    `let scriptBlob = await fetch(import.meta.url).then(r => r.blob());
      let url = URL.createObjectURL(scriptBlob);`,
    `let url = import.meta.url;
      if (new URL(url).origin !== location.origin) {
        url = URL.createObjectURL(await fetch(url).then(r => r.blob()));
      }`,
  ],
];
const threadPoolHelper = {
  name: "thread-pool-helper",
  transform: {
    filter: { id: /workerHelpers/ },
    handler(code) {
      return HELPER_CHANGES.reduce(
        (changed, [before, after]) => {
          if (!changed.includes(before))
            throw new Error(`The thread pool's helper has no ${before}`);
          return changed.replace(before, after);
        },
        code.replaceAll("\r\n", "\n"),
      );
    },
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
for (const build of ["threads", "relaxed", "simd128", "gpu"]) {
  const folder = new URL(`${build}/`, from);
  const wasm = new URL("loraloom_bg.wasm", folder);
  await readFile(wasm).catch(() => {
    throw new Error(`${fileURLToPath(wasm)} is missing: run pkg-scripts/build --wasm-only first.`);
  });
  const out = new URL(`${build}/`, to);
  await mkdir(out, { recursive: true });
  const bundle = await rolldown({
    input: fileURLToPath(new URL("loraloom.js", folder)),
    plugins: [threadPoolHelper],
    // The helper keeps its workers in a variable that nothing reads, so that Firefox keeps them alive.
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
