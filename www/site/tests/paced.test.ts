// What comes faster than it can be drawn is shown together, in its order.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Paced } from "../src/paced.js";

let shown: number[][];
let paced: Paced<number>;

beforeEach(() => {
  vi.useFakeTimers();
  shown = [];
  paced = new Paced((things) => shown.push(things));
});

afterEach(() => {
  vi.useRealTimers();
});

test("things that come slowly are shown as they come", () => {
  for (const thing of [1, 2, 3]) {
    paced.add(thing);
    expect(shown.flat()).toContain(thing);
    vi.advanceTimersByTime(150);
  }
  expect(shown).toEqual([[1], [2], [3]]);
});

test("things that come fast are shown together, ten times a second, each once and in order", () => {
  const all = Array.from({ length: 60 }, (_, index) => index);
  for (const thing of all) {
    paced.add(thing);
    vi.advanceTimersByTime(9);
  }
  vi.advanceTimersByTime(100);
  expect(shown.flat()).toEqual(all);
  expect(shown.length).toBeLessThanOrEqual(7);
});

test("the end shows what waits, and nothing twice", () => {
  for (const thing of [1, 2, 3]) paced.add(thing);
  paced.finish();
  expect(shown).toEqual([[1], [2, 3]]);
  paced.finish();
  vi.advanceTimersByTime(1000);
  expect(shown).toEqual([[1], [2, 3]]);
});
