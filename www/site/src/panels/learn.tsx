// The page's one button, with the progress of what it started.

import "./learn.css";
import { computed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Problem } from "../components/problem.js";
import { ProgressBar } from "../components/progress-bar.js";
import { bytes } from "../format.js";
import { mix, mixRelation } from "../state/bench.js";
import {
  ended,
  estimated,
  evaluated,
  evaluations,
  learnError,
  learning,
  leaveOneOutProgress,
  planned,
  polishing,
  startedAt,
  stopLearning,
} from "../state/learn.js";
import { baseBytes, isLarge, suggestProgress } from "../state/library.js";
import {
  base,
  busy,
  cancelLoading,
  chosenBase,
  loom,
  progress,
  registryBase,
  stage,
} from "../state/session.js";
import { learnAndAnswer, linkUnbound } from "../state/workflow.js";
import { text } from "../text.js";

/** Parameters of a model that takes minutes to learn with. */
const LARGE_MODEL = 1e8;
/** Evaluations after which the time that is left can be told, and the seconds from which it is. */
const MEASURED = 8;
const WORTH_TELLING_SECONDS = 1;

/** Text for screen readers: every tenth mix and the end. */
const spoken = computed(() => {
  if (busy.value) return stage.value;
  if (learning.value) {
    const tens = Math.floor(evaluations.value.length / 10) * 10;
    return tens ? text.learn.spokenCount(tens) : text.learn.spokenStart;
  }
  return mix.value ? statusText() : "";
});

export function LearnControls({ children }: { children: ComponentChildren }) {
  const working = learning.value || busy.value;
  const relation = mixRelation.value;
  return (
    <>
      <div class="row controls">
        {/* One element, so that the focus stays on it. */}
        <button
          type="button"
          class="primary"
          disabled={!loom.value || polishing.value}
          onClick={() => {
            // The press is for what the button read, and not for what began since.
            if (working !== (learning.value || busy.value)) return;
            if (learning.value) stopLearning();
            else if (busy.value) cancelLoading();
            else if (leaveOneOutProgress.value === null) void learnAndAnswer();
          }}
        >
          {working && loom.value !== null
            ? text.learn.stop
            : relation === "same"
              ? text.learn.again
              : text.learn.learn}
        </button>
        {children}
      </div>
      <div class="progress">
        <p class="status" data-testid="learn-status">
          {statusText()}
        </p>
        <Bar />
      </div>
      <p class="visually-hidden" role="status" aria-live="polite">
        {spoken.value}
      </p>
      <Problem error={learnError.value} />
    </>
  );
}

/** One bar: of the bytes, then of the mixes. */
function Bar() {
  const download = progress.value;
  const shown = suggestProgress.value
    ? { value: suggestProgress.value.done, max: suggestProgress.value.total }
    : learning.value
      ? { value: evaluated.value, max: planned.value }
      : { value: download?.overallLoaded ?? 0, max: download?.overallTotal ?? 1 };
  return (
    <div class={busy.value || learning.value ? "" : "invisible"}>
      <ProgressBar
        {...shown}
        label={learning.value ? text.learn.progress : text.learn.bytesLoaded}
        side="composed"
      />
    </div>
  );
}

/** Seconds until the run's end at the pace so far; null where that is not worth telling. */
function secondsLeft(done: number, total: number): number | null {
  if (done < MEASURED) return estimated.value;
  const left = ((performance.now() - startedAt.value) / 1000 / done) * (total - done);
  return left >= WORTH_TELLING_SECONDS ? left : null;
}

function statusText() {
  const { learn } = text;
  const download = progress.value;
  if (suggestProgress.value) {
    return learn.comparing(suggestProgress.value.done, suggestProgress.value.total);
  }
  if (download) {
    const { overallLoaded, overallTotal, cached, speed } = download;
    return learn.loading(overallLoaded, overallTotal, cached, speed);
  }
  if (busy.value) return stage.value;
  if (learning.value) {
    const done = evaluated.value;
    return learn.trying(done, planned.value, secondsLeft(done, planned.value));
  }
  if (ended.value) return ended.value === "stopped" ? learn.stoppedEarly : learn.nothing;
  // What was learned for other examples says nothing of these.
  if (mix.value && mixRelation.value === "same") {
    const { run } = mix.value;
    if (!run) return linkUnbound.value ? `${learn.opened} ${learn.openedUnbound}` : learn.opened;
    return (run.complete ? learn.learned : learn.stopped)(run.seconds);
  }
  if (!base.value && isLarge.value && !chosenBase.value) {
    return learn.readyLibrary(bytes(baseBytes.value));
  }
  return (registryBase.value?.parameters ?? 0) > LARGE_MODEL ? learn.readyLarge : learn.ready;
}
