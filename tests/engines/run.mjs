// Runs the workflow in every browser that is installed, on a host that isolates pages and on one that does not, and
// compares the losses bit for bit with those of the first browser.
//
//   node tests/engines/run.mjs [--json FILE]
//
// FILE takes what each browser did, for pkg-scripts/browsers-table.mjs.

import { deepStrictEqual, equal } from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BROWSERS, freePort, retry } from "./browsers.mjs";
import { runPackage, runPage, timeThreads } from "./workflow.mjs";

const { values } = parseArgs({ options: { json: { type: "string" } } });

const servers = [];
/** Starts a server of the built site and package, and resolves to its address. */
async function serve(...options) {
  const port = await freePort();
  const script = fileURLToPath(new URL("../e2e/server.mjs", import.meta.url));
  servers.push(spawn(process.execPath, [script, port, ...options], { stdio: "inherit" }));
  const url = `http://localhost:${port}/`;
  await retry(() => fetch(url));
  return url;
}

/** What the first browser computed, which is what all others are to compute. */
const expected = {};
function compare(what, result) {
  expected[what] ??= result;
  deepStrictEqual(result, expected[what], `${what} differ from those of the first browser`);
}

/** Runs everything in one browser on one host. */
async function runOn(browser, { shares, simd }, url, isolated) {
  // The page first, so that its first visit loads the model.
  const { device, result } = await runPage(browser, url, isolated);
  compare("link, test scores and answers of the page", result);
  const several = isolated && shares;
  const runs = await runPackage(browser, url, several ? [1, 2] : [null]);
  for (const run of runs) {
    equal(run.isolated, isolated, "the page's isolation");
    compare("losses, weights and answers of the package", run.result);
  }
  const last = runs.at(-1).device;
  equal(last.threads, several ? 2 : 1, `threads: ${last.reason}`);
  equal(last.build, expectedBuild(simd, several), "build");
  const threads = shares ? cores(runs) : 1;
  equal(Number(/(\d+) threads?/.exec(device)?.[1]), threads, "threads of the page");
  return {
    isolated,
    build: last.build,
    threads: last.threads,
    speedup: several ? await timeThreads(browser, url) : null,
  };
}

/** The threads that are used by default, of what the browser says of the machine. */
const cores = ([{ cores }]) => Math.min(cores, 8);

function expectedBuild(simd, several) {
  if (simd === "relaxed") return "threads";
  return several ? "threads-simd128" : "simd128";
}

const results = [];
let failures = 0;
try {
  const hosts = [
    [await serve("--isolated"), true],
    [await serve(), false],
  ];
  for (const kind of BROWSERS) {
    const missing = kind.missing();
    if (missing) {
      console.log(`   ${kind.name}: skipped, ${missing}`);
      continue;
    }
    for (const [url, isolated] of hosts) {
      const started = performance.now();
      const where = `${kind.name}, ${isolated ? "isolated" : "not isolated"}`;
      let browser;
      try {
        browser = await kind.start();
        const result = await runOn(browser, kind, url, isolated);
        results.push({ name: kind.name, version: browser.version, ...result });
        const { build, threads, speedup } = result;
        const ratio = speedup ? `, two threads ${speedup.toFixed(2)} times as fast as one` : "";
        const seconds = ((performance.now() - started) / 1000).toFixed(1);
        console.log(
          `   ${where} (${browser.version}): build ${build}, threads ${threads}${ratio}, ${seconds} s`,
        );
      } catch (error) {
        failures += 1;
        console.error(`error: ${where}: ${error.stack}`);
      } finally {
        await browser?.close();
      }
    }
  }
} finally {
  for (const server of servers) server.kill();
}
const { losses } = expected["losses, weights and answers of the package"] ?? { losses: [] };
console.log(`   ${losses.length} losses, the last ${losses.at(-1)}, have the same bits in all`);
if (values.json) writeFileSync(values.json, JSON.stringify(results, null, 2));
process.exitCode = failures > 0 ? 1 : 0;
