// A static server whose headers each test chooses. It answers as static hosts do: text and WebAssembly compressed, parts
// of files where they are asked for, and folders at addresses with a slash.

import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/** Headers of the response to a path. */
export type HeadersOf = (path: string) => Record<string, string>;

/** The headers of an isolated page. */
export const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** The headers with which hosts of packages serve every file. */
export const PACKAGE_HOST = {
  "Access-Control-Allow-Origin": "*",
  "Cross-Origin-Resource-Policy": "cross-origin",
};

/** A server that runs. */
export interface Host {
  /** Its address, with a slash at the end. */
  url: string;
  close(): Promise<void>;
}

/** Serves a folder from an origin of its own. */
export async function serveWith(folder: string, headersOf: HeadersOf): Promise<Host> {
  const server = createServer(({ url = "/", headers }, response) => {
    const path = decodeURIComponent(new URL(url, "http://host").pathname);
    let file = join(folder, normalize(path));
    const own = headersOf(path);
    if (existsSync(file) && statSync(file).isDirectory()) {
      if (!path.endsWith("/")) {
        response.writeHead(301, { ...own, Location: `${path}/` }).end();
        return;
      }
      file = join(file, "index.html");
    }
    const type = TYPES[extname(file)];
    const all = { "Content-Type": type ?? "application/octet-stream", ...own };
    if (!existsSync(file)) {
      response.writeHead(404, { ...all, "Content-Type": "text/plain" }).end();
      return;
    }
    const bytes = readFileSync(file);
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
    if (from) {
      const end = to ? Number(to) + 1 : bytes.length;
      const range = `bytes ${from}-${end - 1}/${bytes.length}`;
      response.writeHead(206, { ...all, "Content-Range": range });
      response.end(bytes.subarray(Number(from), end));
    } else if (type && /\bgzip\b/.test(String(headers["accept-encoding"]))) {
      response.writeHead(200, { ...all, "Content-Encoding": "gzip", Vary: "Accept-Encoding" });
      response.end(gzipSync(bytes, { level: 1 }));
    } else {
      response.writeHead(200, { ...all, "Content-Length": bytes.length }).end(bytes);
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  return { url, close };
}
