// The faders: moves, and the modules that are added to the mix by hand.

import { computed, signal } from "@preact/signals";
import type { ModuleWeight } from "loraloom";
import { bench, mix, update } from "./bench.js";
import { bestWeights, learning, lossWithout } from "./learn.js";
import { ensureLoaded } from "./session.js";
import * as faders from "./workbench/faders.js";
import { keep as keepIn, recall as recallFrom } from "./workbench/slots.js";
import type { Slot } from "./workbench/types.js";
import { type Group, sizeOf } from "./workbench/weights.js";

export const setWeight = (id: string, weight: number, joined: boolean) =>
  update((now) => faders.setWeight(now, id, weight, joined));
export const setGroup = (id: string, group: Group, weight: number, joined: boolean) =>
  update((now) => faders.setGroup(now, id, group, weight, joined));
export const resetGroup = (id: string, group: Group) =>
  update((now) => faders.resetGroup(now, id, group));
export const resetWeight = (id: string) => update((now) => faders.resetWeight(now, id));
export const resetDesk = () => update(faders.resetDesk);
export const toggleMute = (id: string) => update((now) => faders.toggleMute(now, id));
export const toggleSolo = (id: string) => update((now) => faders.toggleSolo(now, id));
export const toggleHold = (id: string) => update((now) => faders.toggleHold(now, id));
export const undoDesk = () => update(faders.undoDesk);
export const redoDesk = () => update(faders.redoDesk);
export const keep = (slot: Slot) => update((now) => keepIn(now, slot));
export const recall = (slot: Slot) => update((now) => recallFrom(now, slot));

/** The mixes that were kept to compare them. */
export const slots = computed(() => bench.value.slots);

/** Rows before the others are behind a button. */
const ROWS = 5;
/** Whether all rows are shown. */
export const allRows = signal(false);

/** The modules whose groups of layers are shown. */
export const opened = signal<ReadonlySet<string>>(new Set());

/** Shows a module's groups of layers, or hides them. */
export function toggleGroups(id: string): void {
  const ids = new Set(opened.value);
  if (!ids.delete(id)) ids.add(id);
  opened.value = ids;
}

/** A row of the mix. */
export interface MixRow {
  id: string;
  weight: ModuleWeight;
  muted: boolean;
  solo: boolean;
  held: boolean;
}

/** The order of the threads: by weight as learned, or by effect once that is measured. */
const order = signal<string[]>([]);
const byFalling = (modules: { id: string; by: number }[]) =>
  [...modules].sort((a, b) => b.by - a.by || a.id.localeCompare(b.id)).map(({ id }) => id);
const initial = computed(() => mix.value?.initial ?? []);
initial.subscribe((modules) => {
  order.value = byFalling(modules.map(({ id, weight }) => ({ id, by: sizeOf(weight) })));
});
// A thread that is moved afterwards keeps its place.
lossWithout.subscribe((measured) => {
  if (measured) order.value = byFalling(measured.losses.map(({ id, loss }) => ({ id, by: loss })));
});

/** The threads: of the run in progress, or of the mix. */
export const rows = computed<MixRow[]>(() => {
  if (learning.value) {
    const weights = bestWeights.value.filter(({ weight }) => sizeOf(weight) !== 0);
    const ids = byFalling(weights.map(({ id, weight }) => ({ id, by: sizeOf(weight) })));
    return ids.map((id) => ({
      id,
      weight: weights.find((one) => one.id === id)?.weight ?? 0,
      muted: false,
      solo: false,
      held: false,
    }));
  }
  if (!mix.value) return [];
  const { desk, held } = mix.value;
  const { modules, muted, solo } = desk;
  const place = new Map(order.value.map((id, index) => [id, index]));
  // Modules added by hand come last.
  const placeOf = (id: string) => place.get(id) ?? modules.length;
  return [...modules]
    .sort((a, b) => placeOf(a.id) - placeOf(b.id))
    .map(({ id, weight }) => ({
      id,
      weight,
      muted: solo === null ? muted.includes(id) : solo !== id,
      solo: solo === id,
      held: held.includes(id),
    }));
});

/** The rows that are shown; one more is shown rather than a button for it. */
export const shownRows = computed(() =>
  allRows.value || rows.value.length <= ROWS + 1 ? rows.value : rows.value.slice(0, ROWS),
);

/** Adds a module of the library to the mix, at weight 0. */
export async function addModuleToMix(id: string): Promise<void> {
  if (await ensureLoaded([id], 0, 0)) update((now) => faders.addToMix(now, id));
}
