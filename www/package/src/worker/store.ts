// Where fetched files are kept: the origin's private file system, the Cache API where there is none,
// or nowhere. A file is kept under its SHA-256; one whose hash nobody told, under its address, and its
// first download's hash is remembered. Only a file that is whole and has been checked is `complete`.

import type { StoredFile, StoreKind } from "../generated/protocol.js";

const FOLDER = "loraloom";
/** What follows a file's key in the name of the file that describes it. */
const ABOUT = ".json";
/** What the keys of packed copies begin with. */
const PACKED = "packed-";

/** Whether a key is that of a packed copy of a base's weights. */
export function isPackedKey(key: string): boolean {
  return key.startsWith(PACKED);
}

/** What is remembered of a file that is kept or begun. */
export interface About {
  key: string;
  url: string;
  /** Length of the whole file; null where the server did not say. */
  total: number | null;
  /** The server's name for this version, for going on with it later. */
  etag: string | null;
  /** Set once the file is whole and checked. */
  sha256: string | null;
  /** Whether the hash was given beforehand. */
  known: boolean;
}

/** A file that is kept, whole or in part. */
export interface Kept extends About {
  /** Bytes that are here. */
  bytes: number;
}

/** Takes a file's bytes from some place on. */
export interface StoreWriter {
  /** Appends. Throws a `QuotaExceededError` where the browser gives no more room. */
  write(chunk: Uint8Array): void | Promise<void>;
  /** Remembers what is known of the file by now. */
  describe(about: About): Promise<void>;
  /** Ends a file that is whole and checked. */
  complete(about: About): Promise<void>;
  /** Ends for now; what was written may be gone on with, if the store can. */
  close(): Promise<void>;
  /** Ends and forgets all of the file. */
  discard(): Promise<void>;
}

/** A place to keep files. */
export interface Store {
  readonly kind: StoreKind;
  list(): Promise<Kept[]>;
  find(key: string): Promise<Kept | null>;
  /** The bytes that are kept. */
  read(key: string): Promise<ReadableStream<Uint8Array>>;
  /** Appends to what is kept, or starts; null where another tab is writing the same file. */
  append(key: string, offset: number): Promise<StoreWriter | null>;
  remove(key: string): Promise<void>;
}

/** Whether an error says that the browser gives no more room. */
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

/** Whether an error says that the browser did not answer in time. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof Error && error.name === "TimeoutError";
}

/**
 * Seconds in which the browser opens a file, or gives the next bytes of one; Chromium now and then
 * never does.
 */
const PATIENCE_SECONDS = 5;

/** Waits for what the browser answers, but not for ever; `late` takes what comes after that. */
async function patiently<T>(
  answer: Promise<T>,
  seconds: number,
  late: (answer: T) => void = () => undefined,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    const giveUp = () => {
      answer.then(late, () => undefined);
      reject(new DOMException("The browser's store does not answer.", "TimeoutError"));
    };
    // In two halves: after a pause of the whole computer the first ends at once, and the answer still
    // has the second to come in.
    const half = seconds * 500;
    timer = setTimeout(() => {
      timer = setTimeout(giveUp, half);
    }, half);
  });
  try {
    return await Promise.race([answer, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same bytes, with an error where none come for a while. */
function patientStream(
  bytes: ReadableStream<Uint8Array>,
  seconds: number,
): ReadableStream<Uint8Array> {
  const reader = bytes.getReader();
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await patiently(reader.read(), seconds);
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    // Nothing is read ahead, so the time counts only while someone waits.
    { highWaterMark: 0 },
  );
}

/** Files in the origin's private file system. */
class FileSystemStore implements Store {
  readonly kind = "file-system";
  readonly #directory: Directory;
  readonly #patience: number;

  constructor(directory: Directory, patience: number) {
    this.#directory = directory;
    this.#patience = patience;
  }

  async list(): Promise<Kept[]> {
    const names: string[] = [];
    for await (const name of this.#directory.keys()) names.push(name);
    const keys = names.filter((name) => name.endsWith(ABOUT)).map((name) => name.slice(0, -5));
    const kept = await Promise.all(keys.map((key) => this.find(key)));
    return kept.filter((one) => one !== null);
  }

  async find(key: string): Promise<Kept | null> {
    try {
      const about = await this.#file(key + ABOUT);
      const { size } = await this.#file(key);
      return {
        ...(JSON.parse(await patiently(about.text(), this.#patience)) as About),
        key,
        bytes: size,
      };
    } catch {
      // Not kept, or its description was cut off: then it is fetched again.
      return null;
    }
  }

  async read(key: string): Promise<ReadableStream<Uint8Array>> {
    return patientStream((await this.#file(key)).stream(), this.#patience);
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
    // Without `flush`, which would hold up the worker until the disk has everything: what a crash leaves
    // out is found by the hash when the copy is read.
    const close = async () => handle.close();
    return {
      write: (chunk) => {
        if (handle.write(chunk, { at }) < chunk.length) {
          throw new DOMException("The disk took less than was written.", "QuotaExceededError");
        }
        at += chunk.length;
      },
      describe: (about) => this.#describe(about),
      // The contents first: a description must never promise what is not there.
      complete: async (about) => {
        await close();
        await this.#describe(about);
      },
      close,
      discard: async () => {
        handle.close();
        await this.remove(key);
      },
    };
  }

  async remove(key: string): Promise<void> {
    for (const name of [key + ABOUT, key]) {
      const removed = this.#directory.removeEntry(name);
      await patiently(removed, this.#patience).catch(() => undefined);
    }
  }

  async #describe(about: About): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(about));
    const handle = await this.#open(about.key + ABOUT);
    try {
      handle.truncate(0);
      handle.write(bytes, { at: 0 });
    } finally {
      handle.close();
    }
  }

  async #file(name: string): Promise<File> {
    const file = this.#directory.getFileHandle(name).then((handle) => handle.getFile());
    return patiently(file, this.#patience);
  }

  async #open(name: string): Promise<SyncHandle> {
    const handle = this.#directory
      .getFileHandle(name, { create: true })
      .then((file) => (file as SyncFile).createSyncAccessHandle());
    return patiently(handle, this.#patience, (handle) => handle.close());
  }
}

/** Whole files in the Cache API; a download that is cut off cannot be gone on with. */
class CacheStore implements Store {
  readonly kind = "cache";
  readonly #cache: Cache;
  readonly #patience: number;

  constructor(cache: Cache, patience: number) {
    this.#cache = cache;
    this.#patience = patience;
  }

  /** A key's address in the cache, which no server has. */
  #address = (name: string) => `https://kept.loraloom.invalid/${name}`;

  async list(): Promise<Kept[]> {
    const keys = (await this.#cache.keys())
      .map(({ url }) => decodeURIComponent(new URL(url).pathname.slice(1)))
      .filter((name) => name.endsWith(ABOUT))
      .map((name) => name.slice(0, -5));
    const kept = await Promise.all(keys.map((key) => this.find(key)));
    return kept.filter((one) => one !== null);
  }

  async find(key: string): Promise<Kept | null> {
    try {
      const about = await this.#match(key + ABOUT);
      if (!about) return null;
      const found = (await patiently(about.json(), this.#patience)) as About;
      return { ...found, key, bytes: found.total ?? 0 };
    } catch {
      // It does not answer, or its description was cut off: then it is fetched again.
      return null;
    }
  }

  async read(key: string): Promise<ReadableStream<Uint8Array>> {
    const body = (await this.#match(key))?.body;
    if (!body) throw new Error("The file is not in the cache any more.");
    return patientStream(body, this.#patience);
  }

  #match(name: string): Promise<Response | undefined> {
    return patiently(this.#cache.match(this.#address(name)), this.#patience);
  }

  async append(key: string, offset: number): Promise<StoreWriter | null> {
    if (offset > 0) return null;
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const body = writable.getWriter();
    let failure: unknown = null;
    const put = this.#cache.put(this.#address(key), new Response(readable)).catch((error) => {
      failure = error;
    });
    const stop = async () => {
      await body.abort().catch(() => undefined);
      await put;
      await this.remove(key);
    };
    return {
      write: async (chunk) => {
        if (failure) throw failure;
        await Promise.race([body.write(chunk.slice()), put]);
        if (failure) throw failure;
      },
      describe: async () => undefined,
      complete: async (about) => {
        await body.close();
        await put;
        if (failure) throw failure;
        const text = JSON.stringify(about);
        await this.#cache.put(this.#address(key + ABOUT), new Response(text));
      },
      close: stop,
      discard: stop,
    };
  }

  async remove(key: string): Promise<void> {
    for (const name of [key + ABOUT, key]) await this.#cache.delete(this.#address(name));
  }
}

/** Keeps nothing. */
class NoStore implements Store {
  readonly kind = "memory";
  list = async () => [];
  find = async () => null;
  read = async (): Promise<never> => {
    throw new Error("Nothing is kept.");
  };
  append = async () => null;
  remove = async () => undefined;
}

/** What a browser may offer to keep files in. */
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

/** Opens the best place that the browser offers; `patience` is in seconds. */
export async function openStore(
  offers: StoreOffers = browserOffers(),
  patience = PATIENCE_SECONDS,
): Promise<Store> {
  try {
    if (offers.getDirectory) {
      const root = await offers.getDirectory();
      const directory = await root.getDirectoryHandle(FOLDER, { create: true });
      return new FileSystemStore(directory as Directory, patience);
    }
  } catch {
    // Private windows of some browsers have the interface and refuse its use.
  }
  try {
    if (offers.caches) return new CacheStore(await offers.caches.open(FOLDER), patience);
  } catch {
    // As above.
  }
  return new NoStore();
}

/** A kept file as the page shows it. */
export function toStoredFile(kept: Kept): StoredFile {
  return {
    key: kept.key,
    url: kept.url,
    bytes: kept.bytes,
    complete: kept.sha256 !== null,
    sha256: kept.sha256,
    pinned: !kept.known,
    packed: isPackedKey(kept.key),
  };
}
