// What `npm pack` makes, installed into a folder of its own and used as its users do: built by Vite
// and by webpack with the settings that they have from the start, as plain ES modules, and from
// strict TypeScript. Each page learns from a library that this machine serves.

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";

const tests = __dirname;
const www = join(tests, "../../www");

/** The users' projects, with the packed package installed beside them. */
let work = "";

test.beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "loraloom-packaging-"));
  cpSync(join(tests, "projects"), work, { recursive: true });
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", work], {
    cwd: join(www, "package"),
    stdio: "pipe",
  });
  const tarball = readdirSync(work).find((name) => name.endsWith(".tgz")) as string;
  writeFileSync(join(work, "package.json"), '{ "private": true, "type": "module" }');
  // The package needs no other, so nothing has to be fetched.
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${tarball}`], {
    cwd: work,
    stdio: "pipe",
  });
});

test.afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Runs a script; what it printed is the error's message if it fails. */
function node(words: string[], cwd: string, env: Record<string, string> = {}) {
  try {
    execFileSync(process.execPath, words, { cwd, env: { ...process.env, ...env }, stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
    throw new Error(`${stdout}${stderr}`);
  }
}

/** Serves a built project with the demo library beside it, and checks what its page learned. */
async function works(page: Page, folder: string, isolated: boolean, path = "") {
  const library = join(folder, "library");
  symlinkSync(join(www, "site/public/library"), library);
  const { serve } = await import("../../pkg-scripts/serve.mjs");
  const { url, close } = await serve(folder, { port: 0, isolated });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  try {
    await page.goto(url + path);
    const result = page.locator("output");
    await expect(result).not.toBeEmpty();
    expect(errors).toEqual([]);
    const { build, evaluations, weights, text } = JSON.parse((await result.textContent()) ?? "");
    expect(build).toBe(isolated ? "threads" : "relaxed");
    expect(evaluations).toBe(12);
    expect(weights).toHaveLength(2);
    expect(text).not.toBe("");
  } finally {
    await close();
    rmSync(library);
  }
}

test("Vite builds it as it comes", async ({ page }) => {
  const root = join(work, "vite");
  node([join(www, "node_modules/vite/bin/vite.js"), "build"], root);
  await works(page, join(root, "dist"), true);
});

test("webpack builds it as it comes", async ({ page }) => {
  const root = join(work, "webpack");
  const output = join(root, "dist");
  node(["build.cjs"], root, { NODE_PATH: join(www, "node_modules") });
  cpSync(join(root, "index.html"), join(output, "index.html"));
  await works(page, output, true);
});

test("a page without a bundler, on a host that isolates nothing", async ({ page }) => {
  await works(page, work, false, "modules/");
});

test("Node imports it and the element, where there is no DOM", () => {
  node(
    [
      "--input-type=module",
      "--eval",
      'await import("loraloom"); await import("loraloom/element");',
    ],
    work,
  );
});

test("strict TypeScript finds its types, bundled and in Node's way", () => {
  for (const [module, resolution] of [
    ["ESNext", "Bundler"],
    ["NodeNext", "NodeNext"],
  ] as const) {
    node(
      [
        join(www, "node_modules/typescript/bin/tsc"),
        ...["--noEmit", "--strict", "--target", "ES2022", "--lib", "ES2022,DOM"],
        ...["--module", module, "--moduleResolution", resolution, "types/main.ts"],
      ],
      work,
    );
  }
});
