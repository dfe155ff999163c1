// Values saved for the tab's session, so that a reload loses nothing that was typed or chosen.

import { effect } from "@preact/signals";

/** Reads a saved value; null where there is none or the browser forbids storage. */
export function readSaved<T>(key: string): T | null {
  try {
    return JSON.parse(sessionStorage.getItem(`loraloom.${key}`) ?? "null");
  } catch {
    return null;
  }
}

/** Saves a value whenever a signal that it reads changes. */
export function saveOnChange(key: string, value: () => unknown): void {
  effect(() => {
    const text = JSON.stringify(value());
    try {
      sessionStorage.setItem(`loraloom.${key}`, text);
    } catch {
      // Storage is full or forbidden: the page works without it.
    }
  });
}
