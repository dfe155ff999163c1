// The static hosts for which docs/hosting has ready files: nginx and Caddy themselves, and servers that do what GitHub
// Pages, Netlify and Cloudflare Pages document of theirs. Each serves a folder from an origin of its own.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Host, serveWith } from "./servers";

/** A ready file of docs/hosting. */
export const readyFile = (name: string) =>
  readFileSync(join(__dirname, "../../docs/hosting", name), "utf8");

/** A ready file without the two headers that isolate a page. */
export const withoutIsolation = (text: string) =>
  text
    .split("\n")
    .filter((line) => !/Cross-Origin-(Opener|Embedder)-Policy/.test(line))
    .join("\n");

/** Debian's servers may be outside of a user's PATH. */
const PATH = `${process.env.PATH}:/usr/sbin`;

/** Whether a program is installed. */
export function isInstalled(program: string): boolean {
  try {
    execFileSync("which", [program], { stdio: "ignore", env: { ...process.env, PATH } });
    return true;
  } catch {
    return false;
  }
}

/** Replaces a text that has to be there once. */
function replaceOnce(text: string, found: RegExp, replacement: string): string {
  if ((text.match(new RegExp(found, "gm")) ?? []).length !== 1) {
    throw new Error(`the ready file has not one ${found}`);
  }
  return text.replace(new RegExp(found, "m"), replacement);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** Runs a server's program in a folder of its own until it answers. */
async function runServer(
  port: number,
  files: Record<string, string>,
  command: (folder: string) => string[],
): Promise<Host> {
  const folder = mkdtempSync(join(tmpdir(), "loraloom-host-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const [program = "", ...words] = command(folder);
  // Caddy keeps what it stores in the home folder.
  const server = spawn(program, words, {
    cwd: folder,
    env: { ...process.env, PATH, HOME: folder },
  });
  let printed = "";
  server.stderr.on("data", (data: Buffer) => {
    printed += data;
  });
  const ended = new Promise<void>((done) => server.once("exit", () => done()));
  const url = `http://127.0.0.1:${port}/`;
  const close = async () => {
    server.kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  for (;;) {
    if (server.exitCode !== null) {
      await close();
      throw new Error(`${program} ended:\n${printed}`);
    }
    if (await fetch(url).catch(() => null)) break;
    await new Promise((done) => setTimeout(done, 50));
  }
  // A ready file is one that the server takes without a word.
  if (/\[(warn|emerg)\]|"level":"error"/.test(printed)) {
    await close();
    throw new Error(printed);
  }
  return { url, close };
}

/** nginx with a server block such as the ready file's. */
export async function nginx(folder: string, serverBlock: string): Promise<Host> {
  const port = await freePort();
  let block = replaceOnce(serverBlock, /listen 80;/, `listen 127.0.0.1:${port};`);
  block = replaceOnce(block, /^ *root .*;/, `root ${folder};`);
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const isRoot = process.getuid?.() === 0;
  const main = [
    ...(isRoot ? ["user root;"] : []),
    "daemon off; pid nginx.pid; error_log stderr warn; events {}",
    `http { access_log off; ${paths.map((name) => `${name}_temp_path ${name};`).join(" ")}`,
    "include loraloom.conf; }",
  ];
  const types = "/etc/nginx/mime.types";
  const files = { "nginx.conf": main.join("\n"), "loraloom.conf": block };
  return runServer(port, files, (own) => {
    symlinkSync(types, join(own, "mime.types"));
    return ["nginx", "-p", `${own}/`, "-c", "nginx.conf", "-e", "stderr"];
  });
}

/** Caddy with a site block such as the ready file's. */
export async function caddy(folder: string, siteBlock: string): Promise<Host> {
  const port = await freePort();
  // Without a name there is no certificate to get.
  let block = replaceOnce(siteBlock, /^example\.org \{/, `http://127.0.0.1:${port} {`);
  block = replaceOnce(block, /root \* .*/, `root * ${folder}`);
  const text = `{\n\tadmin off\n}\n${block}`;
  return runServer(port, { Caddyfile: text }, (own) => [
    "caddy",
    "run",
    "--config",
    join(own, "Caddyfile"),
  ]);
}

/** As GitHub Pages: the same headers for every file, whatever the folder says. */
export const githubPages = (folder: string): Promise<Host> =>
  serveWith(folder, () => ({
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "max-age=600",
  }));

/** A rule of `_headers`: a path, and the headers of all files there. */
interface HeadersRule {
  path: string;
  headers: [name: string, value: string][];
}

/** Most rules, and characters of a line, that Cloudflare Pages reads. */
const CLOUDFLARE_RULES = 100;
const CLOUDFLARE_LINE = 2000;
/** Bytes of the largest file that Cloudflare Pages takes. */
export const CLOUDFLARE_FILE = 25 * 1024 * 1024;

/** Reads `_headers` by the rules that Netlify and Cloudflare Pages share, with the stricter of their limits. */
export function parseHeaders(text: string): HeadersRule[] {
  const rules: HeadersRule[] = [];
  for (const line of text.split("\n")) {
    const content = line.trim();
    if (content.length > CLOUDFLARE_LINE) throw new Error(`longer than a line may be: ${content}`);
    if (!content || content.startsWith("#")) continue;
    if (!/^\s/.test(line)) {
      // Cloudflare takes one asterisk, and Netlify takes it at the end.
      if (!/^\/[^*:]*\*?$/.test(content)) throw new Error(`no path for both hosts: ${content}`);
      rules.push({ path: content, headers: [] });
      continue;
    }
    const [, name, value] = /^([\w-]+): (.+)$/.exec(content) ?? [];
    if (!name || !value) throw new Error(`no header: ${content}`);
    const rule = rules.at(-1);
    if (!rule) throw new Error(`no path before ${content}`);
    rule.headers.push([name, value]);
  }
  if (rules.length > CLOUDFLARE_RULES) throw new Error(`${rules.length} rules`);
  return rules;
}

/** As Netlify and Cloudflare Pages: the headers of every rule of the folder's `_headers` that a path matches, joined. */
export function headersFile(folder: string): Promise<Host> {
  const rules = parseHeaders(readFileSync(join(folder, "_headers"), "utf8"));
  return serveWith(folder, (path) => {
    const found: Record<string, string> = { "Cache-Control": "public, max-age=0, must-revalidate" };
    const given = new Set<string>();
    for (const { path: pattern, headers } of rules) {
      const isPrefix = pattern.endsWith("*");
      if (isPrefix ? !path.startsWith(pattern.slice(0, -1)) : path !== pattern) continue;
      for (const [name, value] of headers) {
        found[name] = given.has(name) ? `${found[name]}, ${value}` : value;
        given.add(name);
      }
    }
    return found;
  });
}

/** A folder in which another one lies under a name, as a site does under a sub-path. */
export function underPath(parent: string, name: string, folder: string): string {
  const root = mkdtempSync(join(parent, "host-"));
  symlinkSync(folder, join(root, name));
  return root;
}
