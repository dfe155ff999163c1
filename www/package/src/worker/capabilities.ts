// What the machine and the page's headers allow. A separate file because pack-dist.mjs bundles its
// library into it: a worker without a bundler cannot resolve an import by name.

import { relaxedSimd, simd, threads } from "wasm-feature-detect";
import { hasNodeWorkers } from "../module-worker.js";
import { nodeModule } from "../node.js";
import type { DeviceKind } from "../protocol.js";
import { findAdapter, type GpuAdapter } from "./gpu.js";
import { canShareMemory } from "./memory.js";

/** What the machine and the page's headers allow. */
export interface Capabilities {
  simd: boolean;
  relaxedSimd: boolean;
  threads: boolean;
  /** Whether builds with shared memory run, if only on one thread. */
  sharedMemory: boolean;
  /** Whether the page is cross-origin isolated; null in Node, which always shares memory. */
  isolated: boolean | null;
  hardwareConcurrency: number;
  /** The GPU; null unless it was requested. */
  adapter: GpuAdapter | null;
}

const constant = (bytes: number[]) => [0xfd, 0x0c, ...bytes];
const WEIGHTS = constant(Array(16).fill(0x80));
const ACTIVATIONS = constant(Array(16).fill(0x7f));
const ONE = constant([1, ...Array(15).fill(0)]);
/**
 * Lane 0 of `i32x4.relaxed_dot_i8x16_i7x16_add_s` of −128s, 127s and a 1, plus that of
 * `i16x8.relaxed_dot_i8x16_i7x16_s` of the same.
 */
const DOT = [
  ...[0x00, ...WEIGHTS, ...ACTIVATIONS, ...ONE, 0xfd, 0x93, 0x02, 0xfd, 0x1b, 0x00],
  ...[...WEIGHTS, ...ACTIVATIONS, 0xfd, 0x92, 0x02, 0xfd, 0x18, 0x00, 0x6a, 0x0b],
];
/** A module that exports the function {@link DOT} as `dot`. */
const DOT_MODULE = [
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f],
  ...[0x03, 0x02, 0x01, 0x00, 0x07, 0x07, 0x01, 0x03, 0x64, 0x6f, 0x74, 0x00, 0x00],
  ...[0x0a, DOT.length + 2, 0x01, DOT.length, ...DOT],
];

/** Whether the dot products are exact: V8 11.3, of Node 20, has them behind a flag and adds wrongly. */
async function hasExactDot(): Promise<boolean> {
  try {
    const { instance } = await WebAssembly.instantiate(new Uint8Array(DOT_MODULE));
    const { dot } = instance.exports as { dot(): number };
    return dot() === -128 * 127 * 4 + 1 + -128 * 127 * 2;
  } catch {
    return false;
  }
}

/** Detects what the browser supports, and its GPU if that is requested. */
export async function detectCapabilities(kind: DeviceKind): Promise<Capabilities> {
  const found = await Promise.all([simd(), relaxedSimd(), threads()]);
  return {
    simd: found[0],
    relaxedSimd: found[1] && (await hasExactDot()),
    threads: found[2],
    sharedMemory: canShareMemory(),
    isolated: hasNodeWorkers() ? null : globalThis.crossOriginIsolated === true,
    hardwareConcurrency:
      globalThis.navigator?.hardwareConcurrency ??
      nodeModule("node:os")?.availableParallelism() ??
      1,
    adapter: kind === "webgpu" ? await findAdapter() : null,
  };
}
