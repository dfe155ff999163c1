// The address of the package's scripts, where they run as they are published. Bundlers for browsers take
// bundled.ts in its place, by the field "browser" of package.json: some would write the path of the
// machine that builds into the bundle.

/** Address of a module beside the worker's script; null in a bundle. */
export const here: string | null = import.meta.url;
