// The end-to-end tests in Chromium on an isolated page (threads), those of the engine once more on one
// that is not, the GPU tests on a software GPU, and what is measured in time, which runs alone after the
// others (`npm run test:e2e`). Build the site first. E2E_TRACE=1 keeps a trace of each test that fails,
// which takes time in all of them.

import { defineConfig } from "@playwright/test";
import { LAUNCH_OPTIONS, SOFTWARE_GPU } from "./launch.js";

const ISOLATED = Number(process.env.E2E_PORT ?? 4471);
const PLAIN = ISOLATED + 1;
const GPU_SPEC = /gpu.spec.ts/;
const TIMING_SPEC = /timing.spec.ts/;
/** What one thread without isolation changes: the engine, its worker and its results. */
const PLAIN_SPECS = /(golden|hub|policy|workflow).spec.ts/;
/** Without isolation every build has one thread, as in a test of the isolated page, and tables are read alike. */
const SAME_WITHOUT_ISOLATION =
  /bits of the native engine: (?!the default)|BIG-Bench Hard opens|a paragraph pasted|shown with its header|3,000 rows/;

export default defineConfig({
  testDir: ".",
  outputDir: "../../www/node_modules/.cache/loraloom-e2e-results",
  // A page waits for itself half of the time: for its start, its compiler and its frames.
  workers: 2,
  fullyParallel: true,
  // Against hangs. The longest wait is for a test set on one thread.
  timeout: 300_000,
  expect: { timeout: 60_000 },
  reporter: "list",
  snapshotPathTemplate: "{testDir}/screens/{arg}{ext}",
  use: {
    launchOptions: LAUNCH_OPTIONS,
    channel: "chromium",
    trace: process.env.E2E_TRACE ? "retain-on-failure" : "off",
  },
  projects: [
    // First, as its tests are the longest.
    {
      name: "gpu",
      testMatch: GPU_SPEC,
      // A software GPU takes minutes for what a real one does in seconds.
      timeout: 900_000,
      expect: { timeout: 300_000 },
      use: {
        baseURL: `http://localhost:${ISOLATED}/`,
        serviceWorkers: "block",
        launchOptions: { ...LAUNCH_OPTIONS, args: [...LAUNCH_OPTIONS.args, ...SOFTWARE_GPU] },
      },
    },
    {
      name: "isolated",
      testIgnore: [GPU_SPEC, TIMING_SPEC],
      use: { baseURL: `http://localhost:${ISOLATED}/` },
    },
    {
      name: "plain",
      testMatch: PLAIN_SPECS,
      grepInvert: SAME_WITHOUT_ISOLATION,
      // A service worker would isolate the page; site.spec.ts has one.
      use: { baseURL: `http://localhost:${PLAIN}/`, serviceWorkers: "block" },
    },
    {
      name: "timing",
      testMatch: TIMING_SPEC,
      workers: 1,
      use: { baseURL: `http://localhost:${ISOLATED}/` },
    },
  ],
  webServer: [
    { command: `node server.mjs ${ISOLATED} --isolated`, port: ISOLATED },
    { command: `node server.mjs ${PLAIN}`, port: PLAIN },
  ],
});
