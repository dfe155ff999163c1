// Threads where the host sends no headers: the service worker isolates the page.

import type { Isolation, SiteMessage, SiteState } from "../../service-worker/release.js";
import { readSaved, saveNow } from "./saved.js";
import { engineSettings } from "./session.js";

/** Reloads of a tab that may try to isolate it: one for each kind of isolation. */
const RELOADS = 2;

/** The next kind of isolation to try, after one that had no effect. */
const NEXT: Partial<Record<Isolation, Isolation>> = {
  none: "credentialless",
  credentialless: "require-corp",
  "require-corp": "failed",
};

/**
 * Isolates the page where that allows threads: the service worker adds the headers, and the page is reloaded
 * while nothing was done on it; otherwise the next visit has them.
 */
export async function isolate(
  isolation: Isolation,
  controlled: boolean,
  tell: (message: Partial<SiteMessage>) => Promise<SiteState>,
): Promise<void> {
  const useful =
    // A frame is isolated only where the page around it is.
    window === top && navigator.hardwareConcurrency > 1 && engineSettings.value.threads !== 1;
  const next = NEXT[isolation];
  // A page that was loaded past the service worker says nothing of its headers.
  if (!useful || !next || (isolation !== "none" && !controlled)) return;
  await tell({ isolation: next });
  const reloads = readSaved<number>("isolated") ?? 0;
  if (next === "failed" || reloads >= RELOADS || navigator.userActivation?.hasBeenActive) return;
  // Where nothing can be saved, nothing would end the reloads.
  if (saveNow("isolated", reloads + 1)) location.reload();
}
