// Learns, loads, answers and tests in Chromium for hours, while the engine is crashed at random moments, and appends
// runs, crashes and the slope of the memory to docs/reliability.md. Each answer is compared with that of the first run.
//
//   node pkg-scripts/soak.mjs [--runs N] [--minutes N] [--seed N] [--no-report]
//
// It ends after so many runs or minutes, whichever comes first (default: 2000 runs, 600 minutes). Build the package
// first. CHROMIUM names the browser where it is not /usr/bin/chromium.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

const { values } = parseArgs({
  allowNegative: true,
  options: {
    runs: { type: "string", default: "2000" },
    minutes: { type: "string", default: "600" },
    seed: { type: "string", default: "1" },
    report: { type: "boolean", default: true },
  },
});
/** Runs before the memory counts: caches fill, and the compiler works. */
const WARM_RUNS = 100;
/** Runs of one call into the page, after which the memory is measured. */
const BATCH = 10;

/** Milliseconds in which the browser ends a worker. */
const SETTLE_MS = 5000;

const root = fileURLToPath(new URL("..", import.meta.url));
// What is built, before it changes.
const commit = execFileSync("git", ["rev-parse", "--short=7", "HEAD"], { cwd: root })
  .toString()
  .trim();
const folder = mkdtempSync(join(tmpdir(), "loraloom-soak-"));
symlinkSync(join(root, "www/package/dist"), join(folder, "package"));
symlinkSync(join(root, "www/site/public/library"), join(folder, "library"));
writeFileSync(join(folder, "index.html"), "<!doctype html><title>Soak</title>");
// The tests' worker, which crashes when it is asked to.
const worker = readFileSync(join(root, "tests/e2e/faulty-worker.mjs"), "utf8");

const { url, close } = await serve(folder, { port: 0, policy: false });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
});
const page = await browser.newPage();
page.setDefaultTimeout(0);
await page.goto(url);

await page.evaluate(
  async ({ worker, seed }) => {
    const { LoraLoom } = await import(new URL("/package/index.js", location.href).href);
    const blob = URL.createObjectURL(new Blob([worker], { type: "text/javascript" }));
    const script = new URL("/package/worker.js", location.href).href;
    const counts = { runs: 0, crashes: 0, ended: 0, wrong: 0, failed: 0 };
    let current = null;
    const open = () =>
      LoraLoom.open({
        registryUrl: "library/registry.json",
        onRestart: () => counts.crashes++,
        createWorker: () => {
          const name = JSON.stringify({ script, folder: "soak", faults: [] });
          current = new Worker(blob, { type: "module", name });
          return current;
        },
      });
    // Mulberry32: the same moments for the same seed, as far as the machine's speed allows.
    let state = seed;
    const random = () => {
      state = (state + 0x6d2b79f5) | 0;
      let value = Math.imul(state ^ (state >>> 15), 1 | state);
      value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
      return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
    };
    const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

    let loom = await open();
    const tests = new Map();
    const rightOf = new Map();

    /** One run over a task: what it learned and answered, as text. */
    async function run({ id, examples }) {
      const learned = await loom.learn({ examples, options: { budget: 40 } });
      const items = tests.get(id) ?? (await loom.fetchTest(id)).slice(0, 6);
      tests.set(id, items);
      const { text } = await loom.generate({ input: items[0].input, composition: learned });
      const { answers } = await loom.test({ examples: items, composition: learned });
      const { modules, loss } = learned;
      return JSON.stringify([modules, loss, text, answers]);
    }

    /** Does some work again until no crash comes within it. */
    async function survive(work) {
      for (;;) {
        try {
          return await work();
        } catch (error) {
          if (error.code !== "internal") throw error;
          if (loom.ended) {
            counts.ended++;
            // It may crash again as it starts.
            await loom.restart().catch(() => undefined);
          }
        }
      }
    }

    async function step() {
      const task = loom.registry.tasks[counts.runs % loom.registry.tasks.length];
      if (!rightOf.has(task.id)) rightOf.set(task.id, await survive(() => run(task)));
      // A fifth of the runs meet a crash, at some moment of theirs.
      const crashes = random() < 0.2;
      const crash = wait(random() * 1200).then(() => {
        if (crashes) current.postMessage({ fault: { kind: "crash" } });
      });
      const found = await survive(() => run(task));
      await crash;
      if (found !== rightOf.get(task.id)) counts.wrong++;
      counts.runs++;
      if (counts.runs % 10 === 0) await survive(() => loom.load());
      if (counts.runs % 15 === 0) await survive(shareAndRestore);
      if (counts.runs % 50 === 0) {
        loom.dispose();
        loom = await open();
      }
    }

    async function shareAndRestore() {
      const [id] = loom.fittingModules();
      await loom.loadModules([id]);
      const composition = { modules: [{ id, weight: 0.7 }], merge: "lorahub" };
      await loom.restore(await loom.share({ composition, title: "Soak" }));
    }

    window.soak = async (runs) => {
      for (let run = 0; run < runs; run++) {
        await step().catch((error) => {
          counts.failed++;
          console.log(`failed: ${error.message}`);
        });
      }
      return { ...counts, wasm: await survive(() => loom.memoryBytes()) };
    };
  },
  { worker, seed: Number(values.seed) },
);
page.on("console", (message) => {
  if (message.text().startsWith("failed")) console.log(`   ${message.text()}`);
});

// --- memory ----------------------------------------------------------------------------------

const session = await browser.newBrowserCDPSession();
const pageSession = await page.context().newCDPSession(page);

/** Megabytes that the page's process holds, of JavaScript's heap after a collection, and of WebAssembly. */
async function memory(wasm) {
  await pageSession.send("HeapProfiler.collectGarbage");
  const { usedSize } = await pageSession.send("Runtime.getHeapUsage");
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const resident = processInfo
    .filter(({ type }) => type === "renderer")
    .map(({ id }) =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, "utf8"))?.[1]),
    );
  return {
    process: Math.max(...resident) / 1024,
    heap: usedSize / 2 ** 20,
    wasm: wasm / 2 ** 20,
  };
}

/** The slope of a value over runs by least squares, in megabytes for 100 runs. */
function slope(samples, name) {
  const mean = (of) => samples.reduce((sum, one) => sum + of(one), 0) / samples.length;
  const [x, y] = [mean(({ runs }) => runs), mean((one) => one[name])];
  const covariance = mean((one) => (one.runs - x) * (one[name] - y));
  return (100 * covariance) / mean(({ runs }) => (runs - x) ** 2);
}

const started = Date.now();
const minutes = () => (Date.now() - started) / 60_000;
const samples = [];
let last = { runs: 0 };
while (last.runs + (last.failed ?? 0) < Number(values.runs) && minutes() < Number(values.minutes)) {
  last = await page.evaluate((runs) => window.soak(runs), BATCH);
  const sample = { runs: last.runs, ...(await memory(last.wasm)) };
  samples.push(sample);
  const { process, heap, wasm } = sample;
  console.log(
    `${last.runs} runs, ${last.crashes} crashes, ${last.ended} times ended, ${last.wrong} wrong, ` +
      `${last.failed} failed: process ${process.toFixed(0)}, heap ${heap.toFixed(2)}, wasm ${wasm.toFixed(0)} MB`,
  );
}
// Those that were ended a moment ago are still listed.
await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
const workers = page.workers().length;
await browser.close();
await close();
rmSync(folder, { recursive: true });

// --- the report ------------------------------------------------------------------------------

const counted = samples.filter(({ runs }) => runs > WARM_RUNS);
const slopes = ["process", "heap", "wasm"].map((name) =>
  counted.length > 1 ? slope(counted, name).toFixed(2) : "–",
);
const peak = Math.max(...samples.map(({ process }) => process));
const row = [
  ...[new Date().toISOString().slice(0, 10), `\`${commit}\``, Math.round(minutes())],
  ...[last.runs, last.crashes, last.ended, last.wrong, last.failed],
  ...[peak.toFixed(0), ...slopes, workers],
];
const line = `| ${row.join(" | ")} |`;
console.log(line);
if (values.report) {
  const path = join(root, "docs/reliability.md");
  const text = readFileSync(path, "utf8");
  const end = text.indexOf("<!-- soak.mjs appends here -->");
  if (end < 0) throw new Error(`${path} has no place for the report`);
  writeFileSync(path, `${text.slice(0, end)}${line}\n${text.slice(end)}`);
}
if (last.wrong || last.failed) process.exitCode = 1;
