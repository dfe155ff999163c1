// The modules that learning may use: those of the library, and those added by hand.

import { computed, signal } from "@preact/signals";
import type { LoadedModule } from "loraloom";
import type { ErrorText } from "./errors.js";
import { modulesToLoad } from "./library.js";
import { readSaved, saveOnChange } from "./saved.js";
import { base } from "./session.js";
import { options } from "./settings.js";

/** Ids of the modules selected by hand. */
export const handPicked = signal<string[]>(readSaved("picked") ?? []);
saveOnChange("picked", () => handPicked.value);
/** Modules added from this computer, a hub or an address. */
export const addedModules = signal<LoadedModule[]>([]);
/** The error of adding a module. */
export const moduleError = signal<ErrorText | null>(null);

// Another base, or a new engine, does not hold them.
base.subscribe(() => {
  addedModules.value = [];
});

/** Ids of the modules that the next run may choose from. */
export const candidates = computed(() => {
  const all = [...modulesToLoad.value, ...addedModules.value].map(({ id }) => id);
  return options.value?.selection === "by-hand"
    ? all.filter((id) => handPicked.value.includes(id))
    : all;
});

/** Selects a module by hand, or deselects it. */
export function pick(id: string, picked: boolean): void {
  const others = handPicked.value.filter((one) => one !== id);
  handPicked.value = picked ? [...others, id] : others;
}
