// The texts of the errors that the worker throws.

import { errorsOf, isErrorReport, LoraLoomError, reasonOf, text } from "../errors.js";
import type { ErrorReport, Placeholder } from "../generated/types.js";

/** The report of anything thrown. */
export function reportOf(error: unknown): ErrorReport {
  const known = isErrorReport(error)
    ? error
    : loraLoomError("unknown", { reason: reasonOf(error) });
  const { code, what, why, next, details } = known;
  return { code, what, why, next, details };
}

/** The engine's error about the files of a model, where those are this computer's: no host has them. */
export function aboutLocalFiles(error: unknown): unknown {
  const isEngines = isErrorReport(error) && !(error instanceof LoraLoomError);
  if (!isEngines || error.code !== "invalid-input") return error;
  return { ...error, next: "Choose the files again, or export the model anew." };
}

/** The last two parts of an address, as a name for people. */
export function shortName(url: string): string {
  const path = new URL(url).pathname.split("/").slice(-2).join("/");
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

interface Stall {
  url: string;
  seconds: number;
  loaded: number;
  total: number | string;
}

/** Names of the calls of which one runs at a time. */
const CALLS = {
  learn: "Learning",
  tune: "Tuning",
  assess: "The assessment",
  leaveOneOut: "Measuring the modules",
  generate: "Generating",
  route: "Routing",
  test: "The test",
  score: "Scoring",
  suggest: "The search for modules",
};

/** The calls of which one runs at a time. */
export type LongCall = keyof typeof CALLS;

const KEPT = "what was already loaded is kept.";

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;

/** The error of a kind that the worker throws. */
export const loraLoomError = errorsOf({
  "no-such-folder": ({ folder }: { folder: string }) =>
    text(
      "unsupported",
      "The engine did not start.",
      `The option storageFolder is a folder's path, for Node; this is no such place: ${folder}.`,
      "Leave it out in a browser, which has storage of its own.",
    ),
  // The engine and its worker.
  trap: ({ reason }: { reason: string }) =>
    text(
      "internal",
      "The engine stopped.",
      `It met a state that it does not handle (${reason}).`,
      "It is started again with what was loaded. Try once more, and report it if it comes back.",
    ),
  "trap-memory": ({ reason, bytes, more }: { reason: string; bytes: number; more: number }) =>
    text(
      "out-of-memory",
      "The engine stopped.",
      `It held ${megabytes(bytes)} of memory, and the browser did not give it another ${megabytes(more)} (${reason}).`,
      "It is started again with what was loaded. Use fewer modules or shorter inputs.",
    ),
  "engine-memory": ({ reason, bytes }: { reason: string; bytes: number }) =>
    text(
      "out-of-memory",
      "The engine did not start.",
      `The browser does not give this tab the ${megabytes(bytes)} of memory that it starts with: ${reason}.`,
      "Close other tabs, then try again.",
    ),
  unknown: ({ reason }: { reason: string }) =>
    text(
      "internal",
      "The request failed.",
      reason,
      "Try again; if it happens again, reload the page.",
    ),
  busy: ({ call, running }: { call: LongCall; running: LongCall }) =>
    text(
      "busy",
      `${CALLS[call]} did not start.`,
      `${CALLS[running]} is still running, and the model does one thing at a time.`,
      "Wait for it to finish, or stop it first.",
    ),
  "no-simd": (_: object) =>
    text(
      "unsupported",
      "This browser cannot run the model.",
      "It has no WebAssembly SIMD, which every build of the engine needs.",
      "Use Chrome or Edge 116+, Firefox 124+ or Safari 17.4+.",
    ),
  "wasm-not-loaded": ({ url, reason }: { url: string; reason: string }) =>
    text(
      "network",
      "The engine could not be loaded.",
      `${url} did not load: ${reason}.`,
      "Check the connection and that the site's wasm folder is served, then try again.",
    ),
  "storage-folder": ({ path, reason }: { path: string; reason: string }) =>
    text(
      "invalid-input",
      "The folder for stored files could not be opened.",
      `${path}: ${reason}.`,
      "Choose a folder that this process can write to, or leave the option storageFolder out.",
    ),
  "storage-silent": ({ reason }: { reason: string }) =>
    text(
      "unsupported",
      "The stored files could not be listed.",
      `The browser's storage does not answer: ${reason}.`,
      "Try again; where that does not help, restart the browser.",
    ),
  "not-started": (_: object) =>
    text(
      "not-loaded",
      "Nothing is loaded yet.",
      "The engine was not started.",
      "Open a library first.",
    ),
  "base-not-loaded": (_: object) =>
    text(
      "not-loaded",
      "The model is not loaded yet.",
      "This needs the base model, and it was not fetched.",
      "Load the model first.",
    ),

  // What a library, a repository or a folder contains.
  "base-not-in-library": ({ id, bases }: { id: string; bases: string }) =>
    text(
      "not-found",
      "The base model was not found.",
      `The library has no base "${id}"; it has ${bases || "none"}.`,
      "Choose one of those, or another library.",
    ),
  "module-not-in-library": ({ id }: { id: string }) =>
    text(
      "not-found",
      `The module "${id}" was not found.`,
      "The library does not list it.",
      "Choose a module from the library, or add its PEFT folder.",
    ),
  "module-of-other-base": ({ id, base, loaded }: { id: string; base: string; loaded: string }) =>
    text(
      "invalid-input",
      `The module "${id}" does not fit.`,
      `It was trained for the base "${base}"; "${loaded}" is loaded.`,
      "Choose modules of the loaded base.",
    ),
  "task-not-in-library": ({ id }: { id: string }) =>
    text(
      "not-found",
      "The test set was not found.",
      `The library has no task "${id}".`,
      "Choose a task of the library.",
    ),
  "repository-not-found": ({ repo, hub, status }: { repo: string; hub: string; status: number }) =>
    text(
      "not-found",
      `${repo} was not found.`,
      `At ${hub} it does not exist, or is private (${status}).`,
      "Check the id; a private model's files can be downloaded and dropped on the page.",
    ),
  "listing-invalid": ({ repo, url }: { repo: string; url: string }) =>
    text(
      "invalid-input",
      `The files of ${repo} are not known.`,
      `Expected a list of files at ${url}, found something else.`,
      "Check the hub's address, or give the address of the folder that holds the files.",
    ),
  "file-not-in-folder": ({
    folder,
    expected,
    found,
  }: Record<"folder" | "expected" | "found", string>) =>
    text(
      "not-found",
      `${folder} lacks a file.`,
      `Expected ${expected}, found ${found || "no files"}.`,
      "Check that it is a T5, Flan-T5, mT5, UMT5 or ByT5 model, or a PEFT adapter of one, with all its files.",
    ),
  "file-not-on-host": ({ folder, expected }: Record<"folder" | "expected", string>) =>
    text(
      "not-found",
      `${folder} was not found, or lacks a file.`,
      `Expected ${expected}, found no such file.`,
      "Check that it is a T5, Flan-T5, mT5, UMT5 or ByT5 model, or a PEFT adapter of one, with all its files.",
    ),
  placeholder: ({
    file,
    place,
    placeholder,
  }: {
    file: string;
    place: string;
    placeholder: Placeholder;
  }) =>
    placeholder === "lfs-pointer"
      ? text(
          "integrity",
          `${file} is a Git LFS pointer, not the file.`,
          `${place} was cloned without Git LFS, which holds the contents elsewhere.`,
          "Fetch the contents with git lfs pull, or download the file itself.",
        )
      : text(
          "integrity",
          `${file} is a web page, not the file.`,
          `${place} answered with HTML, as some hosts do for files that they do not have.`,
          "Check the address; on a hub, a file's own address has /resolve/ in it.",
        ),
  "local-web-page": ({ file }: { file: string; placeholder: Placeholder }) =>
    text(
      "integrity",
      `${file} is a web page, not the file.`,
      "It holds HTML: the page of the file was saved, or what a site shows for a file that it does not have.",
      "Download the file itself, and choose it again.",
    ),
  "adapter-not-paired": ({ files }: { files: string }) =>
    text(
      "invalid-input",
      "Which files belong together is not known.",
      `Expected an adapter_config and an adapter_model of the same number, found without the other: ${files}.`,
      "Choose the two files of each module, or put each module in a folder of its own.",
    ),
  "model-not-module": ({ folder, type }: Record<"folder" | "type", string>) =>
    text(
      "invalid-input",
      "This is a model, not a module.",
      `${folder} has a config.json of the model type “${type}”, and no adapter_config.json.`,
      "Open it as the model: on the page, under “Use another model”.",
    ),
  "module-not-model": ({ folder }: { folder: string }) =>
    text(
      "invalid-input",
      "This is a module, not a model.",
      `${folder} has an adapter_config.json, and no config.json.`,
      "Add it to the modules, with the model that it was trained for.",
    ),
  "several-adapters": ({ folders }: { folders: string }) =>
    text(
      "invalid-input",
      "There are several modules.",
      `Expected one PEFT folder, found ${folders}.`,
      "Choose one of them, or add all with addModules().",
    ),
  "zip-invalid": ({ path, reason }: { path: string; reason: string }) =>
    text(
      "invalid-input",
      `${path} could not be unpacked.`,
      `It should be a ZIP archive: ${reason}.`,
      "Pack the PEFT folder again, or drop the folder itself.",
    ),
  "zip-too-large": ({ path, limit }: { path: string; limit: number }) =>
    text(
      "invalid-input",
      `${path} was not unpacked.`,
      `Its files would take more than ${limit} bytes, many times the archive's own.`,
      "Pack fewer PEFT folders, or drop the folders themselves.",
    ),
  "nothing-to-share": (_: object) =>
    text(
      "not-loaded",
      "There is nothing to share yet.",
      "No base model is loaded.",
      "Load the model and learn first.",
    ),

  // Downloads.
  "no-answer": ({ url, reason }: { url: string; reason: string }) =>
    text(
      "network",
      `${shortName(url)} could not be fetched.`,
      `No answer from ${new URL(url).host || url}: ${reason}.`,
      `Check the connection, and that the server lets other sites read its files (CORS); ${KEPT}`,
    ),
  "host-unreachable": ({ folder, url, reason }: Record<"folder" | "url" | "reason", string>) =>
    text(
      "network",
      `${folder} could not be reached.`,
      `No answer for ${url}: ${reason}.`,
      "Check the address and the connection, and that the server lets other sites read its files (CORS).",
    ),
  stalled: ({ url, seconds, loaded, total }: Stall) =>
    text(
      "network",
      `${shortName(url)} stopped loading.`,
      `No byte came for ${seconds} seconds; ${loaded} of ${total} bytes are here.`,
      `Check the connection and try again; ${KEPT}`,
    ),
  "connection-broke": ({ url, reason }: { url: string; reason: string }) =>
    text(
      "network",
      `${shortName(url)} stopped loading.`,
      `The connection broke: ${reason}.`,
      `Check the connection and try again; ${KEPT}`,
    ),
  "http-status": ({ url, status }: { url: string; status: number }) => {
    const what = `${shortName(url)} could not be fetched.`;
    switch (status) {
      case 401:
      case 403:
        return text(
          "network",
          what,
          `The server gives ${url} only to people who are signed in (${status}).`,
          "Choose a public model, or download the files yourself and drop them on the page.",
        );
      case 404:
        return text(
          "not-found",
          what,
          url.startsWith("file:")
            ? `There is no such file: ${url}.`
            : `The server has no such file (404): ${url}.`,
          "Check the address, and that every file was published; or choose another.",
        );
      case 429:
        return text(
          "network",
          what,
          `The server had too many requests from here (429): ${url}.`,
          `Wait some minutes and try again; ${KEPT}`,
        );
      default:
        return text(
          "network",
          what,
          `The server answered ${status} instead of the file: ${url}.`,
          `Wait a little and try again; ${KEPT}`,
        );
    }
  },
  "wrong-hash": ({
    url,
    kind,
    expected,
    found,
  }: Record<"url" | "kind" | "expected" | "found", string>) =>
    text(
      "integrity",
      `${shortName(url)} is not the file that the ${kind === "SHA-256" ? "registry" : "hub"} names.`,
      `Expected ${kind} ${expected.slice(0, 12)}…, found ${found.slice(0, 12)}… at ${url}: the file was changed or damaged.`,
      "None of it was used. Reload the page for a newer list of files, or tell whoever hosts it.",
    ),
  "wrong-size": ({ url, expected, found }: { url: string; expected: number; found: number }) =>
    text(
      "integrity",
      `${shortName(url)} has the wrong size.`,
      `Expected ${expected} bytes, the server sent ${found <= expected ? found : `more than ${expected}`}: the file was cut short or changed.`,
      "None of it was used. Try again, or tell whoever hosts the file.",
    ),
  "keeps-changing": ({ url, times }: { url: string; times: number }) =>
    text(
      "integrity",
      `${shortName(url)} changes again and again.`,
      `${times} times the file at ${url} became another one before all of it had come.`,
      "Try again later, or tell whoever hosts the file.",
    ),
  "too-large": ({ url, limit }: { url: string; limit: number }) =>
    text(
      "invalid-input",
      `${shortName(url)} is too large.`,
      `Expected at most ${limit} bytes at ${url}, found more.`,
      "Check that the address is the right one.",
    ),
  "file-out-of-memory": ({ url, bytes }: { url: string; bytes: number }) =>
    text(
      "out-of-memory",
      `${shortName(url)} does not fit in memory.`,
      `It takes ${megabytes(bytes)}, more than this tab can hold.`,
      "Close other tabs, or choose a smaller model.",
    ),
});
