// Where fetched files are stored: the origin's private file system, the Cache API where there is none, a
// folder in Node, or nowhere. A file is stored under its SHA-256; one without a known hash under its address, with the
// hash of its first download. Only a file that is whole and has been checked is `complete`.

import { reasonOf } from "../errors.js";
import { nodePath } from "../node.js";
import type { StoredFile, StoreKind } from "../protocol.js";
import { withTimeout } from "../timeout.js";
import { loraLoomError } from "./errors.js";
import { nodeFolder } from "./node-folder.js";

const FOLDER = "loraloom";
/** Suffix of the file that describes another. */
const RECORD_SUFFIX = ".json";
/** Prefix of the keys of packed weights. */
const PACKED = "packed-";

/** Whether a key is that of a base's packed weights. */
export function isPackedKey(key: string): boolean {
  return key.startsWith(PACKED);
}

/** The description of a stored file. */
export interface FileRecord {
  key: string;
  url: string;
  /** Length of the whole file; null where the server did not say. */
  total: number | null;
  /** The server's strong `ETag`, with which a partial download can be resumed. */
  etag: string | null;
  /** SHA-256 once the file is whole and checked; null before. */
  sha256: string | null;
  /** Whether the hash was known beforehand. */
  known: boolean;
  /** What the server called the contents, where their hash was not known. */
  version?: string | null;
}

/** A stored file, whole or in part. */
export interface StoredEntry extends FileRecord {
  /** Bytes stored. */
  bytes: number;
}

/** Writes a file from some offset on. */
export interface StoreWriter {
  /** Appends. Throws a `QuotaExceededError` where the browser gives no more room. */
  write(chunk: Uint8Array): void | Promise<void>;
  /** Writes the description. */
  describe(record: FileRecord): Promise<void>;
  /** Closes a file that is whole and checked. */
  complete(record: FileRecord): Promise<void>;
  /** Closes a partial file, which can be resumed if the store supports it. */
  close(): Promise<void>;
  /** Closes and deletes the file. */
  discard(): Promise<void>;
}

/** Storage for files. */
export interface Store {
  readonly kind: StoreKind;
  list(): Promise<StoredEntry[]>;
  find(key: string): Promise<StoredEntry | null>;
  /** The bytes stored. */
  read(key: string): Promise<ReadableStream<Uint8Array>>;
  /** Opens a file for writing at an offset; null where another tab writes the same file. */
  append(key: string, offset: number): Promise<StoreWriter | null>;
  remove(key: string): Promise<void>;
}

/** Whether an error is that of a full storage. */
export function isQuotaError(error: unknown): boolean {
  return error instanceof Error && error.name === "QuotaExceededError";
}

/** A synchronous handle of the private file system, as far as it is used; workers only. */
interface SyncHandle {
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(bytes: number): void;
  close(): void;
}

type Directory = FileSystemDirectoryHandle & { keys(): AsyncIterable<string> };
type SyncFile = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncHandle> };

/** Seconds in which the browser opens its storage or a file, lists the files, or gives the next bytes of one. */
const TIMEOUT_SECONDS = 5;

/** Objects that an answer of the browser's file system is awaited of. */
const awaited = new Set<object>();

/**
 * Waits for an answer of `object`. Chromium drops the answer of an object that it has collected meanwhile, so that one
 * that nothing else refers to may never answer.
 */
async function answerOf<O extends object, T>(
  object: O,
  ask: (object: O) => Promise<T>,
): Promise<T> {
  awaited.add(object);
  try {
    return await ask(object);
  } finally {
    awaited.delete(object);
  }
}

/** The same bytes, with a `TimeoutError` where none come in time. */
function withReadTimeout(
  bytes: ReadableStream<Uint8Array>,
  seconds: number,
): ReadableStream<Uint8Array> {
  const reader = bytes.getReader();
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await withTimeout(reader.read(), seconds);
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    // Nothing is read ahead, so the time counts only while someone waits.
    { highWaterMark: 0 },
  );
}

/** The stored files whose descriptions are among `names`. */
async function entries(store: Store, names: string[]): Promise<StoredEntry[]> {
  const keys = names
    .filter((name) => name.endsWith(RECORD_SUFFIX))
    .map((name) => name.slice(0, -RECORD_SUFFIX.length));
  const stored = await Promise.all(keys.map((key) => store.find(key)));
  return stored.filter((one) => one !== null);
}

/** Storage in the origin's private file system. */
class FileSystemStore implements Store {
  readonly kind = "file-system";
  readonly #directory: Directory;
  readonly #timeout: number;

  constructor(directory: Directory, timeoutSeconds: number) {
    this.#directory = directory;
    this.#timeout = timeoutSeconds;
  }

  async list(): Promise<StoredEntry[]> {
    const names = await withTimeout(this.#names(), this.#timeout);
    return entries(this, names);
  }

  async find(key: string): Promise<StoredEntry | null> {
    try {
      const record = await this.#file(key + RECORD_SUFFIX);
      const { size } = await this.#file(key);
      return {
        ...(JSON.parse(
          await withTimeout(
            answerOf(record, (file) => file.text()),
            this.#timeout,
          ),
        ) as FileRecord),
        key,
        bytes: size,
      };
    } catch {
      // Not stored, or its description was cut off: then it is fetched again.
      return null;
    }
  }

  async read(key: string): Promise<ReadableStream<Uint8Array>> {
    return withReadTimeout((await this.#file(key)).stream(), this.#timeout);
  }

  async append(key: string, offset: number): Promise<StoreWriter | null> {
    let handle: SyncHandle;
    try {
      handle = await this.#open(key);
    } catch (error) {
      if (error instanceof DOMException && error.name === "NoModificationAllowedError") return null;
      throw error;
    }
    handle.truncate(offset);
    let at = offset;
    // Without `flush`, which would block the worker until the disk has everything: the hash detects
    // what a crash left out.
    const close = async () => handle.close();
    return {
      write: (chunk) => {
        if (handle.write(chunk, { at }) < chunk.length) {
          throw new DOMException("The disk took less than was written.", "QuotaExceededError");
        }
        at += chunk.length;
      },
      describe: (record) => this.#describe(record),
      // The contents first: a description must not precede what it describes.
      complete: async (record) => {
        await close();
        await this.#describe(record);
      },
      close,
      discard: async () => {
        handle.close();
        await this.remove(key);
      },
    };
  }

  async remove(key: string): Promise<void> {
    for (const name of [key + RECORD_SUFFIX, key]) {
      const removed = this.#directory.removeEntry(name);
      await withTimeout(removed, this.#timeout).catch(() => undefined);
    }
  }

  async #describe(record: FileRecord): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(record));
    const handle = await this.#open(record.key + RECORD_SUFFIX);
    try {
      handle.truncate(0);
      handle.write(bytes, { at: 0 });
    } finally {
      handle.close();
    }
  }

  async #names(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of this.#directory.keys()) names.push(name);
    return names;
  }

  async #file(name: string): Promise<File> {
    const file = this.#directory
      .getFileHandle(name)
      .then((handle) => answerOf(handle, (handle) => handle.getFile()));
    return withTimeout(file, this.#timeout);
  }

  async #open(name: string): Promise<SyncHandle> {
    const handle = this.#directory
      .getFileHandle(name, { create: true })
      .then((file) => answerOf(file as SyncFile, (file) => file.createSyncAccessHandle()));
    return withTimeout(handle, this.#timeout, { onLate: (handle) => handle.close() });
  }
}

/** Storage of whole files in the Cache API; a partial download cannot be resumed. */
class CacheStore implements Store {
  readonly kind = "cache";
  readonly #cache: Cache;
  readonly #timeout: number;

  constructor(cache: Cache, timeoutSeconds: number) {
    this.#cache = cache;
    this.#timeout = timeoutSeconds;
  }

  /** A key's address in the cache; no server has it. */
  #address = (name: string) => `https://stored.loraloom.invalid/${name}`;

  async list(): Promise<StoredEntry[]> {
    const requests = await withTimeout(this.#cache.keys(), this.#timeout);
    const names = requests.map(({ url }) => decodeURIComponent(new URL(url).pathname.slice(1)));
    return entries(this, names);
  }

  async find(key: string): Promise<StoredEntry | null> {
    try {
      const record = await this.#match(key + RECORD_SUFFIX);
      if (!record) return null;
      const found = (await withTimeout(record.json(), this.#timeout)) as FileRecord;
      return { ...found, key, bytes: found.total ?? 0 };
    } catch {
      // A timeout, or its description was cut off: then it is fetched again.
      return null;
    }
  }

  async read(key: string): Promise<ReadableStream<Uint8Array>> {
    const body = (await this.#match(key))?.body;
    if (!body) throw new Error("The file is not in the cache any more.");
    return withReadTimeout(body, this.#timeout);
  }

  #match(name: string): Promise<Response | undefined> {
    return withTimeout(this.#cache.match(this.#address(name)), this.#timeout);
  }

  async append(key: string, offset: number): Promise<StoreWriter | null> {
    if (offset > 0) return null;
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const body = writable.getWriter();
    let failure: unknown = null;
    const put = this.#cache.put(this.#address(key), new Response(readable)).catch((error) => {
      failure = error;
    });
    /** Its end, once the whole body was written or given up. */
    const ended = () => withTimeout(put, this.#timeout);
    const stop = async () => {
      await body.abort().catch(() => undefined);
      await ended();
      await this.remove(key);
    };
    return {
      write: async (chunk) => {
        if (failure) throw failure;
        await withTimeout(Promise.race([body.write(chunk.slice()), put]), this.#timeout);
        if (failure) throw failure;
      },
      describe: async () => undefined,
      complete: async (record) => {
        await withTimeout(body.close(), this.#timeout);
        await ended();
        if (failure) throw failure;
        const described = new Response(JSON.stringify(record));
        const address = this.#address(key + RECORD_SUFFIX);
        await withTimeout(this.#cache.put(address, described), this.#timeout);
      },
      close: stop,
      discard: stop,
    };
  }

  async remove(key: string): Promise<void> {
    for (const name of [key + RECORD_SUFFIX, key]) {
      const removed = this.#cache.delete(this.#address(name));
      await withTimeout(removed, this.#timeout).catch(() => undefined);
    }
  }
}

/** Stores nothing. */
class NoStore implements Store {
  readonly kind = "memory";
  list = async () => [];
  find = async () => null;
  read = async (): Promise<never> => {
    throw new Error("Nothing is stored.");
  };
  append = async () => null;
  remove = async () => undefined;
}

/** The storage that a browser offers. */
export interface StoreOffers {
  /** The origin's private file system. */
  getDirectory?: () => Promise<FileSystemDirectoryHandle>;
  /** The Cache API. */
  caches?: CacheStorage;
}

function browserOffers(): StoreOffers {
  const storage = globalThis.navigator?.storage;
  const sync =
    "FileSystemFileHandle" in globalThis &&
    "createSyncAccessHandle" in FileSystemFileHandle.prototype;
  return {
    ...(sync && storage?.getDirectory ? { getDirectory: () => storage.getDirectory() } : {}),
    ...("caches" in globalThis ? { caches: globalThis.caches } : {}),
  };
}

/** The path of a folder that a path or a `file:` address names, in Node. */
export function folderPath(folder: string): string {
  const path = nodePath(folder);
  if (path === null) throw loraLoomError("no-such-folder", { folder });
  return path;
}

/** Opens storage in a folder, in Node. */
export async function openFolderStore(path: string): Promise<Store> {
  const folder = await withTimeout(nodeFolder(path), TIMEOUT_SECONDS).catch((error) => {
    throw loraLoomError("storage-folder", { path, reason: reasonOf(error) }, error);
  });
  return new FileSystemStore(folder as Directory, TIMEOUT_SECONDS);
}

/** Opens the best storage that the browser offers, and that opens in time. */
export async function openStore(
  offers: StoreOffers = browserOffers(),
  timeoutSeconds = TIMEOUT_SECONDS,
): Promise<Store> {
  try {
    if (offers.getDirectory) {
      const directory = offers
        .getDirectory()
        .then((root) =>
          answerOf(root, (root) => root.getDirectoryHandle(FOLDER, { create: true })),
        );
      const opened = await withTimeout(directory, timeoutSeconds);
      return new FileSystemStore(opened as Directory, timeoutSeconds);
    }
  } catch {
    // Private windows of some browsers have the interface and refuse its use.
  }
  try {
    if (offers.caches) {
      const cache = await withTimeout(offers.caches.open(FOLDER), timeoutSeconds);
      return new CacheStore(cache, timeoutSeconds);
    }
  } catch {
    // As above.
  }
  return new NoStore();
}

/** A stored file in the form of the protocol. */
export function toStoredFile(stored: StoredEntry): StoredFile {
  return {
    key: stored.key,
    url: stored.url,
    bytes: stored.bytes,
    complete: stored.sha256 !== null,
    sha256: stored.sha256,
    pinned: !stored.known,
    packed: isPackedKey(stored.key),
  };
}
