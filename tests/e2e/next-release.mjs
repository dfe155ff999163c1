// Builds the site with another title into a folder, as its next release:
//
//   node next-release.mjs FOLDER BEFORE AFTER

import { fileURLToPath } from "node:url";
import { build } from "../../www/node_modules/vite/dist/node/index.js";

const [outDir, before, after] = process.argv.slice(2);
await build({
  root: fileURLToPath(new URL("../../www/site", import.meta.url)),
  logLevel: "silent",
  build: { outDir },
  plugins: [
    {
      name: "next-title",
      transform: (code, id) => (id.endsWith("/src/text.ts") ? code.replace(before, after) : null),
    },
  ],
});
