// A folder among files of this computer that were picked or dropped, or in a ZIP archive of them.

import type { FilesSource, LocalFile } from "../protocol.js";
import { loraLoomError } from "./errors.js";
import {
  ADAPTER_CONFIG,
  ADAPTER_FILE,
  ADAPTER_WEIGHTS,
  BASE_CONFIG,
  type Folder,
} from "./pieces.js";
import { unzip, zipPaths } from "./unzip.js";

/** A path without the number of a second download. */
const plainPath = (path: string) => path.replace(/ \(\d+\)(\.[a-z]+)$/, "$1");
const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);
const depthOf = (path: string) => path.split("/").length;

/** A path with the slash of all others: archives made on Windows have another. */
const normalPath = (path: string) => path.replaceAll("\\", "/");

/** The ZIP archive that is the only one of some files; null for any others. */
function archiveOf({ files }: FilesSource): LocalFile | null {
  const [first] = files;
  return files.length === 1 && first?.path.toLowerCase().endsWith(".zip") ? first : null;
}

/** Files of this computer; of a ZIP archive those that are needed, of the source's folder where it names one. */
async function unpacked(source: FilesSource): Promise<LocalFile[]> {
  const archive = archiveOf(source);
  const wanted = new Set([ADAPTER_CONFIG, ...ADAPTER_WEIGHTS, BASE_CONFIG]);
  const { folder } = source;
  const isInside = (path: string) =>
    folder === undefined || path.startsWith(`${folder}/`) || parentOf(path) === parentOf(folder);
  const isWanted = (path: string) =>
    isInside(normalPath(path)) && wanted.has(plainPath(normalPath(path)).split("/").at(-1) ?? "");
  const all = archive ? await unzip(archive, isWanted) : source.files;
  return all.map(({ path, contents }) => ({ path: normalPath(path), contents }));
}

/** Files with plain paths; beside the first download, the second one keeps its name. */
function withPlainPaths(files: LocalFile[]): LocalFile[] {
  const exact = new Set(files.map(({ path }) => path));
  return files.map(({ path, contents }) => {
    const plain = plainPath(path);
    return { path: exact.has(plain) ? path : plain, contents };
  });
}

/** The folders with a file of that name, the topmost only; each ends with `/`, or is empty. */
function foldersOf(files: LocalFile[], name: RegExp): string[] {
  const configs = files.map(({ path }) => path).filter((path) => name.test(path));
  const top = Math.min(...configs.map(depthOf));
  return configs
    .filter((path) => depthOf(path) === top)
    .map(parentOf)
    .sort();
}

/** A PEFT folder among files of this computer, or one of the pairs of files in it. */
interface LocalAdapter {
  id: string;
  /** Its path with `/` at the end, or nothing. */
  folder: string;
  /** Files with plain paths. */
  files: LocalFile[];
}

/**
 * The adapters of a folder, by the numbers in the names of its files: `adapter_config (1).json` belongs to
 * `adapter_model (1).safetensors`.
 */
function adaptersIn(folder: string, files: LocalFile[]): LocalAdapter[] {
  const inside = files.filter(({ path }) => path.startsWith(folder));
  const parts = inside.flatMap((file) => {
    const [, parent = "", config, , number = ""] = file.path.match(ADAPTER_FILE) ?? [];
    const isPart = ADAPTER_FILE.test(file.path) && parent === folder;
    return isPart ? [{ file, number, isConfig: config !== undefined }] : [];
  });
  const configs = new Set(parts.filter(({ isConfig }) => isConfig).map(({ number }) => number));
  const weights = new Set(parts.filter(({ isConfig }) => !isConfig).map(({ number }) => number));
  // One pair may have two numbers, and one file alone lacks the other by its plain name.
  if (configs.size < 2 && weights.size < 2) {
    return [{ id: folder.replace(/\/$/, ""), folder, files: withPlainPaths(inside) }];
  }
  const alone = parts.filter(({ number }) => !(configs.has(number) && weights.has(number)));
  if (alone.length > 0) {
    const names = alone.map(({ file }) => file.path.slice(folder.length)).sort();
    throw loraLoomError("adapter-not-paired", { files: names.join(", ") });
  }
  return [...configs]
    .sort((a, b) => Number(a) - Number(b))
    .map((number) => ({
      id: `${folder}adapter_model${number && ` (${number})`}`,
      folder,
      files: parts
        .filter((part) => part.number === number)
        .map(({ file: { path, contents } }) => ({ path: plainPath(path), contents })),
    }));
}

/** The topmost adapters among files of this computer. */
function adaptersOf(files: LocalFile[]): LocalAdapter[] {
  const folders = foldersOf(files, /(^|\/)adapter_config(?: \(\d+\))?\.json$/);
  return [...new Set(folders)].flatMap((folder) => adaptersIn(folder, files));
}

/** The ids of the topmost adapters among files of this computer: the paths of their folders. */
export async function adapterFolders(source: FilesSource): Promise<string[]> {
  const archive = archiveOf(source);
  // The names are enough, and an archive may be large.
  const listed = archive ? await zipPaths(archive) : source.files.map(({ path }) => path);
  const files = listed.map((path) => ({ path: normalPath(path), contents: new Blob() }));
  return adaptersOf(files).map(({ id }) => id);
}

/** Files of this computer below a path, as a folder. */
function localFolder(source: FilesSource, files: LocalFile[], prefix: string): Folder {
  const inside = new Map(
    files
      .filter(({ path }) => path.startsWith(prefix))
      .map(({ path, contents }) => [path.slice(prefix.length), contents]),
  );
  const archive = source.files.length === 1 && source.files[0]?.path;
  return {
    name: prefix.replace(/\/$/, "") || archive || "Your folder",
    commit: null,
    names: [...inside.keys()],
    get: async (name) => inside.get(name) ?? null,
  };
}

/** The folder among files of this computer that holds a base model. */
export async function localBase(source: FilesSource): Promise<Folder> {
  const all = withPlainPaths(await unpacked(source));
  const found = [/(^|\/)config\.json$/, /\.gguf$/i].map((name) => foldersOf(all, name));
  const [first = ""] = found.find(({ length }) => length > 0) ?? [];
  return localFolder(source, all, first);
}

/** The PEFT folder among files of this computer: the one of that id, or the only one. */
export async function localAdapter(source: FilesSource): Promise<Folder> {
  const all = await unpacked(source);
  const adapters = adaptersOf(all);
  if (adapters.length > 1 && source.folder === undefined) {
    const folders = adapters.map(({ id }) => id).join(", ");
    throw loraLoomError("several-adapters", { folders });
  }
  const chosen = adapters.find(({ id }) => id === (source.folder ?? id));
  if (!chosen) {
    return localFolder(source, withPlainPaths(all), source.folder ? `${source.folder}/` : "");
  }
  return localFolder(source, chosen.files, chosen.folder);
}
