// Learning: the loss of every evaluation, the weights of the best one, and the options.

import { computed } from "@preact/signals";
import type { LearnOptions } from "loraloom";
import { LossChart } from "../charts/loss-chart.js";
import { WeightBars } from "../charts/weight-bars.js";
import { bytes, count, loss, seconds, weight } from "../format.js";
import {
  bestWeights,
  changedOptions,
  composition,
  evaluations,
  learnError,
  learned,
  learning,
  leaveOneOut,
  leavingOut,
  options,
  planned,
  stopLearning,
  wholeLoss,
  withoutModule,
} from "../state/learn.js";
import { finding, titleOf as title } from "../state/library.js";
import { busy, loom, progress, registryBase } from "../state/session.js";
import { learnAndKeep, restored } from "../state/story.js";
import { Bar, Part, Problem, Term } from "./common.js";

/** Parameters from which on learning takes minutes. */
const LARGE_MODEL = 1e8;

/** What a screen reader is told: every tenth evaluation and the end, not every one. */
const spoken = computed(() => {
  if (learning.value) {
    const tens = Math.floor(evaluations.value.length / 10) * 10;
    return tens ? `${tens} evaluations` : "Learning started";
  }
  const result = learned.value;
  if (!result) return "";
  return `${result.complete ? "Learned" : "Stopped"}: loss ${loss(result.loss)} after ${count(result.evaluations, "evaluation")}.`;
});

/** The third part of the story. */
export function LearnPart() {
  return (
    <Part number={3} name="learn" title="Learning">
      <div class="row">
        {learning.value ? (
          <button type="button" class="primary" onClick={stopLearning}>
            Stop
          </button>
        ) : (
          <button
            type="button"
            class="primary"
            disabled={!loom.value || busy.value || leavingOut.value !== null}
            onClick={() => void learnAndKeep()}
          >
            Learn
          </button>
        )}
        <p class="status" data-testid="learn-status">
          {statusText()}
        </p>
      </div>
      <p class="for-readers" role="status" aria-live="polite">
        {spoken.value}
      </p>
      <Problem error={learnError.value} />
      <figure>
        <figcaption>
          <Term of="loss">Loss</Term> of every <Term of="evaluation">evaluation</Term>, on a
          logarithmic scale
        </figcaption>
        <LossChart evaluations={evaluations.value} planned={planned.value} />
      </figure>
      <figure>
        <figcaption>
          <Term of="weight">Weight</Term> of each module, at the best loss so far
        </figcaption>
        <WeightBars
          weights={bestWeights.value}
          name={title}
          without={withoutModule.value}
          reference={wholeLoss.value}
        />
        <LeaveOneOut />
      </figure>
      <Numbers />
      <Options />
    </Part>
  );
}

function statusText() {
  const last = evaluations.value.at(-1);
  const result = learned.value;
  const running = progress.value;
  if (finding.value) {
    return `Looking for modules: ${finding.value.done} of ${finding.value.total} descriptions read`;
  }
  if (running) return `Loading: ${bytes(running.overallLoaded)} of ${bytes(running.overallTotal)}`;
  if (learning.value) {
    return last
      ? `${last.number} of at most ${planned.value.select + planned.value.search} evaluations, best loss ${loss(last.best)}; the last took ${seconds(last.seconds)}`
      : "First evaluation…";
  }
  if (result) {
    const end = result.complete ? "Learned in" : "Stopped after";
    return `${end} ${seconds(result.seconds)}: loss ${loss(result.lossStart)} → ${loss(result.loss)}, ${count(result.evaluations, "evaluation")}`;
  }
  if (restored.value) return "Restored from a link: nothing was learned here.";
  return (registryBase.value?.parameters ?? 0) > LARGE_MODEL
    ? "Waits for you: with a model of this size it takes minutes."
    : "Waits for you: a few seconds on most machines.";
}

function LeaveOneOut() {
  const running = leavingOut.value;
  if (running) {
    return (
      <div class="row">
        <button type="button" onClick={stopLearning}>
          Stop
        </button>
        <Bar value={running.done} max={running.total} label="Modules left out" side="composed" />
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
      <p class="status">
        {withoutModule.value.length
          ? "Right: how much the loss rises without the module."
          : "Measures the loss without each module."}
      </p>
    </div>
  );
}

/** The tables behind the charts. */
function Numbers() {
  const weights = bestWeights.value;
  const without = new Map(withoutModule.value.map(({ id, loss }) => [id, loss]));
  return (
    <details>
      <summary>The numbers as tables</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Weights">
        <table class="numbers">
          <thead>
            <tr>
              <th scope="col">Module</th>
              <th scope="col">Weight</th>
              <th scope="col">Loss without it</th>
            </tr>
          </thead>
          <tbody>
            {[...weights]
              .sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
              .map(({ id, weight: value }) => (
                <tr key={id}>
                  <th scope="row">{title(id)}</th>
                  <td>{weight(value)}</td>
                  <td>{without.has(id) ? loss(without.get(id) as number) : ""}</td>
                </tr>
              ))}
          </tbody>
        </table>
      </section>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Evaluations">
        <table class="numbers">
          <thead>
            <tr>
              <th scope="col">Evaluation</th>
              <th scope="col">Phase</th>
              <th scope="col">Loss</th>
              <th scope="col">Best</th>
              <th scope="col">Time</th>
            </tr>
          </thead>
          <tbody>
            {evaluations.value.map((one) => (
              <tr key={one.number}>
                <td>{one.number}</td>
                <td>
                  {one.phase === "select" ? `${title(one.weights[0]?.id ?? "")} alone` : "search"}
                </td>
                <td>{loss(one.loss)}</td>
                <td>{loss(one.best)}</td>
                <td>{seconds(one.seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}

function Options() {
  const all = options.value;
  const engine = loom.value;
  if (!all || !engine) return null;
  const change = (changed: Partial<LearnOptions>) => {
    changedOptions.value = { ...changedOptions.value, ...changed };
  };
  const whole = (field: "budget" | "modules" | "seed", least: number, most: number) => ({
    type: "number" as const,
    min: least,
    max: most,
    value: all[field],
    onChange: ({ currentTarget }: { currentTarget: HTMLInputElement }) => {
      const value = Math.round(Number(currentTarget.value));
      change({ [field]: Math.min(most, Math.max(least, Number.isFinite(value) ? value : least)) });
      currentTarget.value = String(all[field]);
    },
  });
  return (
    <details>
      <summary>Options</summary>
      <div class="row">
        <button
          type="button"
          onClick={() => {
            changedOptions.value = {};
          }}
        >
          Recommended
        </button>
        <button
          type="button"
          onClick={() => {
            changedOptions.value = { ...engine.published };
          }}
        >
          As published
        </button>
      </div>
      <div class="options">
        <div class="option">
          <span>
            <label for="budget">Budget</label> <Term of="budget">?</Term>
          </span>
          <input id="budget" {...whole("budget", 1, 2000)} />
        </div>
        <div class="option">
          <span>
            <label for="optimizer">Optimizer</label> <Term of="optimizer">?</Term>
          </span>
          <select
            id="optimizer"
            value={all.optimizer}
            onChange={({ currentTarget }) =>
              change({ optimizer: currentTarget.value as LearnOptions["optimizer"] })
            }
          >
            <option value="cobyla">COBYLA</option>
            <option value="cma-es">CMA-ES</option>
            <option value="greedy">greedy</option>
            <option value="ridge-trust-region">ridge, eight at a time</option>
          </select>
        </div>
        <label>
          Modules at most
          <input {...whole("modules", 1, 200)} />
        </label>
        <div class="option">
          <span>
            <label for="merge">Merge</label> <Term of="merge">?</Term>
          </span>
          <select
            id="merge"
            value={all.merge}
            onChange={({ currentTarget }) =>
              change({ merge: currentTarget.value as LearnOptions["merge"] })
            }
          >
            <option value="delta">delta</option>
            <option value="lorahub">lorahub</option>
          </select>
        </div>
        <label>
          Seed
          <input {...whole("seed", 0, 2 ** 31)} />
        </label>
      </div>
    </details>
  );
}
