// Prints what each wasm build weighs on the wire, and fails where one is over the budget.
// usage: sizes.mjs BUDGET_BYTES FOLDER NAME…   (a budget of 0 checks nothing)
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const [budget, folder, ...names] = process.argv.slice(2);
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(0)} kB`.padStart(9);

let over = 0;
console.log(`   ${"".padEnd(16)}${"raw".padStart(9)}${"gzip".padStart(9)}${"brotli".padStart(9)}`);
for (const name of names) {
  const wasm = readFileSync(join(folder, name, "loraloom_bg.wasm"));
  const brotli = brotliCompressSync(wasm, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: wasm.length,
    },
  }).length;
  console.log(
    `   ${name.padEnd(16)}${kilobytes(wasm.length)}${kilobytes(gzipSync(wasm, { level: 9 }).length)}${kilobytes(brotli)}`,
  );
  if (Number(budget) > 0 && brotli > Number(budget)) {
    console.error(
      `error: the wasm build ${name} is ${kilobytes(brotli).trim()} in brotli, over the budget of ${kilobytes(Number(budget)).trim()}.\n` +
        "       See what grew it: npx twiggy, or cargo bloat on the native build.",
    );
    over += 1;
  }
}
process.exit(over > 0 ? 1 : 0);
