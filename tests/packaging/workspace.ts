// The folder in which the tests use the packed npm package as its users do: the projects with the package installed
// beside them. It lies among the projects, whose package.json has the frameworks.

import { type ExecFileOptions, execFile, execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, type Page } from "@playwright/test";

const projects = join(__dirname, "projects");
export const www = join(__dirname, "../../www");
/** The demo library. */
export const library = join(www, "site/public/library");
/** The program of a package that the tests use. */
export const program = (name: string) => join(projects, "node_modules/.bin", name);

const VARIABLE = "LORALOOM_PACKAGING";
/** The workspace, which the set-up of the run has made. */
export const work = process.env[VARIABLE] ?? "";

/** Packs the package, and installs it beside copies of the projects; returns what deletes all of it. */
export default function makeWorkspace(): () => void {
  if (!existsSync(join(projects, "node_modules"))) {
    throw new Error("The frameworks are not installed: run pkg-scripts/setup --tests first.");
  }
  const folder = mkdtempSync(join(projects, ".work-"));
  for (const name of readdirSync(projects)) {
    if (/^(\.|node_modules$|package)/.test(name)) continue;
    cpSync(join(projects, name), join(folder, name), { recursive: true });
  }
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], {
    cwd: join(www, "package"),
    stdio: "pipe",
  });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) as string;
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  // The package needs no other, so nothing has to be fetched.
  const options = ["--offline", "--no-audit", "--no-fund", "--no-package-lock"];
  execFileSync("npm", ["install", ...options, `./${tarball}`], { cwd: folder, stdio: "pipe" });
  symlinkSync(library, join(folder, "library"));
  process.env[VARIABLE] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}

/** Runs a program and resolves to what it printed, which is the error's message if it fails. */
export async function run(
  command: string,
  words: string[],
  { env = {}, ...options }: ExecFileOptions = {},
): Promise<string> {
  const environment = { ...process.env, ...env };
  // Set by Playwright; some programs then write colors in spite of it.
  delete environment.FORCE_COLOR;
  try {
    const all = { cwd: work, ...options, env: environment, timeout: 600_000 };
    return String((await promisify(execFile)(command, words, all)).stdout);
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${message}\n${stdout ?? ""}${stderr ?? ""}`);
  }
}

/** Runs a script of Node. */
export const node = (words: string[], options: ExecFileOptions = {}) =>
  run(process.execPath, words, options);

/** Collects the errors of a page, uncaught ones and those of its console. */
export function errorsOf(page: Page): string[] {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  return errors;
}

/** Checks what the page at an address learned, and that nothing failed there. */
export async function learns(page: Page, url: string, isolated: boolean): Promise<void> {
  const errors = errorsOf(page);
  await page.goto(url);
  const result = page.locator("output");
  await expect(result).not.toBeEmpty();
  expect(errors).toEqual([]);
  const learned = JSON.parse((await result.textContent()) ?? "");
  const { build, threads, evaluations, weights, text } = learned;
  expect(build, JSON.stringify(learned)).toBe("threads");
  expect(threads > 1, learned.reason).toBe(isolated);
  expect(evaluations).toBe(12);
  expect(weights).toHaveLength(2);
  expect(text).not.toBe("");
}

/** Serves a built project with the demo library beside it, and checks what its page learned. */
export async function works(page: Page, folder: string, isolated: boolean, path = "") {
  const beside = join(folder, "library");
  if (!existsSync(beside)) symlinkSync(library, beside);
  const { serve } = await import("../../pkg-scripts/serve.mjs");
  // A user's server has no policy of ours.
  const { url, close } = await serve(folder, { port: 0, isolated, policy: false });
  try {
    await learns(page, url + path, isolated);
  } finally {
    await close();
  }
}

/** Checks that no file of a bundle names a folder of the machine that built it. */
export function namesNoFolder(bundle: string) {
  for (const file of readdirSync(bundle, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".js")) continue;
    expect(readFileSync(join(bundle, file), "utf8"), file).not.toContain(work);
  }
}
