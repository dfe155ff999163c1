// A local hub for tests, with the addresses, redirects and headers of Hugging Face, and faults on demand.
//
//   GET /api/models/OWNER/NAME/revision/REVISION       the commit that a branch is at
//   GET /api/models/OWNER/NAME/tree/REVISION/FOLDER    the files of a folder, large ones with their SHA-256
//   GET /OWNER/NAME/resolve/REVISION/FILE              small files; a redirect to the CDN for large ones
//
// A revision is a commit, or any name, which is that of a branch at the newest one; `?recursive=1` lists sub-folders too.
// The CDN is another origin (another port), serves ranges, and identifies versions by ETag.

import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";

/** Larger files are on the CDN, as files in Git LFS are. */
const LARGE = 1000;

/** The bytes of a file, or its path on disk. */
export type Contents = Uint8Array | string;

/** A file with its size and hash. */
class ServedFile {
  readonly #contents: Contents;
  #description: { size: number; sha256: string; oid: string } | null = null;

  constructor(contents: Contents) {
    this.#contents = contents;
  }

  async describe(): Promise<{ size: number; sha256: string; oid: string }> {
    if (this.#description) return this.#description;
    const hash = createHash("sha256");
    let size = 0;
    let small: Buffer[] = [];
    for await (const chunk of this.read(0, Number.POSITIVE_INFINITY)) {
      hash.update(chunk);
      size += chunk.length;
      small = size > LARGE ? [] : [...small, chunk];
    }
    const sha256 = hash.digest("hex");
    // Git has the pointer of a large file.
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
    const blob = size > LARGE ? Buffer.from(pointer) : Buffer.concat(small);
    const oid = createHash("sha1").update(`blob ${blob.length}\0`).update(blob).digest("hex");
    this.#description = { size, sha256, oid };
    return this.#description;
  }

  read(start: number, end: number): AsyncIterable<Buffer> {
    const contents = this.#contents;
    if (typeof contents === "string") return createReadStream(contents, { start, end: end - 1 });
    return Readable.from([Buffer.from(contents.subarray(start, end))]);
  }
}

/** The files of a repository by name, at one commit. */
type Snapshot = Map<string, ServedFile>;

/** The commit of a snapshot: a name of its files and their contents. */
async function commitOf(snapshot: Snapshot): Promise<string> {
  const hash = createHash("sha1");
  for (const name of [...snapshot.keys()].sort()) {
    hash.update(`${name} ${(await snapshot.get(name)?.describe())?.sha256}\n`);
  }
  return hash.digest("hex");
}

/** A repository: its snapshots, the newest one last. */
class Repository {
  readonly #snapshots: Snapshot[];

  constructor(files: Snapshot) {
    this.#snapshots = [files];
  }

  /** Adds a commit that replaces a file. */
  replace(name: string, contents: Contents): void {
    const newest = new Map(this.#snapshots.at(-1));
    this.#snapshots.push(newest.set(name, new ServedFile(contents)));
  }

  /** The files at a commit, or at any branch; nothing for a commit that there is not. */
  async at(revision: string): Promise<Snapshot | undefined> {
    if (!/^[0-9a-f]{40}$/.test(revision)) return this.#snapshots.at(-1);
    for (const snapshot of this.#snapshots) {
      if ((await commitOf(snapshot)) === revision) return snapshot;
    }
    return undefined;
  }
}

/** Injected faults. Each number is used once. */
export interface Faults {
  /** Bytes after which the connection of a large file is dropped, one number per response. */
  cuts: number[];
  /** Bytes after which a response stalls, one number per response. */
  stalls: number[];
  /** Number of responses with status 429. */
  tooMany: number;
  /** Seconds in their `Retry-After`. */
  retryAfter: number;
  /** Whether range requests get the whole file. */
  ignoresRanges: boolean;
  /** Whether a file that is not there is answered with a page, as hosts of one-page sites do. */
  pages: boolean;
}

/** A running hub. */
export interface Hub {
  /** Its address. */
  url: string;
  /** "METHOD path range" of each request, those to the CDN included. */
  requests: string[];
  faults: Faults;
  /** Replaces a file, in a commit of its own. */
  replace(repo: string, name: string, contents: Contents): void;
  close(): Promise<void>;
}

/** Starts a hub with repositories: the files of each by name, or the path of a folder. */
export async function startHub(
  repos: Record<string, Record<string, Contents> | string>,
): Promise<Hub> {
  const repositories = new Map<string, Repository>();
  for (const [repo, listing] of Object.entries(repos)) {
    const entries = typeof listing === "string" ? await folderFiles(listing) : listing;
    const served = Object.entries(entries).map(
      ([name, contents]) => [name, new ServedFile(contents)] as const,
    );
    repositories.set(repo, new Repository(new Map(served)));
  }
  const requests: string[] = [];
  const faults: Faults = {
    cuts: [],
    stalls: [],
    tooMany: 0,
    retryAfter: 0,
    ignoresRanges: false,
    pages: false,
  };
  let cdnUrl = "";

  const cors = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers":
      "ETag, Content-Range, Accept-Ranges, X-Linked-Size, X-Linked-ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
  };

  async function send(
    request: IncomingMessage,
    response: ServerResponse,
    served: ServedFile,
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
          const resume = () => {
            response.off("drain", resume).off("close", resume);
            resolve();
          };
          response.on("drain", resume).on("close", resume);
        });
      }
      sent += part.length;
      if (response.destroyed) return;
      if (part.length < chunk.length || sent >= stop) {
        // Sent bytes arrive before the connection is dropped.
        if (cut !== undefined) setTimeout(() => response.destroy(), 5);
        return;
      }
    }
    response.end();
  }

  function reject(
    response: ServerResponse,
    status: number,
    text: string,
    headers: Record<string, string> = {},
  ): void {
    response.writeHead(status, { ...cors, "Content-Type": "text/plain", ...headers });
    response.end(text);
  }

  function record(request: IncomingMessage): string {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const range = request.headers.range ? ` ${request.headers.range}` : "";
    requests.push(`${request.method} ${pathname}${range}`);
    return decodeURIComponent(pathname);
  }

  /** Answers a CORS preflight as the CDN does: no header beyond the safelisted ones. */
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

  const parameter = (request: IncomingMessage, name: string) =>
    new URL(request.url ?? "/", "http://localhost").searchParams.get(name);

  const cdn = createServer(async (request, response) => {
    const path = record(request);
    if (preflight(request, response)) return;
    const [, repo, name] = path.match(/^\/([^/]+\/[^/]+)\/(.+)$/) ?? [];
    const revision = parameter(request, "revision") ?? "";
    const served = (await repositories.get(repo ?? "")?.at(revision))?.get(name ?? "");
    if (!served) reject(response, 403, "the signature has expired");
    else send(request, response, served).catch(() => response.destroy());
  });

  const front = createServer(async (request, response) => {
    const path = record(request);
    if (preflight(request, response)) return;
    if (faults.tooMany > 0) {
      faults.tooMany--;
      reject(response, 429, "too many requests", { "Retry-After": String(faults.retryAfter) });
      return;
    }
    const [, asked, question, revision = "", folder = ""] =
      path.match(/^\/api\/models\/([^/]+\/[^/]+)\/(tree|revision)\/([^/]+)(?:\/(.+))?$/) ?? [];
    if (asked && !repositories.has(asked)) {
      reject(response, 401, "Invalid username or password.");
      return;
    }
    if (asked) {
      const snapshot = await repositories.get(asked)?.at(revision);
      if (!snapshot) {
        reject(response, 404, "Invalid rev id");
        return;
      }
      if (question === "revision") {
        response.writeHead(200, { ...cors, "Content-Type": "application/json" });
        response.end(JSON.stringify({ id: asked, sha: await commitOf(snapshot) }));
        return;
      }
      const listing = [];
      for (const [name, served] of snapshot) {
        const parent = name.split("/").slice(0, -1).join("/");
        const isBelow = !folder || `${parent}/`.startsWith(`${folder}/`);
        if (parameter(request, "recursive") ? !isBelow : parent !== folder) continue;
        const { size, sha256, oid } = await served.describe();
        const entry = { type: "file", oid, size, path: name };
        listing.push(size > LARGE ? { ...entry, lfs: { oid: sha256, size } } : entry);
      }
      response.writeHead(200, { ...cors, "Content-Type": "application/json" });
      response.end(JSON.stringify(listing));
      return;
    }
    const [, repo, at = "", name] = path.match(/^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/) ?? [];
    const served = (await repositories.get(repo ?? "")?.at(at))?.get(name ?? "");
    if (!served && repo && faults.pages) {
      response.writeHead(200, { ...cors, "Content-Type": "text/html; charset=utf-8" });
      response.end("<!doctype html><title>Home</title>");
      return;
    }
    if (!served) {
      reject(response, 404, "Entry not found");
      return;
    }
    const { size, sha256 } = await served.describe();
    if (size <= LARGE) {
      send(request, response, served).catch(() => response.destroy());
      return;
    }
    response.writeHead(302, {
      ...cors,
      Location: `${cdnUrl}/${repo}/${name}?revision=${at}&signature=${randomUUID()}`,
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
  cdnUrl = await listen(cdn);
  return {
    url: await listen(front),
    requests,
    faults,
    replace: (repo, name, contents) => repositories.get(repo)?.replace(name, contents),
    close: async () => {
      for (const server of [front, cdn]) {
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
