// The chart and the tables of all mixes, and what each module adds.

import { meanWeight, type WeightedModule } from "loraloom";
import { LossChart } from "../charts/loss-chart.js";
import { ProgressBar } from "../components/progress-bar.js";
import { ScrollTable } from "../components/table.js";
import { details } from "../details-text.js";
import { loss, seconds, weight } from "../format.js";
import { mix } from "../state/bench.js";
import { engaged } from "../state/engine-turn.js";
import {
  bestWeights,
  cancelLeaveOneOut,
  evaluations,
  learning,
  leaveOneOut,
  leaveOneOutProgress,
  lossWithout,
  planned,
} from "../state/learn.js";
import { titleOf } from "../state/library.js";
import { busy } from "../state/session.js";
import { sizeOf } from "../state/workbench/weights.js";
import { text } from "../text.js";

/** Evaluations that the table shows, the last ones, and while it learns: more rows take too long to draw. */
const MAX_ROWS = 200;
const MAX_LIVE_ROWS = 30;

/** A module that was tried, alone or beside those before it. */
function selectText(weights: WeightedModule[]) {
  const { tables } = details.numbers;
  const name = titleOf(weights.at(-1)?.id ?? "");
  return weights.length > 1 ? tables.beside(name, weights.length - 1) : tables.alone(name);
}

export function Numbers() {
  const without = new Map(lossWithout.value?.losses.map(({ id, loss }) => [id, loss]));
  const { tables } = details.numbers;
  const all = evaluations.value;
  const limit = learning.value ? MAX_LIVE_ROWS : MAX_ROWS;
  const shown = mix.value && !learning.value ? mix.value.desk.modules : bestWeights.value;
  return (
    <>
      <figure>
        <figcaption>{details.numbers.chart}</figcaption>
        <LossChart evaluations={all} planned={planned.value} ended={!learning.value} />
      </figure>
      <LeaveOneOut />
      <ScrollTable label={tables.weights} columns={tables.weightColumns}>
        {[...shown]
          .sort((a, b) => sizeOf(b.weight) - sizeOf(a.weight))
          .map(({ id, weight: value }) => (
            <tr key={id}>
              <th scope="row">{titleOf(id)}</th>
              <td>{weight(meanWeight(value))}</td>
              <td>{without.has(id) ? loss(without.get(id) as number) : ""}</td>
            </tr>
          ))}
      </ScrollTable>
      <ScrollTable label={tables.evaluations} columns={tables.evaluationColumns}>
        {all.slice(-limit).map((one) => (
          <tr key={one.number}>
            <td>{one.number}</td>
            <td>
              {one.weights.every((module) => sizeOf(module.weight) === 0)
                ? tables.base
                : one.phase === "select"
                  ? selectText(one.weights)
                  : tables.phases[one.phase]}
            </td>
            <td>
              {loss(one.loss)}
              {!one.complete && tables.partial(one.examples.length)}
            </td>
            <td>{loss(one.best)}</td>
            <td class="short">{seconds(one.seconds)}</td>
          </tr>
        ))}
      </ScrollTable>
      {all.length > limit && <p class="status">{details.numbers.last(limit, all.length)}</p>}
    </>
  );
}

function LeaveOneOut() {
  const running = leaveOneOutProgress.value;
  if (running) {
    return (
      <div class="row">
        <button type="button" onClick={cancelLeaveOneOut}>
          {text.learn.stop}
        </button>
        <ProgressBar
          value={running.done}
          max={running.total}
          label={details.numbers.leftOut}
          side="composed"
        />
      </div>
    );
  }
  return (
    <div class="row">
      <button
        type="button"
        disabled={!mix.value?.task || learning.value || busy.value || engaged.value > 0}
        onClick={() => void leaveOneOut()}
      >
        {details.numbers.matter}
      </button>
      <p class="status">
        {mix.value?.desk.tuned ? details.numbers.matterBefore : details.numbers.matterHelp}
      </p>
    </div>
  );
}
