// The learning settings of the next run.

import { computed, signal } from "@preact/signals";
import type { LearnOptions } from "loraloom";
import { readSaved, saveOnChange } from "./saved.js";
import { loom } from "./session.js";

/** Settings that differ from the defaults. */
export const changedOptions = signal<Partial<LearnOptions>>(readSaved("options") ?? {});
saveOnChange("options", () => changedOptions.value);

/** All settings of the next run; null before the engine has started. */
export const options = computed<LearnOptions | null>(() =>
  loom.value ? { ...loom.value.defaults, ...changedOptions.value } : null,
);

/** Changes settings. */
export function changeOptions(changed: Partial<LearnOptions>): void {
  changedOptions.value = { ...changedOptions.value, ...changed };
}
