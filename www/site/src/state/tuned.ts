// The modules that polishing made, in the engine that computes: a new engine makes them again.

import type { BaseInfo, LoraLoom } from "loraloom";
import { mix } from "./bench.js";
import { base, loom } from "./session.js";
import { audible } from "./workbench/faders.js";
import type { Mix } from "./workbench/types.js";

/** The modules that an engine has for its base, by id, each with what it was made from. */
let made: { engine: LoraLoom; base: BaseInfo; from: Map<string, string> } | null = null;

const madeFrom = (current: Mix) =>
  JSON.stringify([audible(current), current.merge, current.desk.tuned?.scales]);

function ofEngine(): Map<string, string> {
  const [engine, info] = [loom.value, base.value];
  if (!engine || !info) return new Map();
  if (made?.engine !== engine || made.base !== info) made = { engine, base: info, from: new Map() };
  return made.from;
}

/** Notes that the engine has the polished module of the mix. */
export function noteTuned(): void {
  const current = mix.value;
  if (current?.desk.tuned) ofEngine().set(current.desk.tuned.id, madeFrom(current));
}

/** Makes the polished module of the mix again where the engine does not have it. */
export async function ensureTuned(): Promise<void> {
  const current = mix.value;
  const tuned = current?.desk.tuned;
  if (!loom.value || !tuned) return;
  const [from, known] = [madeFrom(current), ofEngine()];
  if (known.get(tuned.id) === from) return;
  const composition = { modules: audible(current), merge: current.merge };
  await loom.value.addScaled({ composition, scales: tuned.scales, id: tuned.id });
  known.set(tuned.id, from);
}
