// What `npm pack` makes, used as its users do: built by Vite and by webpack with the settings that they have from the
// start, as plain ES modules, from another origin, in Node, Bun and Deno, and from strict TypeScript. Each learns from a
// library that this machine serves.

import { cpSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, type Page, test } from "@playwright/test";
import { type HeadersOf, ISOLATED, PACKAGE_HOST, serveWith } from "./servers";
import {
  errorsOf,
  learns,
  library,
  namesNoFolder,
  node,
  program,
  run,
  work,
  works,
  www,
} from "./workspace";

test("Vite builds it as it comes", async ({ page }) => {
  const root = join(work, "vite");
  await node([join(www, "node_modules/vite/bin/vite.js"), "build"], { cwd: root });
  namesNoFolder(join(root, "dist"));
  await works(page, join(root, "dist"), true);
});

test("Vite's development server serves it with the setting that the README names", async ({
  page,
}) => {
  const root = join(work, "vite");
  symlinkSync(library, join(root, "library"));
  const { createServer } = await import(join(www, "node_modules/vite/dist/node/index.js"));
  const server = await createServer({
    root,
    configFile: false,
    logLevel: "error",
    optimizeDeps: { exclude: ["loraloom"] },
    server: { port: 0, headers: ISOLATED, fs: { strict: false } },
  });
  try {
    await server.listen();
    await learns(page, server.resolvedUrls.local[0], true);
  } finally {
    await server.close();
  }
});

test("webpack builds it as it comes", async ({ page }) => {
  const root = join(work, "webpack");
  const output = join(root, "dist");
  await node(["build.cjs"], { cwd: root, env: { NODE_PATH: join(www, "node_modules") } });
  namesNoFolder(output);
  cpSync(join(root, "index.html"), join(output, "index.html"));
  await works(page, output, true);
});

test("a page without a bundler, on a host that isolates nothing", async ({ page }) => {
  await works(page, work, false, "modules/");
});

/** The installed package's scripts. */
const scripts = join(work, "node_modules/loraloom/dist");

/** What the page in `projects/other-origin` learned with the package on another server, or its error. */
async function learnedFromElsewhere(page: Page, pageHeaders: HeadersOf) {
  const own = await serveWith(work, pageHeaders);
  const other = await serveWith(scripts, () => PACKAGE_HOST);
  try {
    await page.goto(`${own.url}other-origin/index.html?package=${other.url}index.js`);
    const result = page.locator("output");
    await expect(result).not.toBeEmpty();
    return JSON.parse((await result.textContent()) ?? "");
  } finally {
    await own.close();
    await other.close();
  }
}

test("a page takes it from another origin", async ({ page }) => {
  const learned = await learnedFromElsewhere(page, () => ({}));
  expect(learned).toMatchObject({ build: "threads", threads: 1, evaluations: 12 });
});

test("an isolated page takes it from another origin, with threads", async ({ page }) => {
  const learned = await learnedFromElsewhere(page, () => ISOLATED);
  expect(learned).toMatchObject({ build: "threads", evaluations: 12 });
  expect(learned.threads).toBeGreaterThan(1);
});

test("a page whose policy forbids the worker is told what to allow", async ({ page }) => {
  const policy =
    "default-src 'self' http:; script-src 'self' http: 'wasm-unsafe-eval'; worker-src 'self'";
  const { code, message } = await learnedFromElsewhere(page, () => ({
    "Content-Security-Policy": policy,
  }));
  expect(["unsupported", "network"]).toContain(code);
  for (const word of ["worker-src", "blob:", "createWorker", "wasmUrl"]) {
    expect(message).toContain(word);
  }
});

/** The headers of a site of its own with a policy, which its worker's script has too. */
const strict = (policy: string): HeadersOf => {
  const headers = { ...ISOLATED, "Content-Security-Policy": policy };
  return () => headers;
};

/** What a page with the package on its own server learned. */
async function learnedHere(page: Page, headersOf: HeadersOf) {
  const own = await serveWith(work, headersOf);
  try {
    const entry = "../node_modules/loraloom/dist/index.js";
    await page.goto(`${own.url}other-origin/index.html?package=${entry}`);
    const result = page.locator("output");
    await expect(result).not.toBeEmpty();
    return JSON.parse((await result.textContent()) ?? "");
  } finally {
    await own.close();
  }
}

const OWN_POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

test("its own server's strict policy needs no blob:, also with threads", async ({ page }) => {
  const learned = await learnedHere(page, strict(OWN_POLICY));
  expect(learned).toMatchObject({ build: "threads", evaluations: 12 });
  expect(learned.threads).toBeGreaterThan(1);
});

test("where the worker may start no threads, it has one and says why", async ({ page }) => {
  const headersOf: HeadersOf = (path) =>
    path.endsWith("/worker.js")
      ? strict(`${OWN_POLICY.replace("worker-src 'self'", "worker-src 'none'")}`)(path)
      : strict(OWN_POLICY)(path);
  const learned = await learnedHere(page, headersOf);
  expect(learned).toMatchObject({ build: "threads", threads: 1, evaluations: 12 });
  expect(learned.reason).toContain("one thread, because the others did not start");
});

test("two elements from another origin answer with one worker, under a strict policy", async ({
  page,
}) => {
  const recipe = JSON.parse(await node(["node/learn.js", library])).recipe;
  const other = await serveWith(scripts, () => PACKAGE_HOST);
  const host = new URL(other.url).origin;
  const own = await serveWith(work, () => ({
    "Content-Security-Policy": `default-src 'none'; script-src 'self' ${host} 'wasm-unsafe-eval'; worker-src blob:; connect-src 'self' ${host}; img-src data:; require-trusted-types-for 'script'`,
  }));
  const errors = errorsOf(page);
  try {
    const query = new URLSearchParams({ package: `${other.url}element.js`, recipe });
    await page.goto(`${own.url}other-origin/element.html?${query}`);
    const elements = page.locator("lora-loom");
    for (const index of [0, 1]) {
      const element = elements.nth(index);
      await element.getByLabel("Input").fill("Use a label: aunt, farmer, England, frog, heart");
      await element.getByRole("button").click();
    }
    for (const index of [0, 1]) {
      await expect(elements.nth(index).locator("[part=composed]")).not.toBeEmpty();
      await expect(elements.nth(index).getByRole("button")).toHaveText("Answer");
    }
    expect(page.workers()).toHaveLength(1);
    const columns = elements.first().locator("dl");
    await expect(columns).toHaveCSS("display", "grid");
    await elements.first().evaluate((element) => element.remove());
    expect(page.workers()).toHaveLength(1);
    await elements.first().evaluate((element) => element.remove());
    await expect.poll(() => page.workers().length).toBe(0);
    expect(errors).toEqual([]);
  } finally {
    await own.close();
    await other.close();
  }
});

/** How each program runs a script. */
const RUNTIMES: Record<string, [command: string, ...words: string[]]> = {
  Node: [process.execPath],
  Bun: [program("bun")],
  Deno: [program("deno"), "run", "--allow-all", "--no-lock", "--node-modules-dir=manual"],
};

for (const [name, [command, ...words]] of Object.entries(RUNTIMES)) {
  test(`${name} imports every entry without starting anything`, async () => {
    await run(command, [...words, "node/import-all.js"]);
  });

  test(`${name} learns from a folder and over HTTP, and the script ends`, async () => {
    const { serve } = await import("../../pkg-scripts/serve.mjs");
    const { url, close } = await serve(library, { port: 0, isolated: false });
    try {
      const texts = new Set<string>();
      for (const address of [library, pathToFileURL(library).href, url]) {
        const learned = JSON.parse(await run(command, [...words, "node/learn.js", address]));
        const weights = [expect.any(Number), expect.any(Number)];
        expect(learned).toMatchObject({ evaluations: 12, weights });
        texts.add(`${learned.weights} ${learned.text}`);
      }
      expect(texts.size).toBe(1);
    } finally {
      await close();
    }
  });
}

test("strict TypeScript finds its types, bundled and in Node's way", async () => {
  for (const [module, resolution] of [
    ["ESNext", "Bundler"],
    ["NodeNext", "NodeNext"],
  ] as const) {
    await node([
      join(www, "node_modules/typescript/bin/tsc"),
      ...["--ignoreConfig", "--noEmit", "--strict", "--target", "ES2022", "--lib", "ES2022,DOM"],
      ...["--module", module, "--moduleResolution", resolution, "types/main.ts"],
    ]);
  }
});
