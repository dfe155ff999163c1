// The loss of every evaluation as dots, and the best so far as a line. The scale is logarithmic: the
// first modules divide the loss by ten, and the gain of mixing them is too small for a linear one.
// Plain SVG needs no chart library and takes the page's colours, text and dark mode.

import { useSignal } from "@preact/signals";
import { type Evaluation, meanWeight } from "loraloom";
import { useEffect, useRef } from "preact/hooks";
import { loss as lossText } from "../format.js";

const HEIGHT = 190;
const LEFT = 40;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 34;
/** Evaluations that the empty chart has room for. */
const MIN_ROOM = 40;

/** Lower losses are drawn here: 0 has no logarithm. */
const MIN_LOSS = 0.001;
/** How far below the first loss the axis reaches at first. */
const INITIAL_RATIO = 20;

/** With more ticks than this, only powers of ten are drawn. */
const MAX_TICKS = 8;

/** Round numbers (1, 2 and 5 times powers of ten) from one at or below `low` to one above `high`. */
function ticks(low: number, high: number): number[] {
  const steps: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high * 10; power++) {
    steps.push(...[1, 2, 5].map((one) => Number(`${one}e${power}`)));
  }
  const first = steps.findLastIndex((step) => step <= low);
  const last = steps.findIndex((step) => step >= high);
  return steps.slice(first, last + 1);
}

/** The chart; `planned` are the evaluations that fit without rescaling. */
export function LossChart({
  evaluations,
  planned,
}: {
  evaluations: Evaluation[];
  planned: number;
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

  const start = evaluations.find(({ weights }) =>
    weights.every(({ weight }) => meanWeight(weight) === 0),
  );
  const first = Math.max(evaluations[0]?.loss ?? 1, MIN_LOSS);
  // Extreme weights give extreme losses: those above the scale are drawn at its top edge.
  const highest = Math.max(...evaluations.map(({ loss }) => Math.min(loss, 2 * first)), first);
  const lowest = Math.min(...evaluations.map(({ loss }) => loss), first / INITIAL_RATIO);
  const axis = ticks(Math.max(lowest, MIN_LOSS), highest);
  const bottom = axis[0] as number;
  const top = axis.at(-1) as number;
  const lines = axis.filter(
    (tick) => axis.length <= MAX_TICKS || Number.isInteger(Math.log10(tick)),
  );
  // The first evaluation is of every example; later ones may be of some, and count as that fraction.
  const examples = evaluations[0]?.examples.length || 1;
  let sum = 0;
  const counts = evaluations.map((one) => {
    sum += (one.examples.length || examples) / examples;
    return sum;
  });
  const room = Math.max(planned, Math.ceil(sum), MIN_ROOM);
  const x = (index: number) =>
    LEFT + (((counts[index] ?? 0) - 0.5) / room) * (width.value - LEFT - RIGHT);
  const y = (loss: number) => {
    const share = Math.log(Math.min(Math.max(loss, bottom), top) / bottom) / Math.log(top / bottom);
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  };

  const bestLine = evaluations
    .map(
      ({ best }, index) =>
        `${index ? "H" : "M"}${x(index)}${index ? `V${y(best)}` : ` ${y(best)}`}`,
    )
    .join("");
  const last = evaluations.at(-1);
  const summary = last
    ? `Loss over ${Math.round(sum)} evaluations, from ${lossText(first)} to a best of ${lossText(last.best)}.`
    : "No evaluations yet.";
  return (
    <div class="chart" ref={box}>
      <svg width={width.value} height={HEIGHT} role="img" aria-label={summary}>
        {lines.map((tick) => (
          <g key={tick} class="axis">
            <line x1={LEFT} x2={width.value - RIGHT} y1={y(tick)} y2={y(tick)} />
            <text hidden={!evaluations.length} x={LEFT - 6} y={y(tick) + 4} text-anchor="end">
              {tick}
            </text>
          </g>
        ))}
        <text class="axis-name" x={width.value - RIGHT} y={HEIGHT - 6} text-anchor="end">
          evaluation {Math.round(sum) || ""}
        </text>
        {start && (
          <g class="base-line">
            <line x1={LEFT} x2={width.value - RIGHT} y1={y(start.loss)} y2={y(start.loss)} />
            <text x={width.value - RIGHT} y={y(start.loss) - 5} text-anchor="end">
              base {lossText(start.loss)}
            </text>
          </g>
        )}
        {evaluations.map(({ number, loss, phase, complete }, index) => (
          <circle
            key={number}
            class={`${phase} ${loss > top ? "beyond" : ""}`}
            cx={x(index)}
            cy={y(loss)}
            r={complete ? 3 : 1.5}
          >
            <title>
              {number}: {lossText(loss)}
            </title>
          </circle>
        ))}
        <path class="best-line" d={bestLine} />
        {!evaluations.length && (
          <text class="note" x={width.value / 2} y={HEIGHT / 2 - 8} text-anchor="middle">
            One dot per evaluation, once learning starts.
          </text>
        )}
      </svg>
    </div>
  );
}
