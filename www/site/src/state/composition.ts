// The composition that answers: learned here or restored from a link.

import { signal } from "@preact/signals";
import type { Composition, Recipe } from "loraloom";

/** The composition; null before one is learned or restored. */
export const composition = signal<Composition | null>(null);
/** The recipe that it was restored from; null where it was learned here. */
export const restored = signal<Recipe | null>(null);
