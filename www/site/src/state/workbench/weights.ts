// The arithmetic of one module's weight: one number, or one for each group of layers.

import { type GroupWeights, groupWeights, type ModuleWeight, meanWeight } from "loraloom";

/** The smallest and the largest weight that a fader reaches. */
export const WEIGHTS = { min: -1.5, max: 2.5 };

/** The groups of layers that a module's weight can differ in. */
export const GROUPS = [
  "encoder",
  "decoderSelfAttention",
  "decoderCrossAttention",
  "decoderFeedForward",
] as const satisfies (keyof GroupWeights)[];
export type Group = (typeof GROUPS)[number];

/** How much a weight changes: the mean of the groups' sizes. */
export function sizeOf(weight: ModuleWeight): number {
  const groups = groupWeights(weight);
  return GROUPS.reduce((sum, group) => sum + Math.abs(groups[group]), 0) / GROUPS.length;
}

/** The nearest weight that a fader shows: two digits, within its ends. */
const shown = (weight: number) =>
  Math.round(100 * Math.min(WEIGHTS.max, Math.max(WEIGHTS.min, weight))) / 100;

/** A weight with another mean; groups that differ keep their proportions. */
export function withMean(weight: ModuleWeight, mean: number): ModuleWeight {
  const now = meanWeight(weight);
  if (typeof weight === "number" || Math.abs(now) < 0.01) return shown(mean);
  const scaled = { ...weight };
  for (const group of GROUPS) scaled[group] = shown((weight[group] * mean) / now);
  return scaled;
}

/** A weight with another weight of one group; equal ones become one. */
export function withGroup(weight: ModuleWeight, group: Group, value: number): ModuleWeight {
  const changed = { ...groupWeights(weight), [group]: shown(value) };
  return GROUPS.every((one) => changed[one] === changed.encoder) ? changed.encoder : changed;
}
