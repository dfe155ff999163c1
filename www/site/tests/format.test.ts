// Numbers as the page shows them.

import { expect, test } from "vitest";
import * as format from "../src/format.js";

test("bytes are megabytes with one digit, kilobytes where those are few, gigabytes where many", () => {
  expect(format.bytes(9_123_456)).toBe("9.1 MB");
  expect(format.bytes(1_400)).toBe("2 kB");
  expect(format.bytes(0)).toBe("0 kB");
  expect(format.bytes(10_737_400_000)).toBe("10.7 GB");
  expect(format.bytes(10)).toBe("1 kB");
});

test("a weight always has its sign", () => {
  expect(format.weight(0.704)).toBe("+0.70");
  expect(format.weight(-1.5)).toBe("−1.50");
});

test("a change of the loss fits beside a bar", () => {
  expect(format.signed(13.7649)).toBe("+13.8");
  expect(format.signed(-0.0123)).toBe("−0.01");
});

test("digits are as many as the number carries", () => {
  expect(format.percent(70)).toBe("70 %");
  expect(format.percent(66.6667)).toBe("66.7 %");
  expect(format.seconds(3.1234)).toBe("3.1 s");
  expect(format.seconds(42.4)).toBe("42 s");
  expect(format.loss(0.43719)).toBe("0.437");
});

test("counts have their ending", () => {
  expect(format.count(1, "module")).toBe("1 module");
  expect(format.count(1200, "module")).toBe("1,200 modules");
});
