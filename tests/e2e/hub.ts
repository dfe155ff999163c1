// A hub on this machine, for tests: the addresses, redirects, headers and limits of the one that people
// use, and its faults when a test asks for them.
//
//   GET /api/models/OWNER/NAME/tree/REVISION          the list of files, large ones with their SHA-256
//   GET /OWNER/NAME/resolve/REVISION/FILE              small files; a redirect to the content network for large ones
//
// The content network is another origin (another port), answers ranges, and names versions by ETag.

import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";

/** Files longer than this are on the content network, as files in Git LFS are. */
const LARGE = 1000;

/** A file's bytes, or its path on the disk. */
export type Contents = Uint8Array | string;

/** One file. */
class Served {
  readonly #contents: Contents;
  #known: { size: number; sha256: string } | null = null;

  constructor(contents: Contents) {
    this.#contents = contents;
  }

  async describe(): Promise<{ size: number; sha256: string }> {
    if (this.#known) return this.#known;
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of this.read(0, Number.POSITIVE_INFINITY)) {
      hash.update(chunk);
      size += chunk.length;
    }
    this.#known = { size, sha256: hash.digest("hex") };
    return this.#known;
  }

  read(start: number, end: number): AsyncIterable<Buffer> {
    const contents = this.#contents;
    if (typeof contents === "string") return createReadStream(contents, { start, end: end - 1 });
    return Readable.from([Buffer.from(contents.subarray(start, end))]);
  }
}

/** What goes wrong. Each number is used up as it is met. */
export interface Faults {
  /** Bytes after which the connection of a large file breaks, one for each answer. */
  cuts: number[];
  /** Answers that send nothing after these bytes. */
  stalls: number[];
  /** Answers of 429 to give. */
  tooMany: number;
  /** The seconds that they ask to wait. */
  retryAfter: number;
  /** Whether ranges are answered with the whole file. */
  ignoresRanges: boolean;
}

/** A hub that runs. */
export interface Hub {
  /** Its address. */
  url: string;
  /** "METHOD path range" of each request, the content network's too. */
  requests: string[];
  faults: Faults;
  /** Replaces a file, as a new upload does. */
  replace(repo: string, name: string, contents: Contents): void;
  close(): Promise<void>;
}

/** Starts a hub with these repositories: the files of each by name, or the path of their folder. */
export async function startHub(
  repos: Record<string, Record<string, Contents> | string>,
): Promise<Hub> {
  const files = new Map<string, Map<string, Served>>();
  for (const [repo, listing] of Object.entries(repos)) {
    const entries = typeof listing === "string" ? await folderFiles(listing) : listing;
    files.set(
      repo,
      new Map(Object.entries(entries).map(([name, contents]) => [name, new Served(contents)])),
    );
  }
  const requests: string[] = [];
  const faults: Faults = { cuts: [], stalls: [], tooMany: 0, retryAfter: 0, ignoresRanges: false };
  let contentUrl = "";

  const cors = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers":
      "ETag, Content-Range, Accept-Ranges, X-Linked-Size, X-Linked-ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
  };

  async function send(
    request: IncomingMessage,
    response: ServerResponse,
    served: Served,
  ): Promise<void> {
    const { size, sha256 } = await served.describe();
    const etag = `"${sha256}"`;
    const headers: Record<string, string> = {
      ...cors,
      ETag: etag,
      "Accept-Ranges": "bytes",
      "Content-Type": "application/octet-stream",
    };
    const range = request.headers.range?.match(/^bytes=(\d+)-(\d*)$/);
    const current =
      request.headers["if-range"] === undefined || request.headers["if-range"] === etag;
    let [start, end] = [0, size];
    let status = 200;
    if (range && current && !faults.ignoresRanges) {
      start = Number(range[1]);
      end = range[2] ? Math.min(size, Number(range[2]) + 1) : size;
      if (start >= size) {
        response.writeHead(416, { ...headers, "Content-Range": `bytes */${size}` });
        response.end();
        return;
      }
      status = 206;
      headers["Content-Range"] = `bytes ${start}-${end - 1}/${size}`;
    }
    response.writeHead(status, { ...headers, "Content-Length": end - start });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const cut = size > LARGE ? faults.cuts.shift() : undefined;
    const stall = size > LARGE ? faults.stalls.shift() : undefined;
    const stop = cut ?? stall ?? Number.POSITIVE_INFINITY;
    let sent = 0;
    for await (const chunk of served.read(start, end)) {
      const part = chunk.subarray(0, stop - sent);
      if (part.length && !response.write(part)) {
        await new Promise<void>((resolve) => {
          const goOn = () => {
            response.off("drain", goOn).off("close", goOn);
            resolve();
          };
          response.on("drain", goOn).on("close", goOn);
        });
      }
      sent += part.length;
      if (response.destroyed) return;
      if (part.length < chunk.length || sent >= stop) {
        // The bytes on their way arrive first: a connection breaks behind what was received.
        if (cut !== undefined) setTimeout(() => response.destroy(), 5);
        return;
      }
    }
    response.end();
  }

  function refuse(
    response: ServerResponse,
    status: number,
    text: string,
    headers: Record<string, string> = {},
  ): void {
    response.writeHead(status, { ...cors, "Content-Type": "text/plain", ...headers });
    response.end(text);
  }

  function note(request: IncomingMessage): string {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const range = request.headers.range ? ` ${request.headers.range}` : "";
    requests.push(`${request.method} ${pathname}${range}`);
    return decodeURIComponent(pathname);
  }

  /** Leave for other sites to ask, as the content network gives it: no header beyond the safe ones. */
  function preflight(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.method !== "OPTIONS") return false;
    response.writeHead(204, {
      ...cors,
      "Access-Control-Allow-Methods": "GET, HEAD",
      "Access-Control-Allow-Headers": "Range",
    });
    response.end();
    return true;
  }

  const content = createServer((request, response) => {
    const path = note(request);
    if (preflight(request, response)) return;
    const [, repo, name] = path.match(/^\/([^/]+\/[^/]+)\/(.+)$/) ?? [];
    const served = files.get(repo ?? "")?.get(name ?? "");
    if (!served) refuse(response, 403, "the signature has expired");
    else send(request, response, served).catch(() => response.destroy());
  });

  const front = createServer(async (request, response) => {
    const path = note(request);
    if (preflight(request, response)) return;
    if (faults.tooMany > 0) {
      faults.tooMany--;
      refuse(response, 429, "too many requests", { "Retry-After": String(faults.retryAfter) });
      return;
    }
    const [, listed] = path.match(/^\/api\/models\/([^/]+\/[^/]+)\/tree\/[^/]+$/) ?? [];
    const repository = files.get(listed ?? "");
    if (repository) {
      const listing = [];
      for (const [name, served] of repository) {
        const { size, sha256 } = await served.describe();
        const entry = { type: "file", oid: randomUUID(), size, path: name };
        listing.push(size > LARGE ? { ...entry, lfs: { oid: sha256, size } } : entry);
      }
      response.writeHead(200, { ...cors, "Content-Type": "application/json" });
      response.end(JSON.stringify(listing));
      return;
    }
    const [, repo, name] = path.match(/^\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/) ?? [];
    const served = files.get(repo ?? "")?.get(name ?? "");
    if (!served) {
      refuse(response, 404, "Entry not found");
      return;
    }
    const { size, sha256 } = await served.describe();
    if (size <= LARGE) {
      send(request, response, served).catch(() => response.destroy());
      return;
    }
    response.writeHead(302, {
      ...cors,
      Location: `${contentUrl}/${repo}/${name}?signature=${randomUUID()}`,
      "X-Linked-Size": String(size),
      "X-Linked-ETag": `"${sha256}"`,
    });
    response.end();
  });

  const listen = (server: Server) =>
    new Promise<string>((resolve) =>
      server.listen(0, "localhost", () =>
        resolve(`http://localhost:${(server.address() as AddressInfo).port}`),
      ),
    );
  contentUrl = await listen(content);
  return {
    url: await listen(front),
    requests,
    faults,
    replace: (repo, name, contents) => files.get(repo)?.set(name, new Served(contents)),
    close: async () => {
      for (const server of [front, content]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

/** The files directly in a folder. */
async function folderFiles(folder: string): Promise<Record<string, Contents>> {
  const entries: Record<string, Contents> = {};
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const found = await stat(path);
    if (found.isFile()) entries[name] = found.size > LARGE ? path : await readFile(path);
  }
  return entries;
}
