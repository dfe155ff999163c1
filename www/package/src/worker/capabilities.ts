// What the machine and the page's headers allow. A file of its own because pack-dist.mjs puts the
// library that it uses into it: a worker without a bundler cannot resolve an import by name.

import { relaxedSimd, simd, threads } from "wasm-feature-detect";

/** What the machine and the page's headers allow. */
export interface Capabilities {
  simd: boolean;
  relaxedSimd: boolean;
  threads: boolean;
  isolated: boolean;
  hardwareConcurrency: number;
}

/** Asks the browser what it can do. */
export async function detectCapabilities(): Promise<Capabilities> {
  const found = await Promise.all([simd(), relaxedSimd(), threads()]);
  return {
    simd: found[0],
    relaxedSimd: found[1],
    threads: found[2],
    isolated: globalThis.crossOriginIsolated === true,
    hardwareConcurrency: navigator.hardwareConcurrency,
  };
}
