// The build's last step: the pages get their policy, and the service worker the list of the site's files.

import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { PAGE_POLICY } from "../policy.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
/** The WebAssembly builds, a folder for each. */
const ENGINES = here("../../package/dist/wasm/");
/** What the service worker does not keep: libraries, which the package stores, and files for the host. */
const NOT_KEPT = /^(library|lorahub)\/|^(sw\.js|_headers)$/;

const hashOf = (bytes) => createHash("sha256").update(bytes).digest("base64");

async function filesIn(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length).replaceAll("\\", "/"));
  return paths.sort();
}

/** The release in a folder: see `Release` in release.ts. */
async function readRelease(folder) {
  const files = {};
  for (const path of await filesIn(folder)) {
    if (!NOT_KEPT.test(path)) files[path] = `sha256-${hashOf(await readFile(join(folder, path)))}`;
  }
  const engines = {};
  for (const path of await filesIn(ENGINES)) {
    const hash = `sha256-${hashOf(await readFile(join(ENGINES, path)))}`;
    const found = Object.keys(files).find((name) => files[name] === hash);
    if (!found) throw new Error(`The site lacks ${path} of the WebAssembly builds`);
    const [build] = path.split("/");
    engines[build] = [...(engines[build] ?? []), found];
  }
  const id = createHash("sha256").update(JSON.stringify(files)).digest("hex").slice(0, 16);
  return { id, files, engines };
}

/** Adds the policy to the pages, and `sw.js` to the site. */
export function serviceWorker() {
  let folder = "";
  return {
    name: "loraloom-service-worker",
    apply: "build",
    configResolved(config) {
      folder = `${resolve(config.root, config.build.outDir)}/`;
    },
    transformIndexHtml: () => [
      {
        tag: "meta",
        attrs: { "http-equiv": "Content-Security-Policy", content: PAGE_POLICY },
        injectTo: "head-prepend",
      },
    ],
    async closeBundle() {
      const release = await readRelease(folder);
      const bundle = await rolldown({ input: here("./main.ts") });
      const { output } = await bundle.generate({ format: "iife", minify: true });
      await bundle.close();
      const list = `const RELEASE=${JSON.stringify(release)};\n`;
      await writeFile(join(folder, "sw.js"), list + output[0].code);
    },
  };
}
