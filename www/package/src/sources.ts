// Making and describing the source of a model or an adapter, and the default address of a hub.

import type { LocalFile, PeftFiles, Source } from "./protocol.js";

/** The hub that an id without a host belongs to. */
export const DEFAULT_HUB = "https://huggingface.co";

/**
 * The source that a person typed:
 *
 * - `google/flan-t5-small`, `OWNER/NAME/FOLDER`, `OWNER/NAME/model-q8_0.gguf`, each with `@REVISION`: a
 *   repository of the hub, or a folder in it;
 * - the address of a page of the hub, of a repository, a revision, a folder or a file;
 * - any other `https://…`, and `file:///…` in Node: a folder with the files, or one of them.
 *
 * A base that is a GGUF file of llama.cpp needs no other file in its folder.
 *
 * The engine resolves it: `load` and `addModule` reject anything else with
 * code `invalid-input`.
 *
 * @example
 * ```ts
 * const source = addressSource("google/flan-t5-small@main");
 * console.log(describeSource(source)); // google/flan-t5-small@main
 * ```
 */
export function addressSource(text: string): Source {
  return { kind: "address", text: text.trim() };
}

/**
 * The source of files of this computer: of an `<input type="file">`, a drop, or made by a program.
 *
 * @example
 * ```ts
 * const source = filesSource([
 *   { path: "mine/adapter_config.json", contents: new Blob(["{}"]) },
 *   { path: "mine/adapter_model.safetensors", contents: new Blob(["…"]) },
 * ]);
 * ```
 */
export function filesSource(files: Iterable<File | { path: string; contents: Blob }>): Source {
  return {
    kind: "files",
    files: [...files].map((file) =>
      "contents" in file
        ? file
        : { path: file.webkitRelativePath || file.name, contents: file as Blob },
    ),
  };
}

/**
 * The files of a drop: those dropped, and all that dropped folders contain.
 *
 * @example
 * ```ts
 * const onDrop = async ({ dataTransfer }: DragEvent) => {
 *   if (!dataTransfer) return;
 *   await loom.addModules("dropped", filesSource(await droppedFiles(dataTransfer)));
 * };
 * ```
 */
export async function droppedFiles(transfer: DataTransfer): Promise<LocalFile[]> {
  // The items are gone after the first await.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry());
  const inside = await Promise.all(entries.map((entry) => (entry ? filesIn(entry) : [])));
  return inside.flat();
}

async function filesIn(entry: FileSystemEntry): Promise<LocalFile[]> {
  if (entry.isFile) {
    const file = entry as FileSystemFileEntry;
    const contents = await new Promise<File>((resolve, reject) => file.file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), contents }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: LocalFile[] = [];
  for (;;) {
    // Each call returns some of them, and none after the last.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return files;
    for (const inner of entries) files.push(...(await filesIn(inner)));
  }
}

/** A source, or what a person typed; without either, a base of the registry, by its id or the first one. */
export function asSource(source: Source | string | undefined, id: string | null = null): Source {
  if (source === undefined) return { kind: "registry", id };
  return typeof source === "string" ? addressSource(source) : source;
}

/** The two files of a PEFT folder as a source of a module. */
export function adapterSource({ config, weights }: PeftFiles): Source {
  return filesSource([
    { path: "adapter_config.json", contents: new Blob([config]) },
    { path: "adapter_model.safetensors", contents: new Blob([weights]) },
  ]);
}

/** A source in a few words, for people. */
export function describeSource(source: Source): string {
  switch (source.kind) {
    case "registry":
      return source.id ?? "the library's first model";
    case "address":
      return source.text;
    case "hub":
      return [source.repo, source.folder, source.file].filter(Boolean).join("/");
    case "folder":
      return source.url + (source.file ?? "");
    case "files":
      return source.files.map(({ path }) => path.split("/").at(-1)).join(", ");
  }
}
