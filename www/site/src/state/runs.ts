// The mixes that were learned here, kept in this browser with their links, to open them again.

import { computed, effect, signal } from "@preact/signals";
import { checks, mix } from "./bench.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { registryUrl } from "./session.js";
import { made } from "./share.js";
import { isEdited } from "./workbench/faders.js";
import { rightOf } from "./workbench/results.js";
import type { Mix } from "./workbench/types.js";

/** A mix that was kept. */
export interface KeptRun {
  /** The fragment of its link. */
  fragment: string;
  /** When it was learned, in milliseconds since 1970. */
  time: number;
  /** The library that it belongs to. */
  registry: string;
  mix: Mix;
  /** Its examples that come out right; null where that was not computed. */
  right: { correct: number; total: number } | null;
  /** Whether it comes from a file: its link alone is trusted then. */
  imported?: boolean;
}

const DATABASE = "loraloom";
const STORE = "runs";

/** The kept mixes, the latest first; null before they are read. */
export const runs = signal<KeptRun[] | null>(null);
/** The error of reading or writing them. */
export const runsError = signal<ErrorText | null>(null);

const settled = <T>(request: IDBRequest<T>) =>
  new Promise<T>((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function withStore<T>(
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "fragment" });
  const database = await settled(opening);
  try {
    return await settled(work(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

/** Reads the kept mixes of this library. */
export async function readRuns(): Promise<void> {
  try {
    const all = await withStore<KeptRun[]>("readonly", (store) => store.getAll());
    runs.value = all
      .filter(({ registry }) => registry === registryUrl)
      .sort((a, b) => b.time - a.time);
    runsError.value = null;
  } catch (error) {
    runsError.value = toErrorText(error);
    runs.value ??= [];
  }
}

/** Changes what is kept. */
export async function write(work: (store: IDBObjectStore) => IDBRequest): Promise<void> {
  try {
    await withStore<unknown>("readwrite", work);
    if (runs.value) await readRuns();
  } catch (error) {
    runsError.value = toErrorText(error);
  }
}

/** The mix on the page as it is kept; null until its link is made and its examples are answered. */
export const learnedRun = computed<Omit<KeptRun, "time" | "registry"> | null>(() => {
  const current = mix.value;
  const found = checks.value;
  // A link is made after its mix: until then, the one that is there leads to the mix before.
  if (current?.origin !== "learned" || made.value?.mix !== current || !found) return null;
  // As it was learned; what faders make of it is kept as a link.
  if (isEdited(current)) return null;
  const fragment = new URL(made.value.address).hash.slice(1);
  return { fragment, mix: current, right: rightOf(found.assessment) };
});

/** Keeps every mix that is learned here. */
export function keepRuns(): void {
  if (!globalThis.indexedDB) return;
  effect(() => {
    const run = learnedRun.value;
    if (!run) return;
    const kept: KeptRun = { ...run, time: Date.now(), registry: registryUrl };
    void write((store) => store.put(kept));
  });
}
