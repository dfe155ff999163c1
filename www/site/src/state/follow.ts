// What follows the faders: the composed answer, the answers to the examples, and the loss, computed in the
// background for the newest position. Positions that were passed meanwhile are skipped.

import { effect, signal } from "@preact/signals";
import { bench, checks, composition, mix, update } from "./bench.js";
import { engaged, inBackground } from "./engine-turn.js";
import { learning } from "./learn.js";
import { base, busy, loom } from "./session.js";
import { ensureTuned } from "./tuned.js";
import { takeAnswer, takeChecks } from "./workbench/results.js";

/** Versions that cannot be computed, as their modules are not loaded. */
let failed = 0;
/** Whether it computes; its end starts what was missed meanwhile. */
const following = signal(false);

/** Whether something of the current version is missing. */
function missing(): "answer" | "checks" | null {
  const { mix, answers } = bench.value;
  if (!mix || mix.version === failed) return null;
  const composed = answers?.composed;
  if (composed && composed.version !== mix.version) return "answer";
  return mix.task?.examples.length && (checks.value?.loss ?? null) === null ? "checks" : null;
}

/** Computes what is missing until nothing is, or until a visitor starts something. */
async function follow(): Promise<void> {
  following.value = true;
  try {
    await inBackground(async (signal) => {
      while (!signal.aborted && missing()) await step(signal);
    });
  } finally {
    following.value = false;
  }
}

async function step(signal: AbortSignal): Promise<void> {
  const engine = loom.value;
  const current = composition.value;
  const { version } = mix.value ?? { version: 0 };
  if (!engine || !current) return;
  try {
    await ensureTuned();
    if (missing() === "answer") {
      const input = bench.value.answers?.input ?? "";
      const { text, complete } = await engine.generate({ input, composition: current, signal });
      update((now) => takeAnswer(now, input, "composed", { text, done: complete }, version));
      return;
    }
    const examples = mix.value?.task?.examples ?? [];
    const outdated = new AbortController();
    const ending = effect(() => {
      if (mix.value?.version !== version) outdated.abort();
    });
    try {
      const call = {
        examples,
        composition: current,
        signal: AbortSignal.any([signal, outdated.signal]),
      };
      const { loss } = await engine.score(call);
      const assessment = checks.value?.assessment ?? (await engine.assess(call));
      update((now) => takeChecks(now, { version, assessment, loss }));
    } finally {
      ending();
    }
  } catch {
    // Cancelled; or an error, which the next answer that a visitor asks for reports.
    if (!signal.aborted && mix.value?.version === version) failed = version;
  }
}

/** Follows the faders from now on. */
export function followFaders(): void {
  effect(() => {
    const free = engaged.value === 0 && !learning.value && !busy.value;
    if (free && base.value && loom.value && missing() && !following.value) void follow();
  });
}
