// The page's side of the service worker: what of the site opens without a network, whether a new version of it
// is there, and threads where the host sends no headers. A page works without it: some windows refuse one.

import { effect } from "@preact/signals";
import type { SiteMessage, SiteState } from "../../service-worker/release.js";
import { mix } from "./bench.js";
import { DEFAULTS } from "./consent.js";
import { learning } from "./learn.js";
import { isLarge } from "./library.js";
import { keptSite, loom, newVersion, registry, registryUrl } from "./session.js";

/** Registers the service worker, and follows its releases. */
export async function keepSite(): Promise<void> {
  try {
    const { serviceWorker } = navigator;
    const controlled = serviceWorker.controller !== null;
    const registration = await serviceWorker.register("./sw.js", { updateViaCache: "none" });
    await serviceWorker.ready;
    const tell = async (message: Partial<SiteMessage> = {}) => {
      const build = loom.value?.device.build;
      const script = import.meta.url;
      const state = await ask(registration, { script, build, ...message });
      keptSite.value = state.kept;
      newVersion.value = !state.current;
      return state;
    };
    serviceWorker.addEventListener("controllerchange", () => void tell());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") registration.update().catch(() => undefined);
    });
    const { isolation } = await tell(switched());
    if (!crossOriginIsolated) {
      await (await import("./isolate.js")).isolate(isolation, controlled, tell);
    }
    // Another engine may be another build.
    loom.subscribe(() => void tell());
  } catch {
    // Refused, or there is none.
  }
  storeTests();
}

function ask({ active }: ServiceWorkerRegistration, message: SiteMessage): Promise<SiteState> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
    active?.postMessage(message, [port2]);
  });
}

/** What `?isolation=` asks for. It is removed from the address, which becomes a link for others. */
function switched(): Partial<SiteMessage> {
  const address = new URL(location.href);
  const isolation = address.searchParams.get("isolation");
  if (isolation === null) return {};
  address.searchParams.delete("isolation");
  history.replaceState(null, "", address);
  // The service worker has seen it, except on the first visit.
  return isolation === "off" ? { isolation } : {};
}

/** Stores the test sets of the page's own library once something was learned, so that they open without a network. */
function storeTests(): void {
  let stored = false;
  effect(() => {
    if (stored || !mix.value || learning.value || isLarge.value) return;
    if (registryUrl !== DEFAULTS.registry) return;
    stored = true;
    void (async () => {
      for (const { id } of registry.value?.tasks ?? []) await loom.value?.fetchTest(id);
    })().catch(() => undefined);
  });
}
