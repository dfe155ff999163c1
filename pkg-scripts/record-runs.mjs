// Learns every task of the demo library in Chromium with the default settings, tests it, and writes what the
// page shows of a task before it is learned there.
//
//   node pkg-scripts/record-runs.mjs      (www/site/src/recorded.json)
//
// Build the package first. CHROMIUM names the browser where it is not /usr/bin/chromium.
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

/** Modules of a run that the page draws. */
const THREADS = 5;

const www = join(dirname(fileURLToPath(import.meta.url)), "../www");
const folder = mkdtempSync(join(tmpdir(), "loraloom-record-"));
symlinkSync(join(www, "package/dist"), join(folder, "package"));
symlinkSync(join(www, "site/public/library"), join(folder, "library"));
writeFileSync(join(folder, "index.html"), "<!doctype html><title>Recording</title>");

const { url, close } = await serve(folder, { port: 0 });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();
page.setDefaultTimeout(0);
page.on("console", (message) => console.log(`   ${message.text()}`));
await page.goto(url);
const runs = await page.evaluate(async (threads) => {
  const { LoraLoom, meanWeight } = await import(new URL("/package/index.js", location.href).href);
  const loom = await LoraLoom.open({ registryUrl: "library/registry.json" });
  const runs = {};
  for (const { id, title, examples } of loom.registry.tasks) {
    const learned = await loom.learn({ examples });
    const items = await loom.fetchTest(id);
    const base = await loom.test({ examples: items });
    const composed = await loom.test({ examples: items, composition: learned });
    const [first] = composed.answers;
    runs[id] = {
      scores: { base: Math.round(base.exactMatch), composed: Math.round(composed.exactMatch) },
      modules: learned.modules
        .map(({ id, weight }) => ({ id, weight: meanWeight(weight) }))
        .filter(({ weight }) => weight !== 0)
        .sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
        .slice(0, threads)
        .map(({ id, weight }) => ({ id, weight: Math.round(weight * 100) / 100 })),
      input: first.input,
      expected: first.expected,
      base: base.answers[0].answer,
      composed: first.answer,
    };
    const { scores } = runs[id];
    console.log(`${title}: base ${scores.base} %, composed ${scores.composed} %`);
  }
  return runs;
}, THREADS);
writeFileSync(join(www, "site/src/recorded.json"), `${JSON.stringify(runs, null, 2)}\n`);
await browser.close();
await close();
rmSync(folder, { recursive: true });
