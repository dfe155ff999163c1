// What here.ts is in a bundle: the bundler knows where it puts the worker's script.

/** Null in a bundle. */
export const here: string | null = null;
