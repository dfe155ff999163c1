// The end-to-end tests in real Chromium: every story once on an isolated page (threads) and once on
// one that is not. Build the site first.

import { defineConfig } from "@playwright/test";

const launchOptions = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
};

const ISOLATED = 4471;
const PLAIN = 4472;

export default defineConfig({
  testDir: ".",
  outputDir: "../../www/node_modules/.cache/loraloom-e2e-results",
  // One at a time: every page runs a model on all cores.
  workers: 1,
  // Only against tests that hang: a busy machine may be many times slower than a quiet one.
  timeout: 900_000,
  expect: { timeout: 180_000 },
  reporter: "list",
  use: { launchOptions, channel: "chromium", trace: "retain-on-failure" },
  projects: [
    { name: "isolated", use: { baseURL: `http://localhost:${ISOLATED}/` } },
    { name: "plain", use: { baseURL: `http://localhost:${PLAIN}/` } },
  ],
  webServer: [
    { command: `node server.mjs ${ISOLATED} --isolated`, port: ISOLATED },
    { command: `node server.mjs ${PLAIN}`, port: PLAIN },
  ],
});
