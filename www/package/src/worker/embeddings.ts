// Stored embeddings of module descriptions, so that each description is encoded once.

import type { DownloadContext } from "./download.js";
import { hexOf } from "./download.js";
import type { Session } from "./engine.js";

/** The embeddings of one base. */
export class EmbeddingStore {
  readonly #key: string;
  readonly #url: string;
  #storedBytes = 0;

  /** @param url the address under which the file is listed */
  constructor(key: string, url: string) {
    this.#key = key;
    this.#url = url;
  }

  /** Adds the stored embeddings to a session. */
  async load(session: Session, context: DownloadContext): Promise<void> {
    const { store } = context;
    try {
      const stored = await store.find(this.#key);
      if (!stored?.sha256) return;
      const body = new Response(await store.read(this.#key));
      const bytes = new Uint8Array(await body.arrayBuffer());
      if (hexOf(bytes, context) !== stored.sha256) return;
      session.addEmbeddings(bytes);
      this.#storedBytes = bytes.length;
    } catch {
      // What cannot be read is computed again.
    }
  }

  /** Stores a session's embeddings, if there are new ones. */
  async save(session: Session, context: DownloadContext): Promise<void> {
    const bytes = session.embeddings();
    if (bytes.length === this.#storedBytes) return;
    const [key, url, total] = [this.#key, this.#url, bytes.length];
    const sha256 = hexOf(bytes, context);
    try {
      const writer = await context.store.append(key, 0);
      await writer?.write(bytes);
      await writer?.complete({ key, url, total, etag: null, sha256, known: true });
    } catch {
      // Without room they are computed again next time.
    }
  }
}
