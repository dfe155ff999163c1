// Unit tests: the client, the worker's session and its downloads, without wasm and without a browser.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["package/tests/**/*.test.ts", "site/tests/**/*.test.ts"] },
});
