// What the page's address names on other sites. Nothing is requested from there before the visitor accepts
// it: until then the page uses its own library and hub.

import { signal } from "@preact/signals";
import { DEFAULT_HUB } from "loraloom";
import { readSaved, saveOnChange } from "./saved.js";

/** The library and the hub of a page whose address names none. */
export const DEFAULTS = { registry: "./library/registry.json", hub: DEFAULT_HUB };
/** The parameters of the page's address that lead to other sites. */
type Parameter = keyof typeof DEFAULTS;

/** Origins that were accepted in this tab. */
const accepted = signal<string[]>(readSaved("origins") ?? []);
saveOnChange("origins", () => accepted.value);

/** The URL of an address on a site that was not accepted; null for one of the page's own site. */
export function unaccepted(address: string): URL | null {
  // The engine reports what is wrong with it.
  if (!URL.canParse(address, location.href)) return null;
  const url = new URL(address, location.href);
  const { origin, protocol } = url;
  const known = origin === location.origin || accepted.value.includes(origin);
  return known || !/^https?:$/.test(protocol) ? null : url;
}

/** Accepts requests to the origins of URLs. */
export function accept(urls: URL[]): void {
  accepted.value = [...new Set([...accepted.value, ...urls.map(({ origin }) => origin)])];
}

/** What a parameter of the page's address names, and its URL where that waits for consent. */
function read(name: Parameter): { named: string; waiting: URL | null } {
  const named = new URLSearchParams(location.search).get(name) || DEFAULTS[name];
  return { named, waiting: named === DEFAULTS[name] ? null : unaccepted(named) };
}

/** The address that a parameter names; the page's own while that waits for consent. */
export function addressOf(name: Parameter): string {
  const { named, waiting } = read(name);
  return waiting ? DEFAULTS[name] : named;
}

/** What waits for consent: the URLs of the library and of the hub that the page's address names. */
export const waiting = () => ({
  registry: read("registry").waiting,
  hub: read("hub").waiting,
});

/** Whether something in the page's address waits for consent. */
export const isWaiting = () => Object.values(waiting()).some((url) => url !== null);

/** The page's address without what waits for consent, and without the link that belongs to that. */
export function ownAddress(): URL {
  const address = new URL(location.href);
  for (const name of ["registry", "hub"] as const) {
    if (!read(name).waiting) continue;
    address.searchParams.delete(name);
    address.hash = "";
  }
  return address;
}
