// The end-to-end tests in real Chromium: every story once on an isolated page (threads) and once on
// one that is not, and those of the graphics card on one in software. Build the site first.

import { defineConfig } from "@playwright/test";

const launchOptions = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
};

/** WebGPU in software: as exact as a card, and slow. */
const SOFTWARE_CARD = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--ignore-gpu-blocklist",
];

const ISOLATED = Number(process.env.E2E_PORT ?? 4471);
const PLAIN = ISOLATED + 1;
const ON_CARD = /gpu.spec.ts/;

export default defineConfig({
  testDir: ".",
  outputDir: "../../www/node_modules/.cache/loraloom-e2e-results",
  // One at a time: every page runs a model on all cores.
  workers: 1,
  // Only against tests that hang: a busy machine may be many times slower than a quiet one.
  timeout: 1_800_000,
  expect: { timeout: 600_000 },
  reporter: "list",
  use: { launchOptions, channel: "chromium", trace: "retain-on-failure" },
  projects: [
    {
      name: "isolated",
      testIgnore: ON_CARD,
      use: { baseURL: `http://localhost:${ISOLATED}/` },
    },
    { name: "plain", testIgnore: ON_CARD, use: { baseURL: `http://localhost:${PLAIN}/` } },
    {
      name: "gpu",
      testMatch: ON_CARD,
      use: {
        baseURL: `http://localhost:${ISOLATED}/`,
        launchOptions: { ...launchOptions, args: [...launchOptions.args, ...SOFTWARE_CARD] },
      },
    },
  ],
  webServer: [
    { command: `node server.mjs ${ISOLATED} --isolated`, port: ISOLATED },
    { command: `node server.mjs ${PLAIN}`, port: PLAIN },
  ],
});
