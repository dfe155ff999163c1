// Values that arrive faster than they can be drawn are emitted in batches.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BatchThrottle } from "../src/throttle.js";

let batches: number[][];
let throttle: BatchThrottle<number>;

beforeEach(() => {
  vi.useFakeTimers();
  batches = [];
  throttle = new BatchThrottle((values) => batches.push(values));
});

afterEach(() => {
  vi.useRealTimers();
});

test("slow values are emitted one by one, without delay", () => {
  for (const value of [1, 2, 3]) {
    throttle.push(value);
    expect(batches.flat()).toContain(value);
    vi.advanceTimersByTime(150);
  }
  expect(batches).toEqual([[1], [2], [3]]);
});

test("fast values are emitted ten times a second, each once and in order", () => {
  const all = Array.from({ length: 60 }, (_, index) => index);
  for (const value of all) {
    throttle.push(value);
    vi.advanceTimersByTime(9);
  }
  vi.advanceTimersByTime(100);
  expect(batches.flat()).toEqual(all);
  expect(batches.length).toBeLessThanOrEqual(7);
});

test("flush emits the pending values once", () => {
  for (const value of [1, 2, 3]) throttle.push(value);
  throttle.flush();
  expect(batches).toEqual([[1], [2, 3]]);
  throttle.flush();
  vi.advanceTimersByTime(1000);
  expect(batches).toEqual([[1], [2, 3]]);
});
