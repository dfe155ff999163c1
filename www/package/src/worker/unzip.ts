// ZIP archives of PEFT folders. A file of its own because pack-dist.mjs puts the library that it uses
// into it: a worker without a bundler cannot resolve an import by name.

import { unzipSync } from "fflate";
import type { LocalFile } from "../generated/protocol.js";
import { report } from "./transfer.js";

/** The largest file taken out of an archive. */
const MOST_UNPACKED_BYTES = 2 ** 30;

/** The files of an archive that have one of these names, in whatever folder of it. */
export async function unzip(
  { path, contents }: LocalFile,
  wanted: ReadonlySet<string>,
): Promise<LocalFile[]> {
  try {
    const files = unzipSync(new Uint8Array(await contents.arrayBuffer()), {
      filter: ({ name, originalSize }) =>
        wanted.has(name.split("/").at(-1) ?? "") && originalSize <= MOST_UNPACKED_BYTES,
    });
    return Object.entries(files).map(([name, unpacked]) => ({
      path: name,
      contents: new Blob([unpacked as Uint8Array<ArrayBuffer>]),
    }));
  } catch (error) {
    throw report(
      `${path} could not be unpacked.`,
      `It should be a ZIP archive: ${error instanceof Error ? error.message : error}.`,
      "Pack the PEFT folder again, or drop the folder itself.",
    );
  }
}
