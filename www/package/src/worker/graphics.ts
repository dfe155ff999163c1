// The graphics card: what the browser tells of it before the build that uses it is loaded, and calls
// to its engine one after another.

/** What the browser tells of its graphics card. */
export interface Adapter {
  /** Its name, as far as the browser tells it. */
  name: string;
  /** Why there is none, as a sentence; null if there is one. */
  missing: string | null;
}

/** Why a browser without WebGPU uses no graphics card. */
export const NO_WEBGPU =
  "This browser offers pages no WebGPU, or only those with an https address.";

/** Asks the browser for its fastest graphics card. */
export async function findAdapter(): Promise<Adapter> {
  const gpu = (navigator as { gpu?: GPU }).gpu;
  if (!gpu) return { name: "", missing: NO_WEBGPU };
  const adapter = await gpu
    .requestAdapter({ powerPreference: "high-performance" })
    .catch(() => null);
  if (!adapter) {
    return { name: "", missing: "The browser found no graphics card that pages may use." };
  }
  // Older versions told it only when asked, and the engine needs it.
  if (!adapter.info) {
    return { name: "", missing: "This browser’s WebGPU is too old: it does not name its card." };
  }
  const { vendor, architecture, description } = adapter.info;
  const name = description || [vendor, architecture].filter(Boolean).join(" ");
  return { name, missing: null };
}

/**
 * The same engine, whose calls wait for each other: one that waits for the graphics card refuses to
 * be called meanwhile.
 */
export function oneAfterAnother<T extends object>(engine: T): T {
  let last: Promise<unknown> = Promise.resolve();
  return new Proxy(engine, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...values: unknown[]) => {
        const answer = last.then(() => method.apply(target, values));
        last = answer.catch(() => undefined);
        return answer;
      };
    },
  });
}
