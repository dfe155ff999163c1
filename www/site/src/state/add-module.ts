// Adding modules from this computer, a hub or an address; only the opened panel loads it.

import { addressSource, filesSource, type LocalFile, type Source } from "loraloom";
import { text } from "../text.js";
import { entryOf } from "./library.js";
import { addedModules, moduleError } from "./modules.js";
import { downloadOptions, ensureBase, loom, withLoading } from "./session.js";

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
