// Files of examples, and why pasted text was refused: fetched when one is read.

import { details } from "../details-text.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { pasteExamples, taskError } from "./task.js";

/** The error of pasted text that the engine refused, whose text is about files: they can be saved anew. */
export function refusedPaste(pasted: string | Uint8Array, error: unknown): ErrorText | null {
  const [before, after] = typeof pasted === "string" ? pasted.split("\uFFFD", 2) : [];
  if (before === undefined || after === undefined) return toErrorText(error);
  return details.lostCharacter(before.split("\n").length);
}

/** The largest file of examples that is read. */
const MAX_FILE_BYTES = 4 * 2 ** 20;

/** The bytes of a file of examples; null, with an error, where it is too large. */
export async function readExamplesFile(file: File): Promise<Uint8Array | null> {
  if (file.size > MAX_FILE_BYTES) {
    taskError.value = details.fileTooLarge(
      file.name,
      Math.round(file.size / 2 ** 20),
      MAX_FILE_BYTES / 2 ** 20,
    );
    return null;
  }
  return new Uint8Array(await file.arrayBuffer());
}

/** Reads a file of examples into the table. */
export async function readFile(file: File | undefined): Promise<void> {
  const contents = file && (await readExamplesFile(file));
  if (contents) await pasteExamples(contents);
}
