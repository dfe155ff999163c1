// The loss of every evaluation as dots, and the best so far as a line. The scale is logarithmic: the
// first modules divide the loss by ten, and the gain of mixing them is too small for a linear one.
// Plain SVG needs no chart library and takes the page's colours, text and dark mode.

import { useSignal } from "@preact/signals";
import type { Evaluation } from "loraloom";
import { useEffect, useRef } from "preact/hooks";
import { loss as lossText } from "../format.js";
import { sizeOf } from "../state/workbench/weights.js";
import { text } from "../text.js";

/** The room around the dots, and the height of all. */
const FULL = { height: 190, left: 40, right: 10, top: 10, bottom: 34, dot: 3 };
const SMALL = { height: 46, left: 4, right: 4, top: 4, bottom: 4, dot: 1.8 };
/** Evaluations that the empty chart has room for. */
const MIN_ROOM = 40;

/**
 * Dots that are elements of their own, with their losses on hover, once learning has ended; more of them, or
 * drawing them again and again, takes too long.
 */
const MAX_ELEMENTS = 200;

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

/**
 * The chart. While learning, `planned` evaluations fit without rescaling; afterwards those that were made
 * fill it. A small one has no texts.
 */
export function LossChart({
  evaluations,
  planned,
  ended = false,
  small = false,
}: {
  evaluations: Evaluation[];
  planned: number;
  ended?: boolean;
  small?: boolean;
}) {
  const {
    height: HEIGHT,
    left: LEFT,
    right: RIGHT,
    top: TOP,
    bottom: BOTTOM,
    dot,
  } = small ? SMALL : FULL;
  const box = useRef<HTMLDivElement>(null);
  const width = useSignal(480);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      if (entry) width.value = Math.max(100, Math.floor(entry.contentRect.width));
    });
    observer.observe(box.current as HTMLDivElement);
    return () => observer.disconnect();
  }, []);

  const measured = evaluations.filter(({ phase }) => phase === "select").length;
  const searching = evaluations.some(({ phase }) => phase !== "select");
  const selects = searching ? measured : 0;
  const start = evaluations.find(
    ({ complete, weights }) => complete && weights.every(({ weight }) => sizeOf(weight) === 0),
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
  const room = ended ? evaluations.length : Math.max(planned, evaluations.length, MIN_ROOM);
  const x = (number: number) => LEFT + ((number - 0.5) / room) * (width.value - LEFT - RIGHT);
  const y = (loss: number) => {
    const share = Math.log(Math.min(Math.max(loss, bottom), top) / bottom) / Math.log(top / bottom);
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  };

  const kindOf = ({ loss, phase, complete }: Evaluation) =>
    `dot ${phase} ${loss > top ? "beyond" : ""} ${complete ? "" : "partial"}`;
  // An element for each of thousands of dots would take longer to draw than to compute.
  const dotPaths = () => {
    const paths = new Map<string, string>();
    for (const one of evaluations) {
      const [left, middle] = [x(one.number) - dot, y(one.loss)];
      const circle = `M${left.toFixed(1)} ${middle.toFixed(1)}a${dot} ${dot} 0 1 0 ${2 * dot} 0a${dot} ${dot} 0 1 0 ${-2 * dot} 0`;
      paths.set(kindOf(one), (paths.get(kindOf(one)) ?? "") + circle);
    }
    return paths;
  };
  const bestLine = evaluations
    .map(
      ({ number, best }, index) =>
        `${index ? "H" : "M"}${x(number)}${index ? `V${y(best)}` : ` ${y(best)}`}`,
    )
    .join("");
  const last = evaluations.at(-1);
  const summary = last
    ? text.mix.chartSummary(evaluations.length, first, last.best)
    : text.mix.chartNone;
  return (
    <div class={small ? "chart small" : "chart"} ref={box}>
      <svg
        width={width.value}
        height={HEIGHT}
        role="img"
        aria-label={summary}
        data-dots={evaluations.length}
      >
        {!small && (
          <>
            {lines.map((tick) => (
              <g key={tick} class="axis">
                <line x1={LEFT} x2={width.value - RIGHT} y1={y(tick)} y2={y(tick)} />
                <text hidden={!evaluations.length} x={LEFT - 6} y={y(tick) + 4} text-anchor="end">
                  {tick}
                </text>
              </g>
            ))}
            <text class="axis-name" x={LEFT} y={HEIGHT - 6}>
              {selects ? text.mix.chartAlone : ""}
            </text>
            <text class="axis-name" x={width.value - RIGHT} y={HEIGHT - 6} text-anchor="end">
              {text.mix.chartMixes} {evaluations.length || ""}
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
                  {text.mix.chartBase(start.loss)}
                </text>
              </g>
            )}
          </>
        )}
        {small || !ended || evaluations.length > MAX_ELEMENTS
          ? [...dotPaths()].map(([kind, path]) => <path key={kind} class={kind} d={path} />)
          : evaluations.map((one) => (
              <circle
                key={one.number}
                class={kindOf(one)}
                cx={x(one.number)}
                cy={y(one.loss)}
                r={dot}
              >
                <title>
                  {one.number}: {lossText(one.loss)}
                </title>
              </circle>
            ))}
        <path class="best-line" d={bestLine} />
        {!evaluations.length && !small && (
          <text class="note" x={width.value / 2} y={HEIGHT / 2 - 8} text-anchor="middle">
            {text.mix.chartEmpty}
          </text>
        )}
      </svg>
    </div>
  );
}
