// The coefficients of a module as numbers.

import type { GroupWeights, ModuleWeight } from "./generated/types.js";

/** The coefficients of the four groups of layers. */
export function groupWeights(weight: ModuleWeight): GroupWeights {
  if (typeof weight !== "number") return weight;
  return {
    encoder: weight,
    decoderSelfAttention: weight,
    decoderCrossAttention: weight,
    decoderFeedForward: weight,
  };
}

/** The mean of a module's coefficients: the coefficient itself where there is one for all layers. */
export function meanWeight(weight: ModuleWeight): number {
  if (typeof weight === "number") return weight;
  const groups = Object.values(groupWeights(weight));
  return groups.reduce((sum, one) => sum + one, 0) / groups.length;
}
