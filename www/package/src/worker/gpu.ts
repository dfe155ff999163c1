// The browser's GPU, as it is reported before the build that uses it is loaded.

/** The GPU that the browser offers. */
export interface GpuAdapter {
  /** Its name, if the browser reports one. */
  name: string;
  /** Why there is none, as a sentence; null if there is one. */
  missing: string | null;
}

/** The reason of a browser without WebGPU. */
export const NO_WEBGPU =
  "This browser offers pages no WebGPU, or only those with an https address.";

/** The browser's fastest GPU. */
export async function findAdapter(): Promise<GpuAdapter> {
  const gpu = (navigator as { gpu?: GPU }).gpu;
  if (!gpu) return { name: "", missing: NO_WEBGPU };
  const adapter = await gpu
    .requestAdapter({ powerPreference: "high-performance" })
    .catch(() => null);
  if (!adapter) return { name: "", missing: "The browser found no GPU that pages may use." };
  // Older versions have it only behind a method, and the engine needs the property.
  if (!adapter.info) {
    return { name: "", missing: "This browser’s WebGPU is too old: it does not name its GPU." };
  }
  const { vendor, architecture, description } = adapter.info;
  const name = description || [vendor, architecture].filter(Boolean).join(" ");
  return { name, missing: null };
}
