// ZIP archives of PEFT folders. A separate file because pack-dist.mjs bundles its library into it: a
// worker without a bundler cannot resolve an import by name.

import { type UnzipFileInfo, unzipSync } from "fflate";
import { type LoraLoomError, reasonOf } from "../errors.js";
import type { LocalFile } from "../protocol.js";
import { loraLoomError } from "./errors.js";

/** Limit of the length of all unpacked files: what is unpacked is held in memory. */
const MAX_UNPACKED_BYTES = 2 ** 31;
/** Limit of it for each byte of the archive: weights hardly compress, and zeros to a thousandth. */
const MAX_RATIO = 8;
/** Bytes that an archive of any length may unpack to. */
const SPARE_BYTES = 64 * 2 ** 20;

/** The paths in an archive, of which nothing is unpacked. */
export async function zipPaths(archive: LocalFile): Promise<string[]> {
  const paths: string[] = [];
  await read(archive, ({ name }) => {
    paths.push(name);
    return false;
  });
  return paths;
}

/**
 * The files of an archive whose paths are wanted.
 *
 * @throws a `LoraLoomError` for files that are many times as long as the archive, before they are unpacked
 */
export async function unzip(
  archive: LocalFile,
  isWanted: (path: string) => boolean,
): Promise<LocalFile[]> {
  const { path, contents } = archive;
  const limit = Math.min(MAX_UNPACKED_BYTES, SPARE_BYTES + MAX_RATIO * contents.size);
  let total = 0;
  // The lengths are those of the archive's directory; no file is unpacked to more.
  const files = await read(archive, ({ name, size, originalSize }) => {
    if (!isWanted(name)) return false;
    total += Math.max(size, originalSize);
    if (total > limit) throw loraLoomError("zip-too-large", { path, limit });
    return true;
  });
  return Object.entries(files).map(([name, unpacked]) => ({
    path: name,
    contents: new Blob([unpacked as Uint8Array<ArrayBuffer>]),
  }));
}

async function read(
  { path, contents }: LocalFile,
  filter: (file: UnzipFileInfo) => boolean,
): Promise<Record<string, Uint8Array>> {
  let refused: LoraLoomError | null = null;
  try {
    return unzipSync(new Uint8Array(await contents.arrayBuffer()), {
      filter: (file) => {
        try {
          return filter(file);
        } catch (error) {
          refused = error as LoraLoomError;
          throw error;
        }
      },
    });
  } catch (error) {
    throw refused ?? loraLoomError("zip-invalid", { path, reason: reasonOf(error) }, error);
  }
}
