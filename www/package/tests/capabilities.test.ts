// What is detected of the machine.

import { setFlagsFromString } from "node:v8";
import { expect, test } from "vitest";
import { detectCapabilities } from "../src/worker/capabilities.js";

test("relaxed SIMD whose dot products are wrong is not used", async () => {
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  const { simd, relaxedSimd } = await detectCapabilities("wasm");
  expect(simd).toBe(true);
  // That of Node 20 gives twice the product.
  expect(relaxedSimd).toBe(!process.versions.v8.startsWith("11.3."));
});
