// The browser's private file system in memory, as far as the store uses it: with a size that can be
// full, and files that only one may write at a time.

import { stalledBody } from "./server.js";

/** A folder of files. */
export class MemoryFolder {
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #open = new Set<string>();
  /**
   * What never answers: opening the folder, listing it, and the names of files that never open for writing or reading,
   * or stop in the middle of being read.
   */
  readonly stuck = {
    opening: false,
    listing: false,
    writing: new Set<string>(),
    reading: new Set<string>(),
    middle: new Set<string>(),
  };
  /** Bytes that all files together may take. */
  room = Number.POSITIVE_INFINITY;

  #used(): number {
    return [...this.files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  }

  async *keys(): AsyncIterable<string> {
    if (this.stuck.listing) await new Promise(() => undefined);
    yield* this.files.keys();
  }

  async getDirectoryHandle(): Promise<MemoryFolder> {
    if (this.stuck.opening) await new Promise(() => undefined);
    return this;
  }

  async getFileHandle(name: string, { create = false } = {}) {
    if (!this.files.has(name)) {
      if (!create) throw new DOMException("no such file", "NotFoundError");
      this.files.set(name, new Uint8Array());
    }
    return {
      getFile: async () => {
        if (this.stuck.reading.has(name)) await new Promise(() => undefined);
        // As it is now, whatever is written afterwards.
        const bytes = (this.files.get(name) as Uint8Array<ArrayBuffer>).slice();
        return {
          size: bytes.length,
          text: async () => new TextDecoder().decode(bytes),
          stream: () =>
            this.stuck.middle.has(name)
              ? stalledBody(bytes.subarray(0, bytes.length / 2))
              : new Response(bytes).body,
        };
      },
      createSyncAccessHandle: async () => {
        if (this.stuck.writing.has(name)) await new Promise(() => undefined);
        if (this.#open.has(name)) {
          throw new DOMException("another one writes", "NoModificationAllowedError");
        }
        this.#open.add(name);
        return {
          truncate: (bytes: number) => {
            const resized = new Uint8Array(bytes);
            resized.set((this.files.get(name) as Uint8Array).subarray(0, bytes));
            this.files.set(name, resized);
          },
          write: (chunk: Uint8Array, { at }: { at: number }) => {
            const before = this.files.get(name) as Uint8Array<ArrayBuffer>;
            const length = Math.max(before.length, at + chunk.length);
            if (this.#used() - before.length + length > this.room) {
              throw new DOMException("full", "QuotaExceededError");
            }
            let { buffer } = before;
            if (buffer.byteLength < length) {
              buffer = new ArrayBuffer(2 * length);
              new Uint8Array(buffer).set(before);
            }
            const after = new Uint8Array(buffer, 0, length);
            after.set(chunk, at);
            this.files.set(name, after);
            return chunk.length;
          },
          close: () => {
            this.#open.delete(name);
          },
        };
      },
    };
  }

  async removeEntry(name: string): Promise<void> {
    if (!this.files.delete(name)) throw new DOMException("no such file", "NotFoundError");
  }

  /** What `navigator.storage.getDirectory` answers. */
  getDirectory = async () => this as unknown as FileSystemDirectoryHandle;
}
