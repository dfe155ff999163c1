// The faders of a mix: moving them, and the composition that is heard. Each move is a new version.

import { type Composition, groupWeights, type ModuleWeight, type WeightedModule } from "loraloom";
import { HISTORY, type Stack, travel } from "./history.js";
import type { Desk, DeskStep, Mix, Workbench } from "./types.js";
import { type Group, sizeOf, withGroup, withMean } from "./weights.js";

/** The modules as they are heard: those muted, or beside the one that plays solo, have weight 0. */
export function heard({ modules, muted, solo }: Desk): WeightedModule[] {
  return modules.map((one) =>
    (solo === null ? muted.includes(one.id) : solo !== one.id) ? { ...one, weight: 0 } : one,
  );
}

/** The modules as they are heard, before polishing. */
export const unpolished = ({ desk, merge }: Mix): Composition => ({ modules: heard(desk), merge });

/** The composition that answers: of a polished mix, the module that takes its place. */
export function compositionOf({ mix }: Workbench): Composition | null {
  const tuned = mix?.desk.tuned;
  if (tuned) return { modules: [{ id: tuned.id, weight: 1 }], merge: "delta" };
  return mix && unpolished(mix);
}

/** The modules that have a weight as they are heard. */
export const audible = (mix: Mix) => heard(mix.desk).filter(({ weight }) => sizeOf(weight) !== 0);

/** Whether a fader was moved. */
export function isEdited(mix: Mix): boolean {
  const heardNow = audible(mix);
  const key = (modules: WeightedModule[]) =>
    JSON.stringify(
      modules
        .map(({ id, weight }) => [id, groupWeights(weight)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  return key(heardNow) !== key(mix.initial.filter(({ weight }) => sizeOf(weight) !== 0));
}

/** Moves faders, which ends the polish; a desk that stays the same keeps it. */
function moveDesk(bench: Workbench, moved: Partial<Desk>, joined = false): Workbench {
  if (!bench.mix) return bench;
  const { tuned: _, ...before } = bench.mix.desk;
  const desk = { ...before, ...moved };
  return JSON.stringify(desk) === JSON.stringify(before) ? bench : setDesk(bench, desk, joined);
}

export function setDesk(bench: Workbench, desk: Desk, joined = false): Workbench {
  const { mix } = bench;
  if (!mix || JSON.stringify(desk) === JSON.stringify(mix.desk)) return bench;
  const undo = joined ? mix.undo : [...mix.undo, mix.desk].slice(-HISTORY);
  return {
    ...bench,
    mix: { ...mix, desk, undo, redo: [], version: bench.next },
    next: bench.next + 1,
  };
}

/** Changes a module's weight. */
function changeWeight(
  bench: Workbench,
  id: string,
  to: (weight: ModuleWeight) => ModuleWeight,
  joined: boolean,
): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const modules = mix.desk.modules.map((one) =>
    one.id === id ? { ...one, weight: to(one.weight) } : one,
  );
  return moveDesk(bench, { modules }, joined);
}

/** Moves a fader; `joined` moves, as those of one drag, are one step of undo. */
export function setWeight(bench: Workbench, id: string, value: number, joined = false): Workbench {
  if (!Number.isFinite(value)) return bench;
  return changeWeight(bench, id, (weight) => withMean(weight, value), joined);
}

/** Moves the fader of one group of layers. */
export function setGroup(
  bench: Workbench,
  id: string,
  group: Group,
  value: number,
  joined = false,
): Workbench {
  if (!Number.isFinite(value)) return bench;
  return changeWeight(bench, id, (weight) => withGroup(weight, group, value), joined);
}

/** Returns the fader of one group of layers to the value that was learned. */
export function resetGroup(bench: Workbench, id: string, group: Group): Workbench {
  const initial = bench.mix?.initial.find((one) => one.id === id)?.weight ?? 0;
  return changeWeight(
    bench,
    id,
    (weight) => withGroup(weight, group, groupWeights(initial)[group]),
    false,
  );
}

/** Returns a fader to the value that was learned. */
export function resetWeight(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const weight = mix.initial.find((one) => one.id === id)?.weight ?? 0;
  const modules = mix.desk.modules.map((one) => (one.id === id ? { ...one, weight } : one));
  return moveDesk(bench, { modules });
}

/** Returns all faders to what was learned. */
export function resetDesk(bench: Workbench): Workbench {
  if (!bench.mix) return bench;
  return setDesk(bench, { modules: bench.mix.initial, muted: [], solo: null });
}

/** Adds a module at weight 0. */
export function addToMix(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix || mix.desk.modules.some((one) => one.id === id)) return bench;
  const modules = [...mix.desk.modules, { id, weight: 0 }];
  return setDesk(bench, { ...mix.desk, modules });
}

/** Mutes a module, or unmutes it. */
export function toggleMute(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const { muted } = mix.desk;
  const changed = muted.includes(id) ? muted.filter((one) => one !== id) : [...muted, id];
  return moveDesk(bench, { muted: changed });
}

/** Plays a module alone, or all again. */
export function toggleSolo(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  return moveDesk(bench, { solo: mix.desk.solo === id ? null : id });
}

function travelDesk(bench: Workbench, along: Stack): Workbench {
  const { mix, next } = bench;
  if (!mix) return bench;
  const { origin, options, run, initial, desk } = mix;
  const replaced = mix[along].at(-1)?.before;
  const current = replaced ? { ...desk, before: { origin, options, run, initial } } : desk;
  const moved = travel<DeskStep>(mix, along, current);
  if (!moved) return bench;
  const { before, ...to } = moved.to;
  const moves = { ...before, desk: to, ...moved.stacks, version: next };
  return { ...bench, mix: { ...mix, ...moves }, next: next + 1 };
}

/** Takes the last move of a fader back. */
export const undoDesk = (bench: Workbench) => travelDesk(bench, "undo");

/** Makes a move that was taken back again. */
export const redoDesk = (bench: Workbench) => travelDesk(bench, "redo");

/** Whether a module keeps its weight while the rest is learned. */
export const isHeld = (mix: Mix, id: string) => mix.held.includes(id);

/** Holds a module, or lets it go; the composition stays the same. */
export function toggleHold(bench: Workbench, id: string): Workbench {
  const { mix } = bench;
  if (!mix) return bench;
  const held = isHeld(mix, id) ? mix.held.filter((one) => one !== id) : [...mix.held, id];
  return { ...bench, mix: { ...mix, held } };
}

/** The modules that are held, at the weights at which they are heard. */
export function heldModules(mix: Mix): WeightedModule[] {
  return heard(mix.desk).filter(({ id }) => isHeld(mix, id));
}
