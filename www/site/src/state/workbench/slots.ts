// The two places where mixes are kept to compare them.

import { setDesk } from "./faders.js";
import { rightOf, shownAnswers, shownChecks, shownTests } from "./results.js";
import type { Kept, Slot, Workbench } from "./types.js";

/** Keeps the mix in a slot, with what is known of it. */
export function keep(bench: Workbench, slot: Slot): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const answers = shownAnswers(bench);
  const checks = shownChecks(bench);
  const kept: Kept = {
    desk: mix.desk,
    answer:
      answers?.composed?.done && answers.current
        ? { input: answers.input, text: answers.composed.text }
        : null,
    correct: checks && rightOf(checks.assessment),
    loss: checks?.loss ?? null,
    test: shownTests(bench)?.composed?.result ?? null,
  };
  return { ...bench, slots: { ...bench.slots, [slot]: kept } };
}

/** Puts a kept mix back on the faders. */
export function recall(bench: Workbench, slot: Slot): Workbench {
  const kept = bench.slots[slot];
  return kept ? setDesk(bench, kept.desk) : bench;
}
