// The module library: its registry, the search in it, and the files of its bases, modules and tasks.

import type {
  Candidate,
  Example,
  FoundModules,
  ModuleQuery,
  Registry,
  RegistryFile,
  RegistryModule,
  RemoteFolder,
  Source,
} from "../protocol.js";
import type { DownloadContext, RemoteFile } from "./download.js";
import type { EngineModule, ModuleSearch } from "./engine.js";
import { loraLoomError } from "./errors.js";
import { fetchFiles, fetchRegistry } from "./fetch.js";
import { adapterFolder, baseFolder, type FolderSource } from "./folder.js";
import { canReadLocalFiles } from "./local-files.js";
import { type AdapterPieces, type BasePieces, NONE_BESIDE, type Piece } from "./pieces.js";
import { GIT_SHA1 } from "./remote-folder.js";

/** Candidates whose descriptions are encoded, where the registry lists all modules. */
const MAX_CANDIDATES = 256;
/** The same where the modules are in pages that have to be fetched. */
const MAX_PAGED_CANDIDATES = 64;

/** The address of a library. */
export interface LibraryLocation {
  /** Address of `registry.json` or its folder. */
  registryUrl: string;
  /** Address of the hub that ids and its `hub:` paths belong to; empty for the default. */
  hub: string;
}

/** A file of a hub with the length that the registry gives, if it does. */
function sized<P extends Piece | null>(found: P, { bytes }: RegistryFile): P {
  return found && !(found instanceof Blob) && bytes > 0 ? { ...found, bytes } : found;
}

/** The parts of a file's path in a hub; null for a file beside the registry. */
function hubFile({ path }: RegistryFile) {
  const [, repo, revision, file] = path.match(/^hub:([^@]+)@([^/]+)\/(.+)$/) ?? [];
  return repo && revision && file ? { repo, revision, file } : null;
}

/** The commit that a file's path in a hub names; null for a branch. */
function commitIn(file: RegistryFile): string | null {
  const revision = hubFile(file)?.revision;
  return revision && GIT_SHA1.test(revision) ? revision : null;
}

/** One module library. */
export class Library {
  readonly registry: Registry;
  readonly #module: EngineModule;
  readonly #location: LibraryLocation;
  readonly #search: ModuleSearch;

  private constructor(registry: Registry, module: EngineModule, location: LibraryLocation) {
    this.registry = registry;
    this.#module = module;
    this.#location = location;
    this.#search = new module.ModuleSearch(registry);
  }

  /** Fetches a registry. */
  static async open(
    location: LibraryLocation,
    module: EngineModule,
    context: DownloadContext,
  ): Promise<Library> {
    const hub = module.hubAddress(location.hub);
    const address = module.registryAddress(location.registryUrl, canReadLocalFiles());
    const parse = (bytes: Uint8Array) => module.parseRegistry(bytes);
    const { registry, url } = await fetchRegistry(address, parse, context);
    // A redirect moves the registry's files too.
    return new Library(registry, module, { registryUrl: url, hub });
  }

  /** The source with its address resolved. */
  resolve(source: Exclude<Source, { kind: "registry" }>): FolderSource {
    if (source.kind !== "address") return source;
    return this.#module.resolveAddress(source.text, this.#location.hub, canReadLocalFiles());
  }

  /** Address of `registry.json`. */
  get url(): string {
    return this.#location.registryUrl;
  }

  /** The modules that match a query. */
  search(query: ModuleQuery, context: DownloadContext): Promise<FoundModules> {
    return this.#lookUp(() => this.#search.search(query), context);
  }

  /** The entries of modules; ids that are not in the library are left out. */
  entries(ids: string[], context: DownloadContext): Promise<RegistryModule[]> {
    return this.#lookUp(() => this.#search.ofIds(ids), context);
  }

  /** The modules of a base that share words with some examples: at least `limit`, if there are so many. */
  candidates(
    examples: Example[],
    base: string,
    limit: number,
    context: DownloadContext,
  ): Promise<Candidate[]> {
    const candidates = this.#search.isWhole() ? MAX_CANDIDATES : MAX_PAGED_CANDIDATES;
    const count = Math.max(limit, candidates);
    return this.#lookUp(() => this.#search.candidates(examples, base, count), context);
  }

  /** The entries of modules of a base; throws where one is missing or belongs to another base. */
  async modulesOf(
    base: string,
    ids: string[],
    context: DownloadContext,
  ): Promise<RegistryModule[]> {
    const entries = await this.entries(ids, context);
    return ids.map((id) => {
      const module = entries.find((one) => one.id === id);
      if (!module) throw loraLoomError("module-not-in-library", { id });
      if (module.base !== base) {
        throw loraLoomError("module-of-other-base", { id, base: module.base, loaded: base });
      }
      return module;
    });
  }

  /** The files of a base; the first one where `id` is null. */
  async basePieces(id: string | null, context: DownloadContext): Promise<BasePieces> {
    const { bases } = this.registry;
    const base = id ? bases.find((one) => one.id === id) : bases[0];
    if (!base) {
      const ids = bases.map((one) => one.id).join(", ");
      throw loraLoomError("base-not-in-library", { id: id ?? "", bases: ids });
    }
    const { title, license, files } = base;
    const label = { id: base.id, title, license };
    const hub = this.#onHub(files.weights);
    if (hub) {
      const [config, tokenizer, weights] = [files.config, files.tokenizer, files.weights].map(
        this.#pinned,
      );
      if (config && tokenizer && weights) {
        const commit = commitIn(files.weights);
        return { ...label, commit, config, tokenizer, ...NONE_BESIDE, weights: [weights] };
      }
      const found = await baseFolder(hub, this.#module, context);
      const one = found.weights.length === 1;
      return {
        ...found,
        ...label,
        config: config ?? sized(found.config, files.config),
        tokenizer: tokenizer ?? sized(found.tokenizer, files.tokenizer),
        weights: weights
          ? [weights]
          : found.weights.map((piece) => (one ? (sized(piece, files.weights) ?? piece) : piece)),
      };
    }
    return {
      ...label,
      commit: null,
      config: this.#besideRegistry(files.config),
      tokenizer: this.#besideRegistry(files.tokenizer),
      ...NONE_BESIDE,
      weights: [this.#besideRegistry(files.weights)],
    };
  }

  /** The files of a module. */
  async modulePieces(
    { files }: RegistryModule,
    context: DownloadContext,
  ): Promise<AdapterPieces<RemoteFile>> {
    const hub = this.#onHub(files.weights);
    if (hub) {
      const [config, weights] = [this.#pinned(files.config), this.#pinned(files.weights)];
      if (config && weights) return { commit: commitIn(files.weights), config, weights };
      // The repository may have another format of the weights by now, unless the registry says how long they are.
      const file = weights || files.weights.bytes > 0 ? hub.file : null;
      const found = await adapterFolder({ ...hub, file }, context);
      // A hub's files are never those of this computer.
      return {
        commit: found.commit,
        config: config ?? sized(found.config as RemoteFile, files.config),
        weights: weights ?? sized(found.weights as RemoteFile, files.weights),
      };
    }
    return {
      commit: null,
      config: this.#besideRegistry(files.config),
      weights: this.#besideRegistry(files.weights),
    };
  }

  /** The test set of a task. */
  testFile(taskId: string): RemoteFile {
    const task = this.registry.tasks.find(({ id }) => id === taskId);
    if (!task) throw loraLoomError("task-not-in-library", { id: taskId });
    return this.#besideRegistry(task.test);
  }

  /** The result of a look-up, after fetching the pages that it reports as missing. */
  async #lookUp<T>(
    attempt: () => { found: T } | { missing: RegistryFile[] },
    context: DownloadContext,
  ): Promise<T> {
    // The few kilobytes of an index are not reported as progress.
    const quiet = { ...context, onEvent: () => undefined };
    for (;;) {
      const result = attempt();
      if ("found" in result) return result.found;
      const { missing } = result;
      const contents = await fetchFiles(missing.map(this.#besideRegistry), quiet);
      for (const [index, { path }] of missing.entries()) {
        this.#search.take(path, contents[index] as Uint8Array);
      }
    }
  }

  /** A file with an address relative to the registry. */
  #besideRegistry = ({ path, bytes, sha256 }: RegistryFile): RemoteFile => ({
    url: this.#module.fileBeside(this.#location.registryUrl, path),
    bytes,
    sha256,
  });

  /** A file of a hub whose hash the registry gives, which its address names; null for any other. */
  #pinned = (listed: RegistryFile): RemoteFile | null => {
    const { bytes, sha256 } = listed;
    const onHub = hubFile(listed);
    // An index of shards is not the weights.
    if (!sha256 || !onHub || onHub.file.endsWith(".index.json")) return null;
    const { repo, revision, file } = onHub;
    const place = [...repo.split("/"), "resolve", revision, ...file.split("/")];
    const url = `${this.#location.hub}/${place.map(encodeURIComponent).join("/")}`;
    return { url, bytes: bytes || null, sha256 };
  };

  /** The folder of a hub that a file is in; null for a file beside the registry. */
  #onHub({ path }: RegistryFile): RemoteFolder | null {
    if (!path.startsWith("hub:")) return null;
    return this.#module.resolveAddress(path, this.#location.hub, false);
  }
}
