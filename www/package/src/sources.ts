// How people write where a model or an adapter is, and the one default address of a hub.

import { LoraLoomError } from "./errors.js";
import type { Source } from "./generated/protocol.js";

/** The hub that an id without a host belongs to. */
export const DEFAULT_HUB = "https://huggingface.co";
/** The revision of an id without one. */
const DEFAULT_REVISION = "main";
/** Endings of files of weights. */
const WEIGHTS = /\.(safetensors|gguf|bin)$/;

const PART = "[A-Za-z0-9][A-Za-z0-9._-]*";
const REPO = new RegExp(`^(${PART}/${PART})(?:@([A-Za-z0-9._/-]+?))?(?:/([A-Za-z0-9._/-]+))?$`);

/**
 * Reads what a person types:
 *
 * - `google/flan-t5-small`, `google/flan-t5-small@REVISION`, `owner/name/model-q8_0.gguf`: a
 *   repository of the hub;
 * - `https://HUB/owner/name` or `https://HUB/owner/name/tree/REVISION`, copied from the hub's page;
 * - any other `https://…/`: a folder with the files; `https://…/model.gguf`: that file and its folder.
 *
 * @param hub the hub's address, where it is not {@link DEFAULT_HUB}
 * @throws {@link LoraLoomError} for what is none of these
 */
export function parseSource(text: string, hub: string = DEFAULT_HUB): Source {
  const trimmed = text.trim();
  const host = hub.replace(/\/+$/, "");
  if (/^https?:\/\//i.test(trimmed)) return parseAddress(trimmed, host);
  const match = trimmed.match(REPO);
  if (!match?.[1]) {
    throw new LoraLoomError({
      what: `"${trimmed.slice(0, 80)}" names no model or adapter.`,
      why: "Expected an id such as google/flan-t5-small, or an address that starts with https://.",
      next: "Copy the id from the hub's page, or the address of the folder that holds the files.",
    });
  }
  const [, repo, revision = DEFAULT_REVISION, file = null] = match;
  return { kind: "hub", host, repo, revision, file };
}

function parseAddress(address: string, hub: string): Source {
  const url = new URL(address);
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

/** Files as an input, a drop or a program gives them, as a source. */
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

/** A source in a few words. */
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
