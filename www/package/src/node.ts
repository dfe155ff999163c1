// The parts of Node's modules that are used in Node, Deno and Bun. They are looked up, not imported:
// bundlers for browsers refuse such imports.

/** A worker of Node, or the port of its other end. */
interface NodePort {
  on(event: "message", listener: (data: unknown) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  postMessage(message: unknown): void;
}

interface NodeStats {
  size: number;
  mtimeMs: number;
  isFile(): boolean;
}

interface NodeFile {
  stat(): Promise<NodeStats>;
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
  close(): Promise<void>;
}

interface NodeModules {
  "node:fs": {
    promises: {
      open(path: string, flags: "r"): Promise<NodeFile>;
      readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
      readdir(path: string): Promise<string[]>;
      mkdir(path: string, options: { recursive: true }): Promise<unknown>;
      rm(path: string): Promise<void>;
    };
    constants: { O_RDWR: number; O_CREAT: number };
    openSync(path: string, flags: number): number;
    writeSync(
      file: number,
      bytes: Uint8Array,
      offset: number,
      length: number,
      position: number,
    ): number;
    ftruncateSync(file: number, bytes: number): void;
    closeSync(file: number): void;
  };
  "node:os": { availableParallelism(): number };
  "node:path": { join(...parts: string[]): string };
  "node:url": { pathToFileURL(path: string): URL; fileURLToPath(url: string): string };
  "node:worker_threads": {
    Worker: new (
      url: URL,
      options: { name: string; workerData: unknown },
    ) => NodePort & { terminate(): Promise<number> };
    parentPort: NodePort | null;
    workerData: unknown;
  };
}

interface Process {
  getBuiltinModule?<K extends keyof NodeModules>(name: K): NodeModules[K] | undefined;
  on(event: "uncaughtException", listener: (error: unknown, origin: string) => void): void;
}

/** Node's `process`; undefined in browsers. */
export function nodeProcess(): Process | undefined {
  return (globalThis as { process?: Process }).process;
}

/** A module of Node; null in browsers. */
export function nodeModule<K extends keyof NodeModules>(name: K): NodeModules[K] | null {
  return nodeProcess()?.getBuiltinModule?.(name) ?? null;
}

/** The address of a path or of an address, as Node has them. */
export function nodeAddress(pathOrUrl: string | URL): string {
  // A single letter is a drive of Windows.
  const isUrl = pathOrUrl instanceof URL || /^[a-z][a-z\d+.-]+:/i.test(pathOrUrl);
  const url = isUrl ? new URL(pathOrUrl) : nodeModule("node:url")?.pathToFileURL(pathOrUrl);
  return url?.href ?? String(pathOrUrl);
}

/** The path of a path or of a `file:` address; null in browsers, and for other addresses. */
export function nodePath(pathOrUrl: string | URL): string | null {
  const address = nodeAddress(pathOrUrl);
  const url = nodeModule("node:url");
  return url && address.startsWith("file:") ? url.fileURLToPath(address) : null;
}
