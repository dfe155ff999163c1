// A static server for the built site, with its Content Security Policy and the headers that allow shared memory
// and so threads. Any static host works; without those headers the site's service worker adds them.
//
//   node pkg-scripts/serve.mjs [FOLDER] [--port N] [--no-isolation]
//
// FOLDER defaults to www/dist, --port to the first free port from 8080 on.
import { existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sirv from "sirv";
import { ISOLATION, POLICY } from "../www/site/policy.mjs";

const FIRST_PORT = 8080;
const PORTS_TRIED = 50;

/**
 * Serves a folder on 127.0.0.1 and resolves to its address. `port` defaults to the first free port from
 * 8080 on; 0 lets the system choose.
 *
 * @param {string} folder
 * @param {{ port?: number, isolated?: boolean, policy?: boolean }} options
 */
export async function serve(folder, { port, isolated = true, policy = true } = {}) {
  const setHeaders = (response, pathname) => {
    // Names under assets/ contain a hash of their content.
    const hashed = /(^|\/)assets\//.test(pathname);
    response.setHeader(
      "Cache-Control",
      hashed ? "public, max-age=31536000, immutable" : "no-cache",
    );
    response.setHeader("X-Content-Type-Options", "nosniff");
    const headers = {
      ...(policy ? { "Content-Security-Policy": POLICY } : {}),
      ...(isolated ? ISOLATION : {}),
    };
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  };
  // sirv reads the names and sizes of files once, and the site may be built again while it is served.
  let files;
  let builtAt;
  const current = () => {
    const at = statSync(join(folder, "index.html"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (at !== builtAt) files = sirv(folder, { etag: true, setHeaders });
    builtAt = at;
    return files;
  };
  const server = createServer((request, response) =>
    current()(request, response, () => {
      response.writeHead(404, { "Content-Type": "text/plain; charset=utf-8" });
      response.end(`There is no ${request.url} here.\n`);
    }),
  );
  const listen = (candidate) =>
    new Promise((done, failed) => {
      server.once("error", failed);
      server.listen(candidate, "127.0.0.1", () => {
        server.off("error", failed);
        done();
      });
    });

  if (port !== undefined) {
    await listen(port);
  } else {
    for (let candidate = FIRST_PORT; ; candidate += 1) {
      try {
        await listen(candidate);
        break;
      } catch (error) {
        if (error.code !== "EADDRINUSE" || candidate >= FIRST_PORT + PORTS_TRIED) throw error;
      }
    }
  }
  const url = `http://127.0.0.1:${server.address().port}/`;
  const close = () =>
    new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    });
  return { url, close };
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { port: { type: "string" }, "no-isolation": { type: "boolean", default: false } },
  });
  const folder = resolve(
    positionals[0] ?? join(dirname(fileURLToPath(import.meta.url)), "../www/dist"),
  );
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port < 65536)) {
    console.error(`error: --port needs a number from 0 to 65535, not ${values.port}`);
    process.exit(1);
  }
  if (!existsSync(folder)) {
    console.error(
      `error: there is no folder ${folder}\n       Build the site first: ./pkg-scripts/build`,
    );
    process.exit(1);
  }
  const isolated = !values["no-isolation"];
  try {
    const { url } = await serve(folder, { port, isolated });
    console.log(`\n   LoraLoom is at ${url}`);
    console.log(
      isolated
        ? "   Isolated, so the page may use threads. Ctrl+C stops the server."
        : "   Without isolation, as a plain host: the page's service worker adds it. Ctrl+C stops the server.",
    );
  } catch (error) {
    if (error.code !== "EADDRINUSE") throw error;
    console.error(
      `error: port ${port} is taken\n       Choose another, or leave --port out to take the first free one.`,
    );
    process.exit(1);
  }
}
