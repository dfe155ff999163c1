// A static host of the site that tests own: a folder that can be replaced by another build, with the headers that
// a host may or may not send, and that can go down.

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";
import { ISOLATION, POLICY } from "../../www/site/policy.mjs";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

export class Host {
  /** The folder that is served. */
  folder: string;
  /** Paths that are missing, as in the middle of an upload. */
  missing = new Set<string>();
  /** The paths that were requested, in order. */
  requests: string[] = [];
  readonly #headers: Record<string, string>;
  #server: Server | null = null;
  #port = 0;

  constructor(folder: string, { isolated }: { isolated: boolean }) {
    this.folder = folder;
    this.#headers = isolated ? { "Content-Security-Policy": POLICY, ...ISOLATION } : {};
  }

  /** The site's address, which outlives a stop. */
  get url(): string {
    return `http://localhost:${this.#port}/loom/`;
  }

  async start(): Promise<void> {
    const server = createServer(async ({ url = "/", headers }, response) => {
      const { pathname } = new URL(url, "http://localhost");
      const path = normalize(pathname).replace(/^\/loom\//, "") || "index.html";
      this.requests.push(path);
      const bytes = this.missing.has(path)
        ? null
        : await readFile(join(this.folder, path)).catch(() => null);
      const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
      const type = TYPES[extname(path)] ?? "application/octet-stream";
      const common = { "Content-Type": type, "Cache-Control": "no-cache", ...this.#headers };
      if (!bytes || !pathname.startsWith("/loom/")) {
        response.writeHead(404, { ...common, "Content-Type": "text/plain" }).end("no such file");
      } else if (from) {
        const end = to ? Number(to) + 1 : bytes.length;
        const range = `bytes ${from}-${end - 1}/${bytes.length}`;
        response.writeHead(206, { ...common, "Content-Range": range });
        response.end(bytes.subarray(Number(from), end));
      } else {
        response.writeHead(200, { ...common, "Content-Length": bytes.length }).end(bytes);
      }
    });
    await new Promise<void>((done) => server.listen(this.#port, "localhost", done));
    this.#port = (server.address() as { port: number }).port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    await new Promise((done) => {
      if (!server) return done(null);
      server.close(done);
      server.closeAllConnections();
    });
  }
}
