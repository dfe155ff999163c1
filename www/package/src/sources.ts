// Parsing and describing the place of a model or an adapter, and the default address of a hub.

import { loraLoomError } from "./errors.js";
import type { Source } from "./protocol.js";

/** The hub that an id without a host belongs to. */
export const DEFAULT_HUB = "https://huggingface.co";
/** The revision where none is given. */
const DEFAULT_REVISION = "main";
/** File names of weights. */
const WEIGHTS = /\.(safetensors|gguf|bin)$/;

const PART = "[A-Za-z0-9][A-Za-z0-9._-]*";
const REPO = new RegExp(`^(${PART}/${PART})(?:@([A-Za-z0-9._/-]+?))?(?:/([A-Za-z0-9._/-]+))?$`);

/**
 * The source that a person typed:
 *
 * - `google/flan-t5-small`, `google/flan-t5-small@REVISION`, `owner/name/model-q8_0.gguf`: a
 *   repository of the hub;
 * - `https://HUB/owner/name` or `https://HUB/owner/name/tree/REVISION`, copied from the hub's page;
 * - any other `https://…/`: a folder with the files; `https://…/model.gguf`: that file and its folder.
 *
 * @param hub the hub's address, where it is not {@link DEFAULT_HUB}
 * @throws {@link LoraLoomError} with code `invalid-input` for anything else
 *
 * @example
 * ```ts
 * const source = parseSource("google/flan-t5-small@main");
 * console.log(describeSource(source)); // google/flan-t5-small
 * ```
 */
export function parseSource(text: string, hub: string = DEFAULT_HUB): Source {
  const trimmed = text.trim();
  const host = hub.replace(/\/+$/, "");
  const invalid = () => loraLoomError("source-invalid", { source: trimmed.slice(0, 80) });
  if (/^https?:\/\//i.test(trimmed)) {
    try {
      return parseAddress(new URL(trimmed), host);
    } catch {
      throw invalid();
    }
  }
  const match = trimmed.match(REPO);
  if (!match?.[1]) throw invalid();
  const [, repo, revision = DEFAULT_REVISION, file = null] = match;
  return { kind: "hub", host, repo, revision, file };
}

function parseAddress(url: URL, hub: string): Source {
  url.hash = "";
  const onHub = url.href.startsWith(`${hub}/`);
  if (onHub) {
    const path = url.href.slice(hub.length + 1).replace(/[?#].*$/, "");
    const match = path.match(
      /^([^/]+\/[^/]+?)(?:\/(?:tree|blob|resolve)\/([^/]+)(?:\/(.+?))?)?\/?$/,
    );
    if (match?.[1]) {
      const [, repo, revision = DEFAULT_REVISION, file = null] = match;
      return { kind: "hub", host: hub, repo, revision, file: file?.match(WEIGHTS) ? file : null };
    }
  }
  const name = url.pathname.split("/").at(-1) ?? "";
  if (WEIGHTS.test(name)) return { kind: "folder", url: new URL(".", url).href, file: name };
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return { kind: "folder", url: url.href, file: null };
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

/** A source in a few words, for people. */
export function describeSource(source: Source): string {
  switch (source.kind) {
    case "registry":
      return source.id ?? "the library's first model";
    case "hub":
      return source.file ? `${source.repo}/${source.file}` : source.repo;
    case "folder":
      return source.url + (source.file ?? "");
    case "files":
      return source.files.map(({ path }) => path.split("/").at(-1)).join(", ");
  }
}
