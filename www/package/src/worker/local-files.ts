// Files of this computer by their `file:` addresses, in Node, Deno and Bun: read as if a server sent them.

import { nodeModule } from "../node.js";
import { streamOf } from "./node-folder.js";

/** Whether files can be read here by their addresses. */
export function canReadLocalFiles(): boolean {
  return nodeModule("node:fs") !== null;
}

/** Whether an address is that of a file which can be read here. */
export function isLocalFile(url: string): boolean {
  return /^file:/i.test(url) && canReadLocalFiles();
}

function modules() {
  const [fs, url] = [nodeModule("node:fs"), nodeModule("node:url")];
  if (!fs || !url) throw new Error("Files cannot be read here.");
  return { fs, pathOf: url.fileURLToPath };
}

/** The bytes of a file. */
export function readLocalFile(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const { fs, pathOf } = modules();
  return fs.promises.readFile(pathOf(url));
}

/** The names of a folder's files; none where there is no such folder. */
export function localNames(folder: string): Promise<string[]> {
  const { fs, pathOf } = modules();
  return fs.promises.readdir(pathOf(folder)).catch(() => []);
}

/** The response to a request of a file: `GET` and `HEAD`, whole or in a range. */
export async function fetchLocalFile(url: string, init: RequestInit): Promise<Response> {
  const { fs, pathOf } = modules();
  const file = await fs.promises.open(pathOf(url), "r").catch((error) => {
    if (["ENOENT", "ENOTDIR"].includes(error.code)) return null;
    throw error;
  });
  const stats = await file?.stat();
  await file?.close();
  if (!stats?.isFile()) return new Response(null, { status: 404 });
  const { size } = stats;
  const range = new Headers(init.headers).get("Range")?.match(/^bytes=(\d+)-(\d*)$/);
  const start = range ? Number(range[1]) : 0;
  const end = range?.[2] ? Math.min(Number(range[2]) + 1, size) : size;
  const headers = new Headers({ ETag: `"${size}-${stats.mtimeMs}"` });
  if (range && start >= size) {
    headers.set("Content-Range", `bytes */${size}`);
    return new Response(null, { status: 416, headers });
  }
  headers.set("Content-Length", String(end - start));
  if (range) headers.set("Content-Range", `bytes ${start}-${end - 1}/${size}`);
  const status = range ? 206 : 200;
  if (init.method === "HEAD") return new Response(null, { status, headers });
  const body = streamOf(pathOf(url), start, end);
  return new Response(body, { status, headers });
}
