// Runners: each handles the requests `prepare` (a workload), `sample` and `memory`. A runner is a worker in
// Chromium or a process that reads and writes lines of JSON.
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "../serve.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
export const ROOT = join(HERE, "../..");
export const LIBRARY = join(ROOT, "www/site/public/library");

/** A process that replies to each line of JSON with one. */
export class ProcessRunner {
  #child;
  #lines;

  constructor(command, args) {
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.command = command;
  }

  async ask(request) {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.command} ended before it answered`);
    const answer = JSON.parse(value);
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  prepare(workload) {
    return this.ask({ prepare: workload });
  }

  sample() {
    return this.ask("sample");
  }

  memory() {
    return this.ask("memory");
  }

  async close() {
    const ended = new Promise((done) => this.#child.once("close", done));
    this.#child.stdin.end();
    await ended;
  }
}

/** The library's native build. */
export class NativeRunner extends ProcessRunner {
  constructor(threads) {
    super(process.env.LORALOOM_BENCH_BINARY, ["--threads", String(threads)]);
  }

  /** Passes the file of a random model to the runner. */
  async addModel(model) {
    const file = join(process.env.LORALOOM_BENCH, `${model}.gguf`);
    // Another process makes it, so that this one's memory is what a load needs.
    const maker = new NativeRunner(1);
    await maker.ask({ writeModel: { model, to: file } });
    await maker.close();
    await this.ask({ readModel: { from: file } });
  }

  addLibraryFile(path) {
    return this.ask({ addFile: { path, from: join(LIBRARY, path) } });
  }
}

/** The GPU, through the library's native build. */
export class GpuRunner extends ProcessRunner {
  constructor() {
    super(process.env.LORALOOM_BENCH_BINARY, ["--gpu"]);
  }

  adapter() {
    return this.ask("adapter");
  }
}

/** A Chromium with the benchmark's page, which starts a worker for each runner. */
export class Browser {
  static async open() {
    const site = join(process.env.LORALOOM_BENCH, "site");
    rmSync(site, { recursive: true, force: true });
    mkdirSync(site, { recursive: true });
    cpSync(join(HERE, "page"), site, { recursive: true });
    for (const [name, folder] of [
      ["wasm", join(process.env.LORALOOM_BENCH, "wasm")],
      ["library", LIBRARY],
      ["contenders", join(process.env.LORALOOM_BENCH, "contenders/served")],
    ]) {
      mkdirSync(folder, { recursive: true });
      symlinkSync(folder, join(site, name));
    }
    // wasm-bindgen-rayon's own script, unlike the package's, starts threads from blobs, which the policy forbids.
    const server = await serve(site, { port: 0, policy: false });
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-background-networking"],
    });
    const page = await browser.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") console.error(`   page: ${message.text()}`);
    });
    await page.goto(server.url);
    await page.waitForFunction("window.bench !== undefined");
    const opened = new Browser();
    Object.assign(opened, { server, browser, page, count: 0 });
    return opened;
  }

  /** Starts a worker from a script of the page. */
  async start(script, options) {
    this.count += 1;
    const name = `${script} ${this.count}`;
    await this.page.evaluate(
      ([name, script, options]) => window.bench.start(name, script, options),
      [name, script, options],
    );
    return new WorkerRunner(this.page, name);
  }

  /** Starts a worker with LoraLoom's own build and that number of threads. */
  loraloom(threads) {
    return this.start("worker.mjs", { glue: "./wasm/threads/loraloom.js", threads });
  }

  version() {
    return `Chromium ${this.browser.version()}`;
  }

  async close() {
    await this.browser.close();
    await this.server.close();
  }
}

class WorkerRunner {
  constructor(page, name) {
    this.page = page;
    this.name = name;
  }

  ask(request) {
    return this.page.evaluate(
      ([name, request]) => window.bench.ask(name, request),
      [this.name, request],
    );
  }

  prepare(workload) {
    return this.ask({ op: "prepare", workload });
  }

  sample() {
    return this.ask({ op: "sample" });
  }

  memory() {
    return this.ask({ op: "memory" });
  }

  async addModel(model) {
    // Another worker makes it, so that this one's memory is what a load needs.
    const maker = `maker for ${this.name}`;
    await this.page.evaluate(
      async ([maker, name, model]) => {
        await window.bench.start(maker, "worker.mjs", {
          glue: "./wasm/threads/loraloom.js",
          threads: 1,
        });
        await window.bench.passModel(maker, name, model);
        window.bench.stop(maker);
      },
      [maker, this.name, model],
    );
  }

  addLibraryFile(path) {
    return this.page.evaluate(
      ([name, path]) => window.bench.passFile(name, path, `library/${path}`),
      [this.name, path],
    );
  }

  close() {
    return this.page.evaluate((name) => window.bench.stop(name), this.name);
  }
}
