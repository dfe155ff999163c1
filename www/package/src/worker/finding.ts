// Finding modules of a registry: drives the finder, which says what files of a paged registry it
// needs, and the model's encoder, which compares descriptions with examples. What the encoder made of
// a text is kept, so that a library is read once.

import type {
  Candidate,
  Example,
  FoundModules,
  ModuleQuery,
  RegistryFile,
  RegistryModule,
  Suggestion,
} from "../generated/protocol.js";
import type { DownloadContext } from "./download.js";
import type { Engine, Finder, Lookup } from "./engine.js";
import { fetchFiles } from "./fetch.js";
import { nextTurn } from "./turn.js";

/** Modules whose descriptions the encoder reads, where all are here. */
const MOST_CANDIDATES = 256;
/** The same where their pages have to be fetched. */
const MOST_PAGED_CANDIDATES = 64;

/** What a suggestion is made with. */
export interface SuggestContext extends DownloadContext {
  engine: Engine;
  /** The loaded base's id. */
  base: string;
  /** What the base's embeddings are kept under; null where its weights have no name. */
  embeddingsKey: string | null;
}

/** The modules of one registry. */
export class Finding {
  readonly #finder: Finder;
  readonly #registryUrl: string;

  constructor(finder: Finder, registryUrl: string) {
    this.#finder = finder;
    this.#registryUrl = registryUrl;
  }

  /** The modules that match. */
  search(query: ModuleQuery, context: DownloadContext): Promise<FoundModules> {
    return this.#answer(() => this.#finder.search(query), context);
  }

  /** The entries of modules; those that the registry has not are left out. */
  entries(ids: string[], context: DownloadContext): Promise<RegistryModule[]> {
    return this.#answer(() => this.#finder.ofIds(ids), context);
  }

  /** The modules nearest to some examples, of those that share words with them. */
  async suggest(examples: Example[], most: number, context: SuggestContext): Promise<Suggestion[]> {
    const { engine, base, signal, onEvent } = context;
    const limit = this.#finder.isWhole() ? MOST_CANDIDATES : MOST_PAGED_CANDIDATES;
    onEvent({ kind: "stage", text: "Reading the descriptions of modules" });
    const candidates: Candidate[] = await this.#answer(
      () => this.#finder.candidates(examples, base, Math.max(most, limit)),
      context,
    );
    await addKeptEmbeddings(context);
    await engine.startRetrieval(examples, candidates, most);
    for (let first = true; ; first = false) {
      await nextTurn();
      if (signal.aborted) await engine.stop();
      signal.throwIfAborted();
      const { done, total, result } = await engine.retrievalStep();
      onEvent({ kind: "tested", done, total, correct: 0 });
      if (!result) continue;
      // Where one step was enough, there was nothing or little to read.
      if (!first) await keepEmbeddings(context, this.#registryUrl);
      return result;
    }
  }

  async #answer<T>(ask: () => Lookup<T>, context: DownloadContext): Promise<T> {
    // The few kilobytes of an index are no download to report.
    const quiet = { ...context, onEvent: () => undefined };
    for (;;) {
      const answer = ask();
      if ("found" in answer) return answer.found;
      await this.#fetch(answer.missing, quiet);
    }
  }

  async #fetch(files: RegistryFile[], context: DownloadContext): Promise<void> {
    const wanted = files.map(({ path, bytes, sha256 }) => ({
      url: new URL(path, this.#registryUrl).href,
      bytes,
      sha256,
    }));
    const contents = await fetchFiles(wanted, context);
    for (const [index, { path }] of files.entries()) {
      this.#finder.take(path, contents[index] as Uint8Array);
    }
  }
}

async function addKeptEmbeddings({ engine, embeddingsKey, store }: SuggestContext): Promise<void> {
  if (!embeddingsKey) return;
  try {
    const kept = await store.find(embeddingsKey);
    if (!kept?.sha256) return;
    const body = new Response(await store.read(embeddingsKey));
    await engine.addEmbeddings(new Uint8Array(await body.arrayBuffer()));
  } catch {
    // What cannot be read is made again.
  }
}

async function keepEmbeddings(context: SuggestContext, registryUrl: string): Promise<void> {
  const { engine, base, embeddingsKey, store, newHasher } = context;
  if (!embeddingsKey) return;
  const bytes = await engine.embeddings();
  const hasher = newHasher();
  hasher.update(bytes);
  try {
    const writer = await store.append(embeddingsKey, 0);
    await writer?.write(bytes);
    await writer?.complete({
      key: embeddingsKey,
      url: new URL(`descriptions read by ${base.replaceAll("/", " ")}`, registryUrl).href,
      total: bytes.length,
      etag: null,
      sha256: hasher.hex(),
      known: true,
    });
  } catch {
    // Without room they are made again next time.
  }
}
