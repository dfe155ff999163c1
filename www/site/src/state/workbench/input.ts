// The input to answer: typed, or taken from a test set.

import type { Workbench } from "./types.js";

/** Takes a typed input. */
export function typeInput(bench: Workbench, text: string): Workbench {
  return { ...bench, input: { ...bench.input, text, typed: text.trim() !== "" } };
}

/** Takes an input from a test set; a typed one is kept. */
export function fillInput(bench: Workbench, text: string): Workbench {
  const { text: current, typed, before } = bench.input;
  return { ...bench, input: { text, typed: false, before: typed ? current : before } };
}

/** Puts the typed input back. */
export function restoreInput(bench: Workbench): Workbench {
  const { before } = bench.input;
  return before ? { ...bench, input: { text: before, typed: true, before: "" } } : bench;
}
