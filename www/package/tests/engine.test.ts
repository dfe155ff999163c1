// The build that is chosen on each machine, its reason, and the order of calls.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../src/worker/capabilities.js";
import { chooseBuild } from "../src/worker/engine.js";
import { serializeCalls } from "../src/worker/turn.js";

const full: Capabilities = {
  simd: true,
  relaxedSimd: true,
  threads: true,
  isolated: true,
  hardwareConcurrency: 4,
  adapter: null,
};
const adapter = { name: "vendor family", missing: null };

describe("chooseBuild", () => {
  test("takes one thread per core where everything is there", () => {
    expect(chooseBuild(full, null, "wasm")).toMatchObject({
      build: "threads",
      threads: 4,
      simd: "relaxed",
    });
  });

  test("stops at eight threads unless more are requested", () => {
    const many = { ...full, hardwareConcurrency: 32 };
    expect(chooseBuild(many, null, "wasm").threads).toBe(8);
    expect(chooseBuild(many, 12, "wasm").threads).toBe(12);
  });

  test("names the missing headers where the page is not isolated", () => {
    const device = chooseBuild({ ...full, isolated: false }, null, "wasm");
    expect(device).toMatchObject({ build: "relaxed", threads: 1 });
    expect(device.reason).toContain("COOP and COEP");
  });

  test("takes plain SIMD without relaxed SIMD and says so", () => {
    const device = chooseBuild({ ...full, relaxedSimd: false }, null, "wasm");
    expect(device).toMatchObject({ build: "simd128", threads: 1, simd: "simd128" });
    expect(device.reason).toContain("no relaxed SIMD");
  });

  test("runs without the thread pool when one thread is requested", () => {
    expect(chooseBuild(full, 1, "wasm")).toMatchObject({
      build: "relaxed",
      reason: "one thread, as requested",
    });
  });

  test("takes the build with the GPU only where it is requested and can run", () => {
    const withGpu = { ...full, adapter };
    expect(chooseBuild(withGpu, null, "wasm")).toMatchObject({ build: "threads", gpu: null });
    expect(chooseBuild(withGpu, null, "webgpu")).toMatchObject({
      build: "gpu",
      threads: 4,
      gpu: { active: false, name: "vendor family", reason: "" },
    });
    const plain = chooseBuild({ ...withGpu, isolated: false }, null, "webgpu");
    expect(plain).toMatchObject({ build: "gpu", threads: 1 });
  });

  test("takes a CPU build, with the reason, where there is no GPU", () => {
    const missing = { name: "", missing: "There is none." };
    for (const [capabilities, build, reason] of [
      [{ ...full, adapter: missing }, "threads", "There is none."],
      [{ ...full, relaxedSimd: false, adapter }, "simd128", "needs relaxed SIMD"],
    ] as const) {
      const device = chooseBuild(capabilities, null, "webgpu");
      expect(device.build).toBe(build);
      expect(device.gpu).toMatchObject({ active: false, reason: expect.stringContaining(reason) });
    }
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
