// The build that is chosen on each machine, its reason and its memory, and the order of calls.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../src/worker/capabilities.js";
import { chooseBuild } from "../src/worker/engine.js";
import { serializeCalls } from "../src/worker/turn.js";

const full: Capabilities = {
  simd: true,
  relaxedSimd: true,
  threads: true,
  sharedMemory: true,
  isolated: true,
  hardwareConcurrency: 4,
  adapter: null,
};
const adapter = { name: "vendor family", missing: null };

const choose = (...choice: Parameters<typeof chooseBuild>) => chooseBuild(...choice).device;

describe("chooseBuild", () => {
  test("takes one thread per core where everything is there", () => {
    expect(choose(full, null, "wasm")).toMatchObject({
      build: "threads",
      threads: 4,
      simd: "relaxed",
    });
  });

  test("stops at eight threads unless more are requested", () => {
    const many = { ...full, hardwareConcurrency: 32 };
    expect(choose(many, null, "wasm").threads).toBe(8);
    expect(choose(many, 12, "wasm").threads).toBe(12);
  });

  test("names the missing headers where the page is not isolated", () => {
    const device = choose({ ...full, isolated: false, threads: false }, null, "wasm");
    expect(device).toMatchObject({ build: "threads", threads: 1, simd: "relaxed" });
    expect(device.reason).toContain("COOP and COEP");
  });

  test("takes threads with plain SIMD without relaxed SIMD, and says so", () => {
    const device = choose({ ...full, relaxedSimd: false }, null, "wasm");
    expect(device).toMatchObject({ build: "threads-simd128", threads: 4, simd: "simd128" });
    expect(device.reason).toContain("no relaxed SIMD");
  });

  test("takes plain SIMD without shared memory for one thread without relaxed SIMD", () => {
    for (const [capabilities, requested] of [
      [{ ...full, relaxedSimd: false }, 1],
      [{ ...full, relaxedSimd: false, isolated: false, threads: false }, null],
      [{ ...full, relaxedSimd: false, threads: false, sharedMemory: false }, null],
    ] as const) {
      const device = choose(capabilities, requested, "wasm");
      expect(device).toMatchObject({ build: "simd128", threads: 1, simd: "simd128" });
      expect(device.reason).toContain("no relaxed SIMD");
    }
    const device = choose({ ...full, threads: false, sharedMemory: false }, null, "wasm");
    expect(device).toMatchObject({ build: "simd128", threads: 1 });
    expect(device.reason).toContain("needs shared memory");
  });

  test("runs without the thread pool when one thread is requested", () => {
    expect(choose(full, 1, "wasm")).toMatchObject({
      build: "threads",
      threads: 1,
      reason: "one thread, as requested",
    });
  });

  test("takes the build with the GPU only where it is requested and can run", () => {
    const withGpu = { ...full, adapter };
    expect(choose(withGpu, null, "wasm")).toMatchObject({ build: "threads", gpu: null });
    expect(choose(withGpu, null, "webgpu")).toMatchObject({
      build: "gpu",
      threads: 4,
      simd: "simd128",
      gpu: { active: false, name: "vendor family", reason: "" },
    });
    const plain = choose({ ...withGpu, isolated: false, threads: false }, null, "webgpu");
    expect(plain).toMatchObject({ build: "gpu", threads: 1 });
    const noRelaxedSimd = choose({ ...withGpu, relaxedSimd: false }, null, "webgpu");
    expect(noRelaxedSimd).toMatchObject({ build: "gpu", threads: 4 });
  });

  test("takes a CPU build, with the reason, where there is no GPU", () => {
    const missing = { name: "", missing: "There is none." };
    for (const [capabilities, build, reason] of [
      [{ ...full, adapter: missing }, "threads", "There is none."],
      [{ ...full, threads: false, sharedMemory: false, adapter }, "simd128", "needs shared memory"],
    ] as const) {
      const device = choose(capabilities, null, "webgpu");
      expect(device.build).toBe(build);
      expect(device.gpu).toMatchObject({ active: false, reason: expect.stringContaining(reason) });
    }
  });

  test("makes the memory of the builds whose memory can be shared", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const memoryOf = (capabilities: Capabilities, requested: number | null) =>
      chooseBuild(capabilities, requested, "webgpu", () => memory).memory;
    expect(memoryOf(full, null)).toBe(memory);
    expect(memoryOf({ ...full, adapter }, 1)).toBe(memory);
    expect(memoryOf({ ...full, relaxedSimd: false }, 1)).toBeNull();
  });

  test("takes one thread where the browser does not give that memory", () => {
    const { device, memory } = chooseBuild({ ...full, adapter }, null, "webgpu", () => null);
    expect(memory).toBeNull();
    expect(device).toMatchObject({ build: "simd128", threads: 1, gpu: { active: false } });
    expect(device.reason).toContain("no memory that threads can share");
  });

  test("rejects a browser without SIMD", () => {
    expect(() => chooseBuild({ ...full, simd: false }, null, "wasm")).toThrowError(
      expect.objectContaining({
        code: "unsupported",
        why: expect.stringContaining("SIMD"),
      }),
    );
  });
});

describe("serializeCalls", () => {
  test("starts a call after the one before has ended, also where that failed", async () => {
    const log: string[] = [];
    const serialize = serializeCalls();
    const call = async (name: string) => {
      log.push(`${name} starts`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push(`${name} ends`);
      if (name === "first") throw new Error("first failed");
      return name;
    };
    const first = serialize(() => call("first"));
    const rest = [serialize(() => call("second")), serialize(() => "third")];
    await expect(first).rejects.toThrow("first failed");
    expect(await Promise.all(rest)).toEqual(["second", "third"]);
    expect(log).toEqual(["first starts", "first ends", "second starts", "second ends"]);
  });
});
