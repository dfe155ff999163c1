// What the machine and the page's headers allow. A file of its own because pack-dist.mjs puts the
// library that it uses into it: a worker without a bundler cannot resolve an import by name.

import { relaxedSimd, simd, threads } from "wasm-feature-detect";
import type { DeviceKind } from "../generated/protocol.js";
import { type Adapter, findAdapter } from "./graphics.js";

/** What the machine and the page's headers allow. */
export interface Capabilities {
  simd: boolean;
  relaxedSimd: boolean;
  threads: boolean;
  isolated: boolean;
  hardwareConcurrency: number;
  /** The graphics card; null where nobody asked for it. */
  adapter: Adapter | null;
}

/** Asks the browser what it can do, and for its graphics card if that is wanted. */
export async function detectCapabilities(kind: DeviceKind): Promise<Capabilities> {
  const found = await Promise.all([simd(), relaxedSimd(), threads()]);
  return {
    simd: found[0],
    relaxedSimd: found[1],
    threads: found[2],
    isolated: globalThis.crossOriginIsolated === true,
    hardwareConcurrency: navigator.hardwareConcurrency,
    adapter: kind === "webgpu" ? await findAdapter() : null,
  };
}
