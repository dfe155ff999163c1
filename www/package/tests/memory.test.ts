// Shared memory where it must not grow while threads run.

import { describe, expect, test } from "vitest";
import {
  canShareMemory,
  createLimitedMemory,
  growToLimit,
  sharedMemoryGrows,
} from "../src/worker/memory.js";

const PAGE = 65536;
const WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)";

describe("sharedMemoryGrows", () => {
  test.each([
    [
      "Safari",
      `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${WEBKIT} Version/26.2 Safari/605.1.15`,
      false,
    ],
    [
      "Chrome on iOS",
      `Mozilla/5.0 (iPhone; CPU iPhone OS 26_2 like Mac OS X) ${WEBKIT} CriOS/145.0 Mobile/15E148 Safari/604.1`,
      false,
    ],
    [
      "Firefox on iOS",
      `Mozilla/5.0 (iPhone; CPU iPhone OS 26_2 like Mac OS X) ${WEBKIT} FxiOS/146.0 Mobile/15E148 Safari/604.1`,
      false,
    ],
    [
      "an iOS app",
      `Mozilla/5.0 (iPhone; CPU iPhone OS 26_2 like Mac OS X) ${WEBKIT} Mobile/15E148`,
      false,
    ],
    ["WebKitGTK", `Mozilla/5.0 (X11; Linux x86_64) ${WEBKIT} Version/60.5 Safari/605.1.15`, false],
    ["Bun", "Bun/1.3.5", false],
    [
      "Chrome",
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36",
      true,
    ],
    ["Firefox", "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0", true],
    ["Node", "Node.js/22", true],
    ["a Node without a name", "", true],
  ])("of %s", (_, userAgent, grows) => {
    expect(sharedMemoryGrows(userAgent)).toBe(grows);
  });
});

test("the highest limit that the browser gives is taken", () => {
  const asked: unknown[] = [];
  const limited = createLimitedMemory((limits) => {
    asked.push(limits.maximum);
    if ((limits.maximum ?? 0) > 8192) throw new RangeError("Out of memory");
    return new WebAssembly.Memory(limits);
  });
  expect(asked).toEqual([32768, 16384, 8192]);
  expect(limited).toMatchObject({ maximum: 8192 });
  const none = () => {
    throw new RangeError("Out of memory");
  };
  expect(createLimitedMemory(none)).toBeNull();
  expect(canShareMemory(none)).toBe(false);
  expect(canShareMemory()).toBe(true);
});

test("memory is at its limit before threads start, and the engine has what it grew by", () => {
  const limited = createLimitedMemory((limits) => {
    const maximum = Math.min(limits.maximum ?? 0, 1024);
    return new WebAssembly.Memory({ ...limits, maximum });
  });
  if (!limited) throw new Error("no memory");
  limited.maximum = 1024;
  const { memory } = limited;
  let reserved = 0;
  // An allocator adds to what it is asked for.
  const reserve = (bytes: number) => {
    reserved = bytes;
    memory.grow(bytes / PAGE + 1);
    return true;
  };
  expect(growToLimit(limited, reserve)).toBe(true);
  expect(memory.buffer.byteLength).toBe(1024 * PAGE);
  expect(reserved).toBeGreaterThan(900 * PAGE);
  expect(() => memory.grow(1)).toThrow(RangeError);
  expect(growToLimit(limited, () => false)).toBe(false);
});
