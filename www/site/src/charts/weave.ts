// The woven drawing of a composition: the base model is the warp, each module a weft thread, as wide and
// as long as its weight. It is the page's mark, its icon, and the picture beside a link.

import { meanWeight, type WeightedModule } from "loraloom";

/** Colors that stand on light and on dark ground alike. */
const WARP = "#8b8f99";
const WEFT = "#c2500f";
const COLD = "#4a7ea6";

/** The most threads that the drawing has room for. */
const MAX_THREADS = 3;
/** The size of the drawing, and its warp threads. */
const SIZE = 32;
const WARPS = [5, 12.3, 19.7, 27];
/** The weight that fills the width. */
const FULL = 1.5;

/** The threads of the mark where there is no composition. */
const MARK = [{ weight: 1.4 }, { weight: 1 }];

/** The drawing as SVG. */
export function weave(modules: Pick<WeightedModule, "weight">[]): string {
  const used = modules
    .map(({ weight }) => ({ weight: meanWeight(weight) }))
    .filter(({ weight }) => Math.abs(weight) >= 0.05)
    .sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
    .slice(0, MAX_THREADS);
  const threads = used.length ? used : MARK;
  const row = SIZE / threads.length;
  const warp = (x: number, from: number, to: number) => `<path d="M${x} ${from}V${to}"/>`;
  const weft = threads.map(({ weight }, index) => {
    const size = Math.min(1, Math.abs(weight) / FULL);
    const y = (index + 0.5) * row;
    const width = Math.max(2, size * row * 0.62);
    const end = 2 + size * (SIZE - 4);
    return `<path d="M2 ${y}H${Math.max(6, end)}" stroke="${weight < 0 ? COLD : WEFT}" stroke-width="${width}"/>`;
  });
  // Every other crossing, the warp lies on top.
  const over = threads.flatMap((_, index) =>
    WARPS.filter((_x, column) => (column + index) % 2 === 0).map((x) =>
      warp(x, index * row + row * 0.12, (index + 1) * row - row * 0.12),
    ),
  );
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE} ${SIZE}" fill="none" stroke-linecap="round">` +
    `<g stroke="${WARP}" stroke-width="2.6">${WARPS.map((x) => warp(x, 2, SIZE - 2)).join("")}</g>` +
    `<g stroke-linecap="butt">${weft.join("")}</g>` +
    `<g stroke="${WARP}" stroke-width="2.6" stroke-linecap="butt">${over.join("")}</g></svg>`
  );
}

/** The drawing as an address for an image. */
export const weaveUrl = (modules: Pick<WeightedModule, "weight">[]) =>
  `data:image/svg+xml,${encodeURIComponent(weave(modules))}`;
