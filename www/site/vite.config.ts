// Builds the demo site into www/dist. Every address is relative, so that the folder can be served
// from any path of any static host.

import { defineConfig } from "vite";
import { ISOLATION } from "./policy.mjs";
import { serviceWorker } from "./service-worker/plugin.mjs";

export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [serviceWorker()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    // Every browser that runs the engine has it.
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: ["index.html", "embed.html"],
      // One chunk for what every panel uses, as small ones compress worse, and one for both pages. What only
      // opened details import is not initial, and is fetched with them; the element has what only it uses.
      output: {
        codeSplitting: {
          groups: [
            {
              name: "client",
              test: /package\/dist\/(?!element|ended-run|shared-loom|worker\/turn)/,
              priority: 1,
            },
            {
              name: "page",
              test: /preact|site\/src\/(?!panels|embed|main)/,
              tags: ["$initial"],
            },
          ],
        },
      },
    },
  },
  worker: { format: "es" },
  server: {
    headers: ISOLATION,
  },
});
