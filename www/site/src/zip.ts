// ZIP archives. Files are stored as they are: float32 weights hardly compress.

import { type Zippable, zipSync } from "fflate";

/** With a fixed date, the same files give the same archive. */
const DATE = new Date(1980, 0, 1);

/** A file of an archive. */
export interface ZipFile {
  path: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** An archive of files; each is below 4 GiB, and so is their sum. */
export function zip(files: ZipFile[]): Blob {
  const named: Zippable = {};
  for (const { path, bytes } of files) named[path] = [bytes, { level: 0, mtime: DATE }];
  return new Blob([zipSync(named)], { type: "application/zip" });
}
