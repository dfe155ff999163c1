// Polishing: a few gradient steps on the mix's examples, from the mix as it is heard.

import { batch, computed, signal } from "@preact/signals";
import type { TuneCall, TuneStep } from "loraloom";
import { ensureMix, noteLoaded } from "./answer.js";
import { checks, mix, unpolishedMix, update } from "./bench.js";
import { inForeground } from "./engine-turn.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { occupied, polishing } from "./learn.js";
import { loom, readMemory } from "./session.js";
import { audible } from "./workbench/faders.js";
import { takePolished } from "./workbench/mix.js";
import { rightOf } from "./workbench/results.js";

/** The steps of one run. */
export const STEPS = 20;
/**
 * What a step takes, in evaluations of the learning run: in Chromium with two threads 1.9 to 3.0 on the demo's
 * tasks; natively 1.8.
 */
const EVALUATIONS_PER_STEP = 2.5;

/** The last step of the run in progress; null before the first. */
export const lastStep = signal<TuneStep | null>(null);
/** The error of the last run, with the version of the mix that it was to polish. */
const failure = signal<{ version: number; error: ErrorText | null } | null>(null);
export const polishError = computed(() =>
  failure.value?.version === mix.value?.version ? (failure.value?.error ?? null) : null,
);

/** The seconds that polishing will take, by the pace of the run that found the mix; null for one from a link. */
export const expectedSeconds = computed(() => {
  const run = mix.value?.run;
  if (!run?.evaluations) return null;
  return (run.seconds / run.evaluations) * EVALUATIONS_PER_STEP * STEPS;
});

let running: TuneCall | null = null;
let version = 0;
let stopped = false;

// What is made of a mix that is no longer shown is not worth waiting for.
mix.subscribe((current) => {
  if (polishing.peek() && current?.version !== version) stopPolishing();
});

const newId = () => `tuned-${Math.random().toString(36).slice(2, 10)}`;

/** Polishes the mix. */
export async function polish(): Promise<void> {
  const before = mix.value;
  const composition = unpolishedMix.value;
  const known = checks.value;
  const examples = before?.task?.examples;
  if (!before || !composition || !known || !examples?.length || occupied.value) return;
  if (before.desk.tuned || !audible(before).length) return;
  version = before.version;
  const id = newId();
  failure.value = null;
  lastStep.value = null;
  stopped = false;
  polishing.value = true;
  try {
    if (!(await ensureMix()) || !loom.value || stopped) return;
    const engine = loom.value;
    const result = await inForeground(async () => {
      running = engine.tune({
        examples,
        composition,
        options: { part: "scales", steps: STEPS, leaveOut: false },
        id,
        onStep: (step) => {
          lastStep.value = step;
        },
      });
      if (stopped) void running.stop();
      return running;
    });
    const { scales, seconds, steps, complete, assessment, loss } = result;
    if (!scales || mix.value?.version !== before.version) return;
    const rightBefore = rightOf(known.assessment).correct;
    const run = { seconds, steps: steps.length, complete, rightBefore };
    batch(() => {
      polishing.value = false;
      const tuned = { id, scales, run };
      update((now) => takePolished(now, { version, tuned, assessment, loss }));
      noteLoaded();
    });
    await readMemory();
  } catch (error) {
    failure.value = { version: before.version, error: toErrorText(error) };
  } finally {
    running = null;
    polishing.value = false;
  }
}

/** Stops; the steps made so far are kept. */
export function stopPolishing(): void {
  stopped = true;
  void running?.stop();
}
