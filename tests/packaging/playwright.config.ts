// The packed npm package in projects of its users, in real Chromium. Build the package first.

import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: ".",
  testIgnore: "projects/**",
  globalSetup: "./workspace.ts",
  outputDir: "../../www/node_modules/.cache/loraloom-packaging-results",
  // Builds and browsers that start take one core at a time.
  workers: 2,
  fullyParallel: true,
  // Only against tests that hang: a busy machine may be many times slower than a quiet one.
  timeout: 1_800_000,
  expect: { timeout: 600_000 },
  reporter: "list",
  use: {
    channel: "chromium",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-background-networking"],
    },
  },
});
