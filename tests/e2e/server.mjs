// Serves www/dist for the tests, and the library with one fault of each kind:
//
//   node server.mjs PORT [--isolated]
//   http://localhost:PORT/                                  the site
//   http://localhost:PORT/faults/KIND/library/registry.json  the library with that fault
//   http://localhost:PORT/short/library/registry.json        the library with short test sets
//   http://localhost:PORT/package/index.js                   the package, without a bundler
//   http://localhost:PORT/golden/registry.json               tests/golden/models as a library
//   http://localhost:PORT/only/BUILD/                        one wasm build, at the address of every build
//
// LIBRARY is the folder of the library (default: the one in the site).

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { ISOLATION, POLICY } from "../../www/site/policy.mjs";

const port = Number(process.argv[2]);
const isolated = process.argv.includes("--isolated");
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const dist = here("../../www/dist/");
const library = process.env.LIBRARY ?? join(dist, "library");

/** Headers of every file; a plain host sends none, and its pages have the policy in them. */
const HEADERS = isolated ? { "Content-Security-Policy": POLICY, ...ISOLATION } : {};
/** Headers where there is no file: tests open such a page for the package alone, with workers of their own. */
const NO_FILE_HEADERS = isolated ? ISOLATION : {};

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** The registry and its first module, whose weights most faults affect. */
async function firstModule() {
  const registry = JSON.parse(await readFile(join(library, "registry.json"), "utf8"));
  return { registry, module: registry.modules[0] };
}

/** The response of each fault: new bytes, `null` for no such file, or `"stall"`. */
const FAULTS = {
  "missing-module": async (path, bytes) =>
    path === (await firstModule()).module.files.weights.path ? null : bytes,
  "changed-module": async (path, bytes) => {
    if (path !== (await firstModule()).module.files.weights.path) return bytes;
    const changed = Buffer.from(bytes);
    changed[changed.length >> 1] ^= 1;
    return changed;
  },
  // The registry has the hash of the truncated file, so that the format's reader gets it.
  "truncated-module": async (path, bytes) => {
    const { registry, module } = await firstModule();
    const whole = await readFile(join(library, module.files.weights.path));
    const cut = whole.subarray(0, whole.length >> 1);
    if (path === module.files.weights.path) return cut;
    if (path !== "registry.json") return bytes;
    Object.assign(module.files.weights, { bytes: cut.length, sha256: sha256(cut) });
    return Buffer.from(JSON.stringify(registry));
  },
  "stalled-base": async (path, bytes) => {
    const { registry } = await firstModule();
    return path === registry.bases[0].files.weights.path ? "stall" : bytes;
  },
  "broken-registry": async (path, bytes) =>
    path === "registry.json" ? bytes.subarray(0, bytes.length >> 1) : bytes,
  "missing-registry": async (path, bytes) => (path === "registry.json" ? null : bytes),
};

/** Items of a short test set, which a software GPU answers in seconds. */
const SHORT_TEST = 12;

/** A file of the library with short test sets. */
async function shortened(path, bytes) {
  const firstItems = (text) =>
    Buffer.from(text.toString().split("\n").slice(0, SHORT_TEST).join("\n"));
  if (path.startsWith("tasks/")) return firstItems(bytes);
  if (path !== "registry.json") return bytes;
  const registry = JSON.parse(bytes);
  for (const { test } of registry.tasks) {
    const items = firstItems(await readFile(join(library, test.path)));
    Object.assign(test, { bytes: items.length, sha256: sha256(items) });
  }
  return Buffer.from(JSON.stringify(registry));
}

/** The models and adapters of tests/golden as one library. */
async function goldenRegistry() {
  const root = here("../golden/models/");
  const file = async (path) => {
    const bytes = await readFile(join(root, path));
    return { path: `models/${path}`, bytes: bytes.length, sha256: sha256(bytes) };
  };
  const registry = { version: 1, title: "Golden models", bases: [], modules: [], tasks: [] };
  for (const model of await readdir(root)) {
    const files = await readdir(join(root, model));
    // ByT5's tokenizer has no other file.
    const tokenizer = ["tokenizer.json", "tokenizer_config.json"].find((name) =>
      files.includes(name),
    );
    registry.bases.push({
      id: model,
      title: model,
      description: "Random weights.",
      license: "MIT OR Apache-2.0",
      parameters: 1000,
      files: {
        config: await file(`${model}/config.json`),
        tokenizer: await file(`${model}/${tokenizer}`),
        weights: await file(`${model}/model.safetensors`),
      },
    });
    for (const adapter of await readdir(join(root, model, "adapters"))) {
      const folder = `${model}/adapters/${adapter}`;
      const names = await readdir(join(root, folder));
      const weights = ["adapter_model.bin", "adapter_model.safetensors"].find((name) =>
        names.includes(name),
      );
      const config = JSON.parse(await readFile(join(root, folder, "adapter_config.json"), "utf8"));
      registry.modules.push({
        id: `${model}-${adapter}`,
        title: adapter,
        task: "None: random weights.",
        example: { input: "a", output: "b" },
        base: model,
        rank: config.r,
        targets: config.target_modules,
        files: {
          config: await file(`${folder}/adapter_config.json`),
          weights: await file(`${folder}/${weights}`),
        },
        license: "MIT OR Apache-2.0",
        tags: [],
      });
    }
  }
  return Buffer.from(JSON.stringify(registry));
}

/** Folders beside the site, by the first part of a path. */
const FOLDERS = {
  package: here("../../www/package/dist/"),
  golden: here("../golden/"),
  only: here("../../www/package/dist/wasm/"),
};

/** The path of a file inside one of these folders: of `only/BUILD/OTHER/FILE`, that of `BUILD/FILE`. */
function pathInFolder(folder, path) {
  return folder === "only" ? path.replace(/^([a-z0-9-]+)\/[a-z0-9-]+/, "$1") : path;
}

function send(response, status, headers, body) {
  response.writeHead(status, {
    "Cache-Control": "no-cache",
    ...(status === 404 ? NO_FILE_HEADERS : HEADERS),
    ...headers,
  });
  response.end(body);
}

createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const [, fault, inFault] = pathname.match(/^\/faults\/([a-z-]+)\/library\/(.+)$/) ?? [];
  const inShort = pathname.match(/^\/short\/library\/(.+)$/)?.[1];
  const inLibrary = inFault ?? inShort ?? pathname.match(/^\/library\/(.+)$/)?.[1];
  const path = normalize(decodeURIComponent(pathname === "/" ? "/index.html" : pathname));
  const [, folder, inFolder] = path.match(/^\/([a-z_]+)\/(.+)$/) ?? [];
  const file = inLibrary
    ? join(library, normalize(`/${inLibrary}`))
    : FOLDERS[folder]
      ? join(FOLDERS[folder], pathInFolder(folder, inFolder))
      : join(dist, path);
  let bytes = await readFile(file).catch(() => null);
  if (path === "/golden/registry.json") bytes = await goldenRegistry();
  if (bytes && fault) bytes = await FAULTS[fault](inLibrary, bytes);
  if (bytes && inShort) bytes = await shortened(inShort, bytes);
  if (!bytes) {
    send(response, 404, { "Content-Type": "text/plain" }, "no such file");
  } else if (bytes === "stall") {
    const whole = await readFile(file);
    response.writeHead(200, {
      "Content-Length": whole.length,
      ...HEADERS,
    });
    response.write(whole.subarray(0, 1000));
  } else {
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    send(response, 200, { "Content-Type": type, "Content-Length": bytes.length }, bytes);
  }
}).listen(port, "localhost");
