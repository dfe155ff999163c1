// Which build is picked on which machine, and the reason that is given.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../src/worker/capabilities.js";
import { chooseBuild } from "../src/worker/engine.js";
import { oneAfterAnother } from "../src/worker/graphics.js";

const full: Capabilities = {
  simd: true,
  relaxedSimd: true,
  threads: true,
  isolated: true,
  hardwareConcurrency: 4,
  adapter: null,
};
const card = { name: "vendor family", missing: null };

describe("chooseBuild", () => {
  test("takes one thread per core where everything is there", () => {
    expect(chooseBuild(full, null, "wasm")).toMatchObject({
      build: "threads",
      threads: 4,
      simd: "relaxed",
    });
  });

  test("stops at eight threads unless more are asked for", () => {
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

  test("runs without the thread pool when one thread is asked for", () => {
    expect(chooseBuild(full, 1, "wasm")).toMatchObject({
      build: "relaxed",
      reason: "one thread, as asked",
    });
  });

  test("takes the build with the graphics card only where it is asked for and can run", () => {
    const withCard = { ...full, adapter: card };
    expect(chooseBuild(withCard, null, "wasm")).toMatchObject({ build: "threads", gpu: null });
    expect(chooseBuild(withCard, null, "webgpu")).toMatchObject({
      build: "gpu",
      threads: 4,
      gpu: { active: false, name: "vendor family", reason: "" },
    });
    const plain = chooseBuild({ ...withCard, isolated: false }, null, "webgpu");
    expect(plain).toMatchObject({ build: "gpu", threads: 1 });
  });

  test("takes the processor's build with the reason why there is no graphics card", () => {
    const missing = { name: "", missing: "There is none." };
    for (const [capabilities, build, reason] of [
      [{ ...full, adapter: missing }, "threads", "There is none."],
      [{ ...full, relaxedSimd: false, adapter: card }, "simd128", "needs relaxed SIMD"],
    ] as const) {
      const device = chooseBuild(capabilities, null, "webgpu");
      expect(device.build).toBe(build);
      expect(device.gpu).toMatchObject({ active: false, reason: expect.stringContaining(reason) });
    }
  });

  test("refuses a browser without SIMD in three parts", () => {
    expect(() => chooseBuild({ ...full, simd: false }, null, "wasm")).toThrowError(
      expect.objectContaining({
        what: expect.any(String),
        why: expect.stringContaining("SIMD"),
        next: expect.any(String),
      }),
    );
  });
});

describe("oneAfterAnother", () => {
  test("makes a call only when the one before has ended, also when that failed", async () => {
    const log: string[] = [];
    const engine = oneAfterAnother({
      async slow(name: string) {
        log.push(`${name} begins`);
        await new Promise((resolve) => setTimeout(resolve, 5));
        log.push(`${name} ends`);
        if (name === "first") throw new Error("first failed");
        return name;
      },
      quick() {
        log.push("quick");
      },
    });
    const first = engine.slow("first");
    const answers = [engine.slow("second"), engine.quick()];
    await expect(first).rejects.toThrow("first failed");
    expect(await Promise.all(answers)).toEqual(["second", undefined]);
    expect(log).toEqual(["first begins", "first ends", "second begins", "second ends", "quick"]);
  });
});
