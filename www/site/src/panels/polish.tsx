// Polishing beside the verdict: the button with its time, the progress, and what changed.

import { useRef } from "preact/hooks";
import { Problem } from "../components/problem.js";
import { ProgressBar } from "../components/progress-bar.js";
import { Term } from "../components/tooltip.js";
import { details } from "../details-text.js";
import { answering, testing } from "../state/answer.js";
import { checks, mix } from "../state/bench.js";
import { engaged } from "../state/engine-turn.js";
import { polishing } from "../state/learn.js";
import { undoDesk } from "../state/mix.js";
import {
  expectedSeconds,
  lastStep,
  polish,
  polishError,
  STEPS,
  stopPolishing,
} from "../state/polish.js";
import { busy, loom } from "../state/session.js";
import { rightOf } from "../state/workbench/results.js";
import { text } from "../text.js";

const words = details.polish;

export function Polish() {
  return (
    <div class="polish" data-testid="polish">
      {mix.value?.desk.tuned ? <Polished /> : <Run />}
      <Problem error={polishError.value} />
    </div>
  );
}

/** The button, and the progress of what it started. */
function Run() {
  const row = useRef<HTMLDivElement>(null);
  const works = checks.value?.assessment.verdict === "works";
  const step = lastStep.value;
  const idle = loom.value !== null && !busy.value && !answering.value && !testing.value;
  const press = async () => {
    if (polishing.value) return stopPolishing();
    const box = row.current?.parentElement;
    await polish();
    // This button is gone then.
    if (document.activeElement !== document.body) return;
    requestAnimationFrame(() =>
      box?.querySelector<HTMLElement>("button:not(.term)")?.focus({ preventScroll: true }),
    );
  };
  return (
    <div class="row small" ref={row}>
      {/* One element, so that the focus stays on it. */}
      <button
        type="button"
        class={works && !polishing.value ? "plain" : ""}
        disabled={!polishing.value && (!idle || engaged.value > 0)}
        onClick={() => void press()}
      >
        {polishing.value ? text.result.stop : words.start}
      </button>
      {polishing.value ? (
        <>
          <ProgressBar
            value={step?.number ?? 0}
            max={STEPS}
            label={words.running}
            side="composed"
          />
          <p class="status">{step ? words.step(step.number, STEPS, step.loss) : words.running}</p>
        </>
      ) : (
        <p class="status">
          <Term of="polish">{words.help}</Term>
          {words.takes(expectedSeconds.value)}
        </p>
      )}
    </div>
  );
}

/** What polishing changed, and the way back. */
function Polished() {
  const current = mix.value;
  const run = current?.desk.tuned?.run;
  const right = checks.value && rightOf(checks.value.assessment);
  return (
    <p class="status" role="status">
      <Term of="polish">{words.done}</Term>
      {run && words.doneIn(run.seconds, run.steps, run.complete)}
      {run && right ? words.right(right.correct, run.rightBefore, right.total) : "."}{" "}
      {run && current.undo.length > 0 && (
        <button
          type="button"
          class="plain"
          onClick={() => {
            undoDesk();
            // This button is gone then.
            document
              .querySelector<HTMLElement>("[data-testid=verdict]")
              ?.focus({ preventScroll: true });
          }}
        >
          {words.undo}
        </button>
      )}
    </p>
  );
}
