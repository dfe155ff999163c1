// The QR code's drawing: its finder patterns, its margin, and a text that no code holds.

import { expect, test } from "vitest";
import { qrPath } from "../src/charts/qr.js";

/** The drawing as rows of dark and light modules. */
function rowsOf(text: string): boolean[][] {
  const { path, size } = qrPath(text) ?? { path: "", size: 0 };
  const rows = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  for (const [, x, y] of path.matchAll(/M(\d+) (\d+)h1v1h-1z/g)) {
    (rows[Number(y)] as boolean[])[Number(x)] = true;
  }
  return rows;
}

test("a code has its finder patterns in three corners, and a white margin around it", () => {
  const rows = rowsOf(`https://example.org/#${"Abc0".repeat(150)}`);
  const size = rows.length;
  // 17 and 4 modules for each version, and the margin.
  expect((size - 8 - 17) % 4).toBe(0);
  const finder = [1, 0, 1, 1, 1, 0, 1].map(Boolean);
  const middle = (x: number, y: number) => rows[y + 3]?.slice(x, x + 7);
  expect(middle(4, 4)).toEqual(finder);
  expect(middle(size - 11, 4)).toEqual(finder);
  expect(middle(4, size - 11)).toEqual(finder);
  for (let at = 0; at < size; at++) {
    for (const edge of [0, 1, 2, 3, size - 4, size - 1]) {
      expect([rows[at]?.[edge], rows[edge]?.[at]]).toEqual([false, false]);
    }
  }
});

test("a text that is longer than any code has none", () => {
  expect(qrPath("a".repeat(2953))).not.toBeNull();
  expect(qrPath("a".repeat(2954))).toBeNull();
});
