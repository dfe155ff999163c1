// Undo and redo: steps of the table and of the faders.

/** The most steps that undo goes back, and the most of one's own tasks that are kept. */
export const HISTORY = 50;

/** The steps that can be taken back, and those that can be made again. */
export type Stack = "undo" | "redo";

const opposite = { undo: "redo", redo: "undo" } as const;

/** Moves one step along a stack: the step itself, and both stacks after it; null at its end. */
export function travel<T>(steps: Record<Stack, T[]>, along: Stack, current: T) {
  const to = steps[along].at(-1);
  if (to === undefined) return null;
  const back = opposite[along];
  const stacks = { [along]: steps[along].slice(0, -1), [back]: [...steps[back], current] };
  return { to, stacks: stacks as Record<Stack, T[]> };
}
