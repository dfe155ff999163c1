// Threads for a page of your own on a host that sends no headers, such as GitHub Pages. Copy this file beside the
// page, and make it the first script:
//
//   <script src="isolate.js"></script>
//
// It registers itself as a service worker, which adds the two headers to the site's own pages and workers, and
// reloads the page once. `?isolation=off` in the address turns it off in this browser, `?isolation=on` on again.
// Where the browser refuses service workers, the page runs on one thread. LoraLoom's own site does not need this
// file: its sw.js does the same.

/** `credentialless` lets pages show files of other sites as before; `require-corp` is for browsers without it. */
const EMBEDDER_POLICIES = ["credentialless", "require-corp"];
const KEY = "loraloom.isolation";

/** The response with the headers. A part of a file goes on as it is. */
function isolated(response, policy) {
  if (response.status === 0 || response.status === 206) return response;
  const { body, status, statusText } = response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", policy);
  return new Response(body, { status, statusText, headers });
}

function runServiceWorker() {
  const policy = new URL(location.href).searchParams.get("policy");
  addEventListener("install", () => skipWaiting());
  addEventListener("activate", (event) => event.waitUntil(clients.claim()));
  addEventListener("fetch", (event) => {
    const { request } = event;
    const own = new URL(request.url).origin === location.origin;
    if (!own || (request.mode !== "navigate" && request.destination !== "worker")) return;
    event.respondWith(fetch(request).then((response) => isolated(response, policy)));
  });
}

async function isolatePage(script) {
  const { serviceWorker } = navigator;
  const switched = new URLSearchParams(location.search).get("isolation");
  if (switched) localStorage.setItem(KEY, switched);
  if (localStorage.getItem(KEY) === "off") {
    const registrations = (await serviceWorker?.getRegistrations()) ?? [];
    const own = registrations.filter(({ active }) => active?.scriptURL.startsWith(`${script}?`));
    const removed = await Promise.all(own.map((registration) => registration.unregister()));
    if (removed.length && crossOriginIsolated) location.reload();
    return;
  }
  if (crossOriginIsolated) {
    sessionStorage.removeItem(KEY);
    return;
  }
  // The count ends the reloads where no policy has an effect.
  const tried = Number(sessionStorage.getItem(KEY));
  if (!serviceWorker || window !== top || tried >= EMBEDDER_POLICIES.length) return;
  sessionStorage.setItem(KEY, tried + 1);
  const registration = await serviceWorker.register(`${script}?policy=${EMBEDDER_POLICIES[tried]}`);
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  while (worker.state !== "activated") {
    await new Promise((changed) => worker.addEventListener("statechange", changed, { once: true }));
    if (worker.state === "redundant") return;
  }
  location.reload();
}

if (typeof document === "undefined") runServiceWorker();
// Without storage or service workers, as in some private windows, the page stays as it is.
else isolatePage(document.currentScript.src).catch(() => undefined);
