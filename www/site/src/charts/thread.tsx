// One thread of the mix, drawn over the warp: as wide and as long as the module's weight.

import { WEIGHTS } from "../state/workbench/weights.js";

/** Warp lines of a track. */
const LINES = 18;
const HEIGHT = 40;

/** The place of a weight on the track, from 0 to 100. */
export const place = (weight: number) =>
  (100 * (Math.min(WEIGHTS.max, Math.max(WEIGHTS.min, weight)) - WEIGHTS.min)) /
  (WEIGHTS.max - WEIGHTS.min);

const ZERO = place(0);
const warp = Array.from({ length: LINES }, (_, index) => ((index + 0.5) * 100) / LINES);

/** The drawing; `row` shifts what lies on top, so that threads above each other read as cloth. */
export function Thread({ weight, row, muted }: { weight: number; row: number; muted: boolean }) {
  const at = place(weight);
  const [from, to] = [Math.min(ZERO, at), Math.max(ZERO, at)];
  const width = weight === 0 ? 0 : 3 + Math.min(2, Math.abs(weight)) * 10;
  const kind = muted || weight === 0 ? "silent" : weight < 0 ? "negative" : "positive";
  return (
    <svg class={`thread ${kind}`} width="100%" height={HEIGHT} aria-hidden="true">
      <g class="warp">
        {warp.map((x) => (
          <line key={x} x1={`${x}%`} x2={`${x}%`} y1="0" y2={HEIGHT} />
        ))}
      </g>
      {width > 0 && (
        <rect
          class="weft"
          x={`${from}%`}
          width={`${to - from}%`}
          y={(HEIGHT - width) / 2}
          height={width}
        />
      )}
      {warp.map(
        (x, index) =>
          (index + row) % 2 === 0 &&
          x > from &&
          x < to && (
            <g key={x} class="warp over">
              <line class="gap" x1={`${x}%`} x2={`${x}%`} y1="0" y2={HEIGHT} />
              <line x1={`${x}%`} x2={`${x}%`} y1="0" y2={HEIGHT} />
            </g>
          ),
      )}
      <line class="zero" x1={`${ZERO}%`} x2={`${ZERO}%`} y1="0" y2={HEIGHT} />
      <circle class="knob" cx={`${at}%`} cy={HEIGHT / 2} r={weight === 0 ? 6 : 8.5} />
    </svg>
  );
}
