// The modules that learning may use: those of the library, and those added by hand.

import { computed, signal } from "@preact/signals";
import { addressSource, filesSource, type ModuleInfo, type Source } from "loraloom";
import type { ErrorText } from "./errors.js";
import { entryOf, modulesToLoad } from "./library.js";
import { readSaved, saveOnChange } from "./saved.js";
import { base, downloadOptions, ensureBase, loom, withLoading } from "./session.js";
import { options } from "./settings.js";

/** Ids of the modules selected by hand. */
export const handPicked = signal<string[]>(readSaved("picked") ?? []);
saveOnChange("picked", () => handPicked.value);
/** Modules added from this computer, a hub or an address. */
export const addedModules = signal<ModuleInfo[]>([]);
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

/** Adds a PEFT folder of this computer, or a ZIP archive of one. */
export function addLocalModule(files: File[]): Promise<void> {
  const folder = files[0]?.webkitRelativePath.split("/").at(-2);
  const archive = files.length === 1 ? files[0]?.name.replace(/\.zip$/i, "") : null;
  const name = folder || archive || `local-${addedModules.value.length + 1}`;
  return addModule(name, filesSource(files));
}

/** Adds an adapter by its hub id or its address. */
export async function addRemoteModule(text: string): Promise<void> {
  await addModule(text.trim(), addressSource(text));
}

async function addModule(name: string, source: Source): Promise<void> {
  moduleError.value = null;
  if (!(await ensureBase())) return;
  const taken = new Set(addedModules.value.map(({ id }) => id));
  let id = name;
  while (taken.has(id) || entryOf(id)) id = `${id}-local`;
  const info = await withLoading(
    `Loading ${id}`,
    async () => loom.value?.addModule(id, source, downloadOptions()),
    moduleError,
  );
  if (info) addedModules.value = [...addedModules.value, info];
}
