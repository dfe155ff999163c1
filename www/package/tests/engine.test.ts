// Which build is picked on which machine, and the reason that is given.

import { describe, expect, test } from "vitest";
import type { Capabilities } from "../src/worker/capabilities.js";
import { chooseBuild } from "../src/worker/engine.js";

const full: Capabilities = {
  simd: true,
  relaxedSimd: true,
  threads: true,
  isolated: true,
  hardwareConcurrency: 4,
};

describe("chooseBuild", () => {
  test("takes one thread per core where everything is there", () => {
    expect(chooseBuild(full, null)).toMatchObject({
      build: "threads",
      threads: 4,
      simd: "relaxed",
    });
  });

  test("stops at eight threads unless more are asked for", () => {
    const many = { ...full, hardwareConcurrency: 32 };
    expect(chooseBuild(many, null).threads).toBe(8);
    expect(chooseBuild(many, 12).threads).toBe(12);
  });

  test("names the missing headers where the page is not isolated", () => {
    const device = chooseBuild({ ...full, isolated: false }, null);
    expect(device).toMatchObject({ build: "relaxed", threads: 1 });
    expect(device.reason).toContain("COOP and COEP");
  });

  test("takes plain SIMD without relaxed SIMD and says so", () => {
    const device = chooseBuild({ ...full, relaxedSimd: false }, null);
    expect(device).toMatchObject({ build: "simd128", threads: 1, simd: "simd128" });
    expect(device.reason).toContain("no relaxed SIMD");
  });

  test("runs without the thread pool when one thread is asked for", () => {
    expect(chooseBuild(full, 1)).toMatchObject({
      build: "relaxed",
      reason: "one thread, as asked",
    });
  });

  test("refuses a browser without SIMD in three parts", () => {
    expect(() => chooseBuild({ ...full, simd: false }, null)).toThrowError(
      expect.objectContaining({
        what: expect.any(String),
        why: expect.stringContaining("SIMD"),
        next: expect.any(String),
      }),
    );
  });
});
