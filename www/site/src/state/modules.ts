// The modules that learning may use: those of the library, and those added by hand.

import { computed, signal } from "@preact/signals";
import { addressSource, filesSource, type LocalFile, type ModuleInfo, type Source } from "loraloom";
import { text } from "../text.js";
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

/** Adds PEFT folders of this computer, or a ZIP archive of one. */
export async function addLocalModules(chosen: Iterable<File | LocalFile>): Promise<void> {
  const files = [...chosen].map((file) =>
    "contents" in file
      ? file
      : { path: file.webkitRelativePath || file.name, contents: file as Blob },
  );
  const [first] = files;
  const archive = files.length === 1 ? first?.path.replace(/\.zip$/i, "") : null;
  const folder = first?.path.split("/").at(-2);
  const name = folder || archive || `local-${addedModules.value.length + 1}`;
  // Each of several modules has the path of its folder as its id.
  const folders = new Set(files.map(({ path }) => path.slice(0, path.lastIndexOf("/") + 1)));
  let prefix = "";
  const numbered = files.some(({ path }) => / \(\d+\)\.[a-z]+$/.test(path));
  const isTakenIn = (folder: string) =>
    isTaken(folder.slice(0, -1)) ||
    // Second downloads in one folder have ids of their own there.
    (numbered && addedModules.value.some(({ id }) => id.startsWith(`${folder}adapter_model`)));
  while ([...folders].some((one) => isTakenIn(prefix + one))) prefix += "local/";
  const prefixed = files.map(({ path, contents }) => ({ path: prefix + path, contents }));
  await addModules(name, filesSource(archive ? files : prefixed));
}

/** Adds an adapter by its hub id or its address. */
export async function addRemoteModule(typed: string): Promise<void> {
  await addModules(typed.trim(), addressSource(typed));
}

const isTaken = (id: string) =>
  entryOf(id) !== undefined || addedModules.value.some((one) => one.id === id);

async function addModules(name: string, source: Source): Promise<void> {
  moduleError.value = null;
  if (!(await ensureBase())) return;
  let id = name;
  while (isTaken(id)) id = `${id}-local`;
  const infos = await withLoading(
    text.stages.module(id),
    async () => loom.value?.addModules(id, source, downloadOptions()),
    moduleError,
  );
  if (infos) addedModules.value = [...addedModules.value, ...infos];
}
