// The loss of every evaluation as dots, with the best so far as a line. Drawn here as SVG: sixty
// dots need no chart library, and SVG takes the page's colours, text and dark mode as they are.

import { useSignal } from "@preact/signals";
import type { Evaluation } from "loraloom";
import { useEffect, useRef } from "preact/hooks";
import { loss as lossText } from "../format.js";

const HEIGHT = 190;
const LEFT = 40;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 34;
/** Evaluations that the empty chart has room for. */
const EMPTY_ROOM = 40;

/** A round number at or above `value`, with a step for the axis. */
function scale(value: number): { top: number; step: number } {
  const size = 10 ** Math.floor(Math.log10(value / 4));
  const step = [1, 2, 2.5, 5, 10]
    .map((one) => one * size)
    .find((one) => one * 4 >= value) as number;
  return { top: step * 4, step };
}

/** The chart; `planned` are the evaluations that fit without rescaling. */
export function LossChart({
  evaluations,
  planned,
}: {
  evaluations: Evaluation[];
  planned: { select: number; search: number };
}) {
  const box = useRef<HTMLDivElement>(null);
  const width = useSignal(480);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      if (entry) width.value = Math.max(200, Math.floor(entry.contentRect.width));
    });
    observer.observe(box.current as HTMLDivElement);
    return () => observer.disconnect();
  }, []);

  const measured = evaluations.filter(({ phase }) => phase === "select").length;
  const searching = evaluations.some(({ phase }) => phase === "search");
  const selects = searching ? measured : Math.max(measured, evaluations.length && planned.select);
  const start = evaluations.find(({ weights }) => weights.every(({ weight }) => weight === 0));
  const first = evaluations[0]?.loss ?? 1;
  // Weights near the bounds can be far off: the scale follows the start, and dots above it are
  // drawn at the top edge.
  const highest = Math.max(...evaluations.map(({ loss }) => Math.min(loss, 2 * first)), 0.1);
  const { top, step } = scale(Math.max(highest, first));
  const room = Math.max(planned.select + planned.search, evaluations.length, EMPTY_ROOM);
  const x = (number: number) => LEFT + ((number - 0.5) / room) * (width.value - LEFT - RIGHT);
  const y = (loss: number) => TOP + (1 - Math.min(loss, top) / top) * (HEIGHT - TOP - BOTTOM);

  const bestLine = evaluations
    .map(
      ({ number, best }, index) =>
        `${index ? "H" : "M"}${x(number)}${index ? `V${y(best)}` : ` ${y(best)}`}`,
    )
    .join("");
  const last = evaluations.at(-1);
  const summary = last
    ? `Loss over ${evaluations.length} evaluations, from ${lossText(first)} to a best of ${lossText(last.best)}.`
    : "No evaluations yet.";
  return (
    <div class="chart" ref={box}>
      <svg width={width.value} height={HEIGHT} role="img" aria-label={summary}>
        {[0, 1, 2, 3, 4].map((tick) => (
          <g key={tick} class="axis">
            <line x1={LEFT} x2={width.value - RIGHT} y1={y(tick * step)} y2={y(tick * step)} />
            <text
              hidden={!evaluations.length}
              x={LEFT - 6}
              y={y(tick * step) + 4}
              text-anchor="end"
            >
              {Number((tick * step).toPrecision(3))}
            </text>
          </g>
        ))}
        <text class="axis-name" x={LEFT} y={HEIGHT - 6}>
          {selects ? "each module alone" : ""}
        </text>
        <text class="axis-name" x={width.value - RIGHT} y={HEIGHT - 6} text-anchor="end">
          {selects ? "mixing them → evaluation" : "evaluation"} {evaluations.length || ""}
        </text>
        {selects > 0 && (
          <line
            class="divider"
            x1={x(selects + 0.5)}
            x2={x(selects + 0.5)}
            y1={TOP}
            y2={HEIGHT - BOTTOM + 6}
          />
        )}
        {start && (
          <g class="base-line">
            <line x1={LEFT} x2={width.value - RIGHT} y1={y(start.loss)} y2={y(start.loss)} />
            <text x={width.value - RIGHT} y={y(start.loss) - 5} text-anchor="end">
              base {lossText(start.loss)}
            </text>
          </g>
        )}
        {evaluations.map(({ number, loss, phase }) => (
          <circle
            key={number}
            class={`${phase} ${loss > top ? "beyond" : ""}`}
            cx={x(number)}
            cy={y(loss)}
            r={3}
          >
            <title>
              {number}: {lossText(loss)}
            </title>
          </circle>
        ))}
        <path class="best-line" d={bestLine} />
        {!evaluations.length && (
          <text class="axis-name" x={width.value / 2} y={HEIGHT / 2 - 8} text-anchor="middle">
            One dot for every evaluation, once learning starts.
          </text>
        )}
      </svg>
    </div>
  );
}
