// Writes what the built site and the npm package consist of, as a CycloneDX 1.6 document: the crates of the WebAssembly
// builds and the npm packages that are bundled, each with its version, licence and hash. The same sources give the same
// document.
//
//   node pkg-scripts/sbom.mjs FILE
//
// CARGO names cargo where it is not on the PATH.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path) => readFileSync(`${root}${path}`, "utf8");

/** What the package's own bundles take from its development dependencies: pack-dist.mjs, rolldown. */
const BUNDLED = ["fflate", "wasm-feature-detect"];

/** A component of the document. */
function component(ecosystem, name, version, license, hash) {
  const reference = `pkg:${ecosystem}/${name.replace("@", "%40")}@${version}`;
  return {
    type: "library",
    "bom-ref": reference,
    name,
    version,
    ...(hash && { hashes: [hash] }),
    // Older manifests separate licences by a slash.
    ...(license && { licenses: [{ expression: license.replaceAll(/\s*\/\s*/g, " OR ") }] }),
    purl: reference,
  };
}

/** The crates that the WebAssembly builds link, and the dependencies of each. */
export function crates() {
  const metadata = JSON.parse(
    execFileSync(
      process.env.CARGO ?? "cargo",
      [
        ...["metadata", "--format-version", "1", "--locked", "--no-default-features"],
        ...["--features", "loraloom/threads,loraloom/gpu"],
        ...["--filter-platform", "wasm32-unknown-unknown"],
      ],
      { cwd: root, maxBuffer: 2 ** 27 },
    ),
  );
  const packages = new Map(metadata.packages.map((one) => [one.id, one]));
  const nodes = new Map(metadata.resolve.nodes.map((one) => [one.id, one]));
  const own = metadata.packages.find(({ name, source }) => name === "loraloom" && !source);
  // What builds and tests the crate is in no build.
  const linked = (id) =>
    nodes
      .get(id)
      .deps.filter(({ dep_kinds: kinds }) => kinds.some(({ kind }) => kind === null))
      .map(({ pkg }) => pkg);
  const found = new Set([own.id]);
  for (const id of found) for (const other of linked(id)) found.add(other);
  const checksums = new Map(
    [
      ...read("Cargo.lock").matchAll(
        /name = "(.+)"\nversion = "(.+)"\nsource = .+\nchecksum = "(.+)"/g,
      ),
    ].map(([, name, version, checksum]) => [`${name} ${version}`, checksum]),
  );
  const componentOf = (id) => {
    const { name, version, license } = packages.get(id);
    const content = checksums.get(`${name} ${version}`);
    return component("cargo", name, version, license, content && { alg: "SHA-256", content });
  };
  const components = [...found].map(componentOf);
  const dependencies = [...found].map((id) => ({
    ref: componentOf(id)["bom-ref"],
    dependsOn: [...new Set(linked(id).map((other) => componentOf(other)["bom-ref"]))].sort(),
  }));
  return { components, dependencies };
}

/** The npm packages that the site and the package bundle. */
export function npmPackages() {
  const { packages } = JSON.parse(read("www/package-lock.json"));
  const prefix = "node_modules/";
  return Object.entries(packages)
    .filter(([path, { dev, link }]) => {
      const name = path.slice(path.lastIndexOf(prefix) + prefix.length);
      return path.startsWith(prefix) && !link && (!dev || BUNDLED.includes(name));
    })
    .map(([path, { version, license, integrity }]) => {
      const name = path.slice(path.lastIndexOf(prefix) + prefix.length);
      const content = Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex");
      return component("npm", name, version, license, { alg: "SHA-512", content });
    });
}

/** The document. */
export function document() {
  const { version } = JSON.parse(read("www/package/package.json"));
  const { components, dependencies } = crates();
  const all = [...components, ...npmPackages()];
  all.sort((a, b) => (a["bom-ref"] < b["bom-ref"] ? -1 : 1));
  dependencies.sort((a, b) => (a.ref < b.ref ? -1 : 1));
  const own = component("npm", "loraloom", version, "MIT OR Apache-2.0");
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { ...own, type: "application" } },
    components: all,
    dependencies: [
      { ref: own["bom-ref"], dependsOn: all.map((one) => one["bom-ref"]) },
      ...dependencies,
    ],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file] = process.argv.slice(2);
  if (!file) throw new Error("usage: sbom.mjs FILE");
  writeFileSync(file, `${JSON.stringify(document(), null, 2)}\n`);
}
