// Memory that threads share.

import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import {
  canShareMemory,
  createGrowing,
  createSharedMemory,
  growthCheck,
  isFull,
} from "../src/worker/memory.js";

test("the highest limit that the browser gives is taken", () => {
  const asked: unknown[] = [];
  const memory = createSharedMemory((limits) => {
    asked.push(limits.maximum);
    if ((limits.maximum ?? 0) > 8192) throw new RangeError("Out of memory");
    return new WebAssembly.Memory(limits);
  });
  expect(asked).toEqual([65536, 32768, 16384, 8192]);
  expect(memory?.buffer).toBeInstanceOf(SharedArrayBuffer);
  const none = () => {
    throw new RangeError("Out of memory");
  };
  expect(createSharedMemory(none)).toBeNull();
  expect(canShareMemory(none)).toBe(false);
  expect(canShareMemory()).toBe(true);
});

test("memory is full where it has no room for a large allocation", () => {
  const pages = { initial: 1, shared: true };
  expect(isFull(new WebAssembly.Memory({ ...pages, maximum: 1024 }))).toBe(true);
  expect(isFull(new WebAssembly.Memory({ ...pages, maximum: 1025 }))).toBe(false);
});

test("a thread that notices that another has grown the memory can fill the new part", async () => {
  const growing = createGrowing();
  const noticesGrowth = await growthCheck(growing);
  // As on an engine that does not notice it.
  expect(noticesGrowth()).toBe(false);
  await new Promise((done, failed) => {
    const grow = "const { workerData } = require('node:worker_threads'); workerData.grow(1);";
    new Worker(grow, { eval: true, workerData: growing }).on("exit", done).on("error", failed);
  });
  expect(noticesGrowth()).toBe(true);
  expect(new Uint8Array(growing.buffer).subarray(65536, 65553)).toEqual(
    new Uint8Array([...Array(16).fill(1), 0]),
  );
});
