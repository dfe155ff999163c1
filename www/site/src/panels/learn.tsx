// Learning: the loss of every evaluation, the weights of the best one, and the settings.

import "./learn.css";
import { computed } from "@preact/signals";
import { meanWeight } from "loraloom";
import { LossChart } from "../charts/loss-chart.js";
import { WeightBars } from "../charts/weight-bars.js";
import { Panel } from "../components/panel.js";
import { Problem } from "../components/problem.js";
import { ProgressBar } from "../components/progress-bar.js";
import { SettingField } from "../components/setting.js";
import { ScrollTable } from "../components/table.js";
import { Term } from "../components/tooltip.js";
import { bytes, count, loss, seconds, weight } from "../format.js";
import { composition, restored } from "../state/composition.js";
import {
  bestWeights,
  cancelLeaveOneOut,
  evaluated,
  evaluations,
  learn,
  learnError,
  learned,
  learning,
  leaveOneOut,
  leaveOneOutProgress,
  lossWithout,
  planned,
  stopLearning,
  wholeLoss,
} from "../state/learn.js";
import { suggestProgress, titleOf } from "../state/library.js";
import { busy, loom, progress, registryBase } from "../state/session.js";
import { replaceOptions, settings } from "../state/settings.js";

/** Parameters of a model that takes minutes to learn with. */
const LARGE_MODEL = 1e8;

/** The setting that the panel of the modules shows. */
const MODULE_SETTING = "selection";

/** Text for screen readers: every tenth evaluation and the end. */
const spoken = computed(() => {
  if (learning.value) {
    const tens = Math.floor(evaluations.value.length / 10) * 10;
    return tens ? `${tens} evaluations` : "Learning started";
  }
  const result = learned.value;
  if (!result) return "";
  return `${result.complete ? "Learned" : "Stopped"}: loss ${loss(result.loss)} after ${count(Math.round(result.evaluations), "evaluation")}.`;
});

/** The run with its charts and settings. */
export function LearnPanel() {
  return (
    <Panel name="learn" title="Learning">
      <div class="row">
        {learning.value ? (
          <button type="button" class="primary" onClick={stopLearning}>
            Stop
          </button>
        ) : (
          <button
            type="button"
            class="primary"
            disabled={!loom.value || busy.value || leaveOneOutProgress.value !== null}
            onClick={() => void learn()}
          >
            Learn
          </button>
        )}
        <p class="status" data-testid="learn-status">
          {statusText()}
        </p>
      </div>
      <p class="visually-hidden" role="status" aria-live="polite">
        {spoken.value}
      </p>
      <Problem error={learnError.value} />
      <figure>
        <figcaption>
          <Term of="loss">Loss</Term> of every <Term of="evaluation">evaluation</Term> (log scale)
        </figcaption>
        <LossChart evaluations={evaluations.value} planned={planned.value} />
      </figure>
      <figure>
        <figcaption class="columns">
          <span>
            How much each module counts (<Term of="weight">weight</Term>)
          </span>
          <span class={lossWithout.value.length ? "" : "invisible"}>Error added if removed</span>
        </figcaption>
        <WeightBars
          weights={bestWeights.value}
          name={titleOf}
          without={lossWithout.value}
          reference={wholeLoss.value}
        />
        <LeaveOneOut />
      </figure>
      <Numbers />
      <Options />
    </Panel>
  );
}

function statusText() {
  const result = learned.value;
  const download = progress.value;
  if (suggestProgress.value) {
    const { done, total } = suggestProgress.value;
    return `Comparing descriptions: ${done} of ${total}`;
  }
  if (download) {
    return `Loading: ${bytes(download.overallLoaded)} of ${bytes(download.overallTotal)}`;
  }
  if (learning.value) {
    return `Trying mixes: ${evaluated.value} of ${planned.value}`;
  }
  if (result) {
    const end = result.complete ? "Learned in" : "Stopped after";
    return `${end} ${seconds(result.seconds)}. Loss ${loss(result.lossStart)} → ${loss(result.loss)}, ${count(Math.round(result.evaluations), "evaluation")}.`;
  }
  if (restored.value) return "Opened from a shared link.";
  return (registryBase.value?.parameters ?? 0) > LARGE_MODEL
    ? "Ready. With a model of this size it takes minutes."
    : "Ready. Takes a few seconds.";
}

function LeaveOneOut() {
  const running = leaveOneOutProgress.value;
  if (running) {
    return (
      <div class="row">
        <button type="button" onClick={cancelLeaveOneOut}>
          Stop
        </button>
        <ProgressBar
          value={running.done}
          max={running.total}
          label="Modules left out"
          side="composed"
        />
        <p class="status">
          {running.done} of {running.total}
        </p>
      </div>
    );
  }
  return (
    <div class="row">
      <button
        type="button"
        disabled={!learned.value || learning.value || !composition.value}
        onClick={() => void leaveOneOut()}
      >
        Which modules matter?
      </button>
      <p class="status">Measures the loss without each module.</p>
    </div>
  );
}

/** The tables behind the charts. */
function Numbers() {
  const weights = bestWeights.value;
  const without = new Map(lossWithout.value.map(({ id, loss }) => [id, loss]));
  return (
    <details>
      <summary>Show as tables</summary>
      <ScrollTable label="Weights" columns={["Module", "Weight", "Loss without it"]}>
        {weights
          .map(({ id, weight: value }) => ({ id, weight: meanWeight(value) }))
          .sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
          .map(({ id, weight: value }) => (
            <tr key={id}>
              <th scope="row">{titleOf(id)}</th>
              <td>{weight(value)}</td>
              <td>{without.has(id) ? loss(without.get(id) as number) : ""}</td>
            </tr>
          ))}
      </ScrollTable>
      <ScrollTable label="Evaluations" columns={["Evaluation", "Phase", "Loss", "Best", "Time"]}>
        {evaluations.value.map((one) => (
          <tr key={one.number}>
            <td>{one.number}</td>
            <td>
              {one.phase === "select" ? `${titleOf(one.weights[0]?.id ?? "")} alone` : "search"}
            </td>
            <td>{loss(one.loss)}</td>
            <td>{loss(one.best)}</td>
            <td>{seconds(one.seconds)}</td>
          </tr>
        ))}
      </ScrollTable>
    </details>
  );
}

function Options() {
  const engine = loom.value;
  if (!engine) return null;
  return (
    <details>
      <summary>Options</summary>
      <div class="row">
        <button type="button" onClick={() => replaceOptions({})}>
          Recommended
        </button>
        <button type="button" onClick={() => replaceOptions(engine.published)}>
          As published
        </button>
      </div>
      <div class="options">
        {settings.value
          .filter(({ name }) => name !== MODULE_SETTING)
          .map(({ name }) => (
            <SettingField key={name} name={name} />
          ))}
      </div>
    </details>
  );
}
