// The learning settings of the next run. Their limits, defaults and texts come from the engine.

import { computed, signal } from "@preact/signals";
import type { LearnOptions, Setting } from "loraloom";
import { readSaved, saveOnChange } from "./saved.js";
import { base, loom, registryBase } from "./session.js";

/** Parameters from which the default budget would take longer than 15 seconds on two cores. */
const LARGE_MODEL = 5e7;
/** The budget for such a model: 10 seconds with flan-t5-small. */
const LARGE_MODEL_BUDGET = 35;

/** Values that were changed, by the setting's name. */
const changed = signal<Record<string, unknown>>(readSaved("options") ?? {});
saveOnChange("options", () => changed.value);

/** The learning settings; none before the engine has started. */
export const settings = computed<Setting[]>(() => loom.value?.settings ?? []);

/** The default options of the base that is loaded, or of the one that will be. */
const defaults = computed<LearnOptions | null>(() => {
  if (!loom.value) return null;
  const { budget, ...others } = loom.value.defaults;
  const parameters = base.value?.parameters ?? registryBase.value?.parameters ?? 0;
  const most = parameters > LARGE_MODEL ? LARGE_MODEL_BUDGET : budget;
  return { ...others, budget: Math.min(budget, most) };
});

/** All options of the next run; null before the engine has started. */
export const options = computed<LearnOptions | null>(() => {
  if (!defaults.value) return null;
  const valid = settings.value
    .filter(({ name }) => name in changed.value)
    .map((setting) => [setting.name, validValue(setting, changed.value[setting.name])]);
  return { ...defaults.value, ...Object.fromEntries(valid) };
});

/** The valid value of a setting nearest to an input; its default where the input is no value. */
function validValue({ kind }: Setting, input: unknown): number | string {
  if (kind.kind === "choice") {
    return kind.choices.find(({ value }) => value === input)?.value ?? kind.default;
  }
  const number = input === "" ? Number.NaN : Number(input);
  if (Number.isNaN(number)) return kind.default;
  const nearest = Math.min(kind.max, Math.max(kind.min, number));
  return kind.kind === "integer" ? Math.round(nearest) : nearest;
}

/** Changes a setting to the valid value nearest to an input, and returns it. */
export function changeSetting(setting: Setting, input: unknown): number | string {
  const value = validValue(setting, input);
  changed.value = { ...changed.value, [setting.name]: value };
  return value;
}

/** Replaces all changed values; `{}` restores the defaults. */
export function replaceOptions(values: Partial<LearnOptions>): void {
  changed.value = values;
}
