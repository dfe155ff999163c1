// The site's service worker, with two jobs:
//
// - It keeps the files of one build of the site (a release), so that the page opens without a network. A new
//   release is kept whole or not at all, and takes over at once; a page of an earlier one keeps its files, whose
//   names contain their hashes, until it is closed or reloaded.
// - Where the page requests it, it isolates pages by headers that the host does not send.
//
// It leaves the library and everything of other origins to the network: the package stores and checks those.

import type { Isolation, Release, SiteMessage, SiteState } from "./release.js";

declare const self: ServiceWorkerGlobalScope;
/** Written by the build. */
declare const RELEASE: Release;

const { scope } = self.registration;
/** Another site of the same origin has other caches. */
const PREFIX = `loraloom-site ${new URL(scope).pathname} `;
const CURRENT = PREFIX + RELEASE.id;
/** What outlives this worker: the isolation, the WebAssembly build in use, and the release of each page. */
const STATE = `loraloom-state ${new URL(scope).pathname}`;

/** Files that never change: their names contain a hash. */
const HASHED = /^assets\//;

const addressOf = (path: string) => new URL(path === "index.html" ? "./" : path, scope).href;

/** The path of an address in the site; null for one elsewhere. */
function pathOf(address: string): string | null {
  const { origin, pathname } = new URL(address);
  const root = new URL(scope);
  if (origin !== root.origin || !pathname.startsWith(root.pathname)) return null;
  return pathname.slice(root.pathname.length) || "index.html";
}

/** Reads and writes the state; its keys are addresses that no file has. */
const stateUrl = (key: string) => addressOf(`.state/${encodeURIComponent(key)}`);
async function readState(key: string): Promise<string | null> {
  const found = await (await caches.open(STATE)).match(stateUrl(key));
  return found ? found.text() : null;
}
async function writeState(key: string, value: string): Promise<void> {
  await (await caches.open(STATE)).put(stateUrl(key), new Response(value));
}

const readIsolation = async () => ((await readState("isolation")) ?? "none") as Isolation;

/** The kept copy of a file whose name contains a hash, of any release. */
async function findHashed(path: string): Promise<Response | undefined> {
  for (const name of await caches.keys()) {
    if (!name.startsWith(PREFIX)) continue;
    const found = await (await caches.open(name)).match(addressOf(path));
    if (found) return found;
  }
  return undefined;
}

/** Keeps a file of this release, checked against its hash. */
async function keep(path: string): Promise<void> {
  const cache = await caches.open(CURRENT);
  const url = addressOf(path);
  if (await cache.match(url)) return;
  const hashed = HASHED.test(path);
  const earlier = hashed ? await findHashed(path) : undefined;
  const response =
    earlier ??
    (await fetch(url, {
      integrity: RELEASE.files[path] as string,
      cache: hashed ? "default" : "no-cache",
    }));
  if (!response.ok) throw new Error(`${url} has status ${response.status}`);
  const { status, statusText, headers } = response;
  // A new response: one that was redirected would be refused for a page.
  await cache.put(url, new Response(response.body, { status, statusText, headers }));
}

const enginePaths = (build: string | null) => (build && RELEASE.engines[build]) || [];

/** Keeps the whole release, with the WebAssembly build that was in use before. */
async function install(): Promise<void> {
  const engines = new Set(Object.values(RELEASE.engines).flat());
  const shell = Object.keys(RELEASE.files).filter((path) => !engines.has(path));
  await Promise.all([...shell, ...enginePaths(await readState("build"))].map(keep));
  await self.skipWaiting();
}

async function activate(): Promise<void> {
  // Another release, or another version of the browser, may have what the last one lacked.
  if ((await readIsolation()) === "failed") await writeState("isolation", "none");
  // Not awaited: Firefox ends it once every worker has noticed, and the engine's threads sleep, so that all files
  // would wait with it.
  void self.clients.claim();
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const { id, url } of pages) {
    if (pathOf(url) === null || (await readState(`page ${id}`))) continue;
    await writeState(`page ${id}`, RELEASE.id);
  }
  await removeUnused();
}

/** Deletes the releases that no page is of. */
async function removeUnused(): Promise<void> {
  const state = await caches.open(STATE);
  const used = new Set([CURRENT]);
  for (const request of await state.keys()) {
    const [, id] = /\.state\/page%20(.+)$/.exec(request.url) ?? [];
    if (!id) continue;
    // A page that is still loading is waited for.
    if (await self.clients.get(decodeURIComponent(id))) {
      used.add(PREFIX + (await (await state.match(request))?.text()));
    } else {
      await state.delete(request);
    }
  }
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && !used.has(name)) await caches.delete(name);
  }
}

/** The response with the headers that isolate a page, or a worker of one. */
function isolated(response: Response, isolation: Isolation): Response {
  const embedder = isolation === "credentialless" || isolation === "require-corp";
  const { status, statusText } = response;
  // A part of a file, or a response that may not be read, goes on as it is.
  if (!embedder || status === 0 || status === 206) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", isolation);
  return new Response(response.body, { status, statusText, headers });
}

/** A page of this release, which is noted as the page's release. */
async function respondToPage(event: FetchEvent, path: string): Promise<Response> {
  const { request, resultingClientId } = event;
  const switched = new URL(request.url).searchParams.get("isolation");
  if (switched === "off" || switched === "on") {
    await writeState("isolation", switched === "off" ? "off" : "credentialless");
  }
  if (resultingClientId) await writeState(`page ${resultingClientId}`, RELEASE.id);
  event.waitUntil(removeUnused());
  const kept = await (await caches.open(CURRENT)).match(addressOf(path));
  return isolated(kept ?? (await fetch(request)), await readIsolation());
}

async function respondToFile(request: Request, path: string): Promise<Response> {
  const kept = HASHED.test(path)
    ? await findHashed(path)
    : await (await caches.open(CURRENT)).match(addressOf(path));
  const response = kept ?? (await fetch(request));
  return request.destination === "worker" ? isolated(response, await readIsolation()) : response;
}

async function answer({ script, build, isolation }: SiteMessage): Promise<SiteState> {
  if (isolation) await writeState("isolation", isolation);
  const path = pathOf(script);
  const current = path !== null && path in RELEASE.files;
  let kept = current && build !== undefined;
  if (build) {
    await writeState("build", build);
    // An earlier release's build was kept for it when it was current.
    const keeping = current ? enginePaths(build).map(keep) : [];
    await Promise.all(keeping).catch(() => {
      kept = false;
    });
  }
  return { current, kept, isolation: await readIsolation() };
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const path = pathOf(request.url);
  if (path === null || request.method !== "GET" || request.headers.has("Range")) return;
  if (request.mode === "navigate") {
    if (path in RELEASE.files) event.respondWith(respondToPage(event, path));
  } else if (path in RELEASE.files || HASHED.test(path)) {
    event.respondWith(respondToFile(request, path));
  }
});
self.addEventListener("message", (event) => {
  const [port] = event.ports;
  if (port) event.waitUntil(answer(event.data).then((state) => port.postMessage(state)));
});
