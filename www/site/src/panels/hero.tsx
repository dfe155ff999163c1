// The first screen: what this is, one button, what is downloaded, and what runs it.

import "./hero.css";
import { Problem } from "../components/problem.js";
import { ProgressBar } from "../components/progress-bar.js";
import { bytes } from "../format.js";
import { restored } from "../state/composition.js";
import { learning } from "../state/learn.js";
import { baseBytes, isLarge } from "../state/library.js";
import {
  base,
  busy,
  cancelLoading,
  chosenBase,
  loom,
  progress,
  restartError,
  stage,
  start,
  startError,
} from "../state/session.js";
import { task } from "../state/task.js";
import { linkError, runDemo } from "../state/workflow.js";
import { DeviceFacts } from "./device.js";
import { DownloadFacts } from "./download.js";

/** The widest window that shows the panels below each other. */
const ONE_COLUMN_WIDTH = 999;

/** The head of the page. */
export function Hero() {
  const ready = loom.value !== null;
  const run = () => {
    void runDemo();
    if (innerWidth > ONE_COLUMN_WIDTH) return;
    const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.getElementById("learn")?.scrollIntoView({ behavior: smooth ? "smooth" : "auto" });
  };
  return (
    <header class="hero">
      <p class="brand">LoraLoom</p>
      <h1>
        A small language model learns a new task from five examples, in this tab, by mixing add-ons
        (LoRA adapters) that others trained.
      </h1>
      <div class="start">
        <button type="button" class="primary" disabled={!ready || busy.value} onClick={run}>
          Learn a task now
        </button>
        <div class="loading">
          <Loading />
        </div>
      </div>
      <Problem error={startError.value}>
        {!ready && (
          <button type="button" onClick={() => void start()}>
            Try again
          </button>
        )}
      </Problem>
      <Problem error={linkError.value} />
      <Problem error={restartError.value} />
      <dl class="facts">
        <DownloadFacts />
        <DeviceFacts />
      </dl>
    </header>
  );
}

/** The current download, in bytes; its place is kept when there is none. */
function Loading() {
  const current = progress.value;
  return (
    <>
      <p role="status" aria-live="off">
        {busy.value ? (
          <>
            <span class="what">{current?.file}</span>
            {current
              ? `${current.cached ? "From this browser’s cache: " : ""}${bytes(current.overallLoaded)} of ${bytes(current.overallTotal)}`
              : stage.value}
          </>
        ) : (
          idleText()
        )}
      </p>
      <div class="with-stop">
        <ProgressBar
          value={current?.overallLoaded ?? (base.value ? 1 : 0)}
          max={current?.overallTotal ?? 1}
          label="Bytes loaded"
        />
        <button type="button" class="quiet" hidden={!busy.value} onClick={cancelLoading}>
          Stop
        </button>
      </div>
      <p class="visually-hidden" role="status" aria-live="polite">
        {busy.value ? stage.value : base.value ? "The model is loaded." : ""}
      </p>
    </>
  );
}

function idleText() {
  if (restored.value && !learning.value) return `Opened from a link: ${restored.value.title}`;
  if (base.value) return "Model and modules are loaded.";
  if (!loom.value) return "";
  if (isLarge.value && !chosenBase.value) {
    return `Downloads the model first, about ${bytes(baseBytes.value)}, then the modules that fit your examples.`;
  }
  return `Uses ${task.value ? "the example task" : "your examples"} below. Takes a few seconds.`;
}
