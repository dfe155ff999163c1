// ZIP archives of PEFT folders. A separate file because pack-dist.mjs bundles its library into it: a
// worker without a bundler cannot resolve an import by name.

import { unzipSync } from "fflate";
import { reasonOf } from "../errors.js";
import type { LocalFile } from "../protocol.js";
import { loraLoomError } from "./errors.js";

/** Limit of the length of an unpacked file. */
const MAX_UNPACKED_BYTES = 2 ** 30;

/** The files of an archive whose paths are wanted. */
export async function unzip(
  { path, contents }: LocalFile,
  isWanted: (path: string) => boolean,
): Promise<LocalFile[]> {
  try {
    const files = unzipSync(new Uint8Array(await contents.arrayBuffer()), {
      filter: ({ name, originalSize }) => isWanted(name) && originalSize <= MAX_UNPACKED_BYTES,
    });
    return Object.entries(files).map(([name, unpacked]) => ({
      path: name,
      contents: new Blob([unpacked as Uint8Array<ArrayBuffer>]),
    }));
  } catch (error) {
    throw loraLoomError("zip-invalid", { path, reason: reasonOf(error) }, error);
  }
}
