// Unit tests: the client, the worker and the site's state, without wasm and without a browser.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  // The site's state is tested with the package's sources, not with what was last built.
  resolve: {
    alias: { loraloom: fileURLToPath(new URL("package/src/index.ts", import.meta.url)) },
  },
  test: { include: ["package/tests/**/*.test.ts", "site/tests/**/*.test.ts"] },
});
