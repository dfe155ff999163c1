// What the machine and the page's headers allow. A separate file because pack-dist.mjs bundles its
// library into it: a worker without a bundler cannot resolve an import by name.

import { relaxedSimd, simd, threads } from "wasm-feature-detect";
import { hasNodeWorkers } from "../module-worker.js";
import { nodeModule } from "../node.js";
import type { DeviceKind } from "../protocol.js";
import { findAdapter, type GpuAdapter } from "./gpu.js";

/** What the machine and the page's headers allow. */
export interface Capabilities {
  simd: boolean;
  relaxedSimd: boolean;
  threads: boolean;
  /** Whether the page is cross-origin isolated; null in Node, which always shares memory. */
  isolated: boolean | null;
  hardwareConcurrency: number;
  /** The GPU; null unless it was requested. */
  adapter: GpuAdapter | null;
}

/** Detects what the browser supports, and its GPU if that is requested. */
export async function detectCapabilities(kind: DeviceKind): Promise<Capabilities> {
  const found = await Promise.all([simd(), relaxedSimd(), threads()]);
  return {
    simd: found[0],
    relaxedSimd: found[1],
    threads: found[2],
    isolated: hasNodeWorkers() ? null : globalThis.crossOriginIsolated === true,
    hardwareConcurrency:
      globalThis.navigator?.hardwareConcurrency ??
      nodeModule("node:os")?.availableParallelism() ??
      1,
    adapter: kind === "webgpu" ? await findAdapter() : null,
  };
}
