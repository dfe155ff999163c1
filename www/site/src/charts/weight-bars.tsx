// The weights as signed bars, the largest first. Rows move to their place while learning.

import { type ModuleLoss, meanWeight, type WeightedModule } from "loraloom";
import { change, weight as weightText } from "../format.js";

/** Rows of the chart; the table has all modules. */
const ROWS = 10;
const ROW_HEIGHT = 26;
/** The weight that fills half of the chart: the search's default bound. */
const FULL_WEIGHT = 2.5;

/** The bars, with how much the loss rises without each module of `without`. */
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
  const sorted = weights
    .map(({ id, weight }) => ({ id, weight: meanWeight(weight) }))
    .sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight) || a.id.localeCompare(b.id))
    .slice(0, ROWS);
  const place = new Map(sorted.map(({ id }, index) => [id, index]));
  // In a fixed order, the elements move instead of being re-created.
  const rows = [...sorted].sort((a, b) => a.id.localeCompare(b.id));
  const full = Math.max(FULL_WEIGHT, ...sorted.map(({ weight }) => Math.abs(weight)));
  const rise = new Map(
    reference === null ? [] : without.map(({ id, loss }) => [id, loss - reference]),
  );
  return (
    <div class="weights" style={{ height: `${ROWS * ROW_HEIGHT}px` }} data-testid="weights">
      {!rows.length && <p class="placeholder">One bar per module, once learning starts.</p>}
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
