// Values saved for the tab's session, so that a reload loses nothing that was typed or chosen, and for
// this browser, so that one's own examples outlive the tab.

import { effect } from "@preact/signals";

function read<T>(storage: () => Storage, key: string): T | null {
  try {
    return JSON.parse(storage().getItem(`loraloom.${key}`) ?? "null");
  } catch {
    return null;
  }
}

function write(storage: () => Storage, key: string, value: unknown): boolean {
  try {
    storage().setItem(`loraloom.${key}`, JSON.stringify(value));
    return true;
  } catch {
    // Storage is full or forbidden: the page works without it.
    return false;
  }
}

/** Reads a value saved in this tab; null where there is none or the browser forbids storage. */
export const readSaved = <T>(key: string) => read<T>(() => sessionStorage, key);

/** Saves a value in this tab whenever a signal that it reads changes. */
export function saveOnChange(key: string, value: () => unknown): void {
  effect(() => void saveNow(key, value()));
}

/** Saves a value in this tab; returns whether that is allowed. */
export const saveNow = (key: string, value: unknown) => write(() => sessionStorage, key, value);

/** Reads a value kept in this browser. */
export const readKept = <T>(key: string) => read<T>(() => localStorage, key);

/** Keeps a value in this browser. */
export const saveKept = (key: string, value: unknown) => write(() => localStorage, key, value);
