// Checks the lock files of npm: each package has a hash of its contents, and comes from the npm registry.
//
//   node pkg-scripts/npm-locks.mjs [FILE…]      (default: every lock file of the project)
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const REGISTRY = "https://registry.npmjs.org/";
export const LOCKS = [
  "www/package-lock.json",
  "pkg-scripts/package-lock.json",
  "tests/packaging/projects/package-lock.json",
];

/**
 * What is wrong with a lock file, a line for each package.
 *
 * @param {{ lockfileVersion?: number, packages?: Record<string, object> }} lock
 */
export function lockProblems({ lockfileVersion, packages }) {
  if (lockfileVersion !== 3 || !packages) return [`lockfileVersion is ${lockfileVersion}, not 3`];
  const problems = [];
  for (const [path, { link, integrity, resolved }] of Object.entries(packages)) {
    // The project's own packages.
    if (link || !path.includes("node_modules/")) continue;
    if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? "")) {
      problems.push(`${path} has no SHA-512`);
    }
    // Without an address, npm asks the registry that it is set to, and compares the hash.
    if (resolved !== undefined && !resolved.startsWith(REGISTRY)) {
      problems.push(`${path} comes from ${resolved}`);
    }
  }
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = new URL("../", import.meta.url);
  const files =
    process.argv.length > 2 ? process.argv.slice(2) : LOCKS.map((path) => new URL(path, root));
  for (const file of files) {
    const lock = JSON.parse(readFileSync(file, "utf8"));
    for (const problem of lockProblems(lock)) {
      console.error(`error: ${file instanceof URL ? fileURLToPath(file) : file}: ${problem}`);
      process.exitCode = 1;
    }
  }
}
