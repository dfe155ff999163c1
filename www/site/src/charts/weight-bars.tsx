// The weights as signed bars, the largest first; rows glide to their place while learning.

import type { ModuleLoss, WeightedModule } from "loraloom";
import { change, weight as weightText } from "../format.js";

/** Rows shown; the table behind the chart has all of them. */
const ROWS = 10;
const ROW_HEIGHT = 26;
/** The weight that fills half of the chart: the search's bound. */
const FULL = 1.5;

/** The bars; `without` adds how much the loss rises when a module is left out. */
export function WeightBars({
  weights,
  name,
  without,
  reference,
}: {
  weights: WeightedModule[];
  name: (id: string) => string;
  without: ModuleLoss[];
  reference: number | null;
}) {
  const sorted = [...weights]
    .sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight) || a.id.localeCompare(b.id))
    .slice(0, ROWS);
  const place = new Map(sorted.map(({ id }, index) => [id, index]));
  // A fixed order of the elements lets each row glide instead of being drawn anew.
  const rows = [...sorted].sort((a, b) => a.id.localeCompare(b.id));
  const full = Math.max(FULL, ...sorted.map(({ weight }) => Math.abs(weight)));
  const rise = new Map(
    reference === null ? [] : without.map(({ id, loss }) => [id, loss - reference]),
  );
  return (
    <div class="weights" style={{ height: `${ROWS * ROW_HEIGHT}px` }} data-testid="weights">
      {!rows.length && <p class="waits">One bar for every module, once learning starts.</p>}
      <ul>
        {rows.map(({ id, weight }) => (
          <li
            key={id}
            data-module={id}
            style={{ transform: `translateY(${(place.get(id) ?? 0) * ROW_HEIGHT}px)` }}
          >
            <span class="name" title={name(id)}>
              {name(id)}
            </span>
            <span class="track" aria-hidden="true">
              <span
                class={weight < 0 ? "negative" : "positive"}
                style={{ transform: `scaleX(${Math.abs(weight) / full})` }}
              />
            </span>
            <span class="value">{weightText(weight)}</span>
            <span class="rise">{rise.has(id) ? change(rise.get(id) as number) : ""}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
