// A folder of this computer in the form of a browser's private file system, to store files in Node.

import { nodeModule } from "../node.js";

/** Bytes read at once. */
const CHUNK_BYTES = 2 ** 20;

/** The folder at a path; it is created if it is missing. */
export async function nodeFolder(path: string): Promise<FileSystemDirectoryHandle> {
  const [fs, paths] = [nodeModule("node:fs"), nodeModule("node:path")];
  if (!fs || !paths) throw new Error("Only Node stores files in a folder.");
  const { promises } = fs;
  await promises.mkdir(path, { recursive: true });
  const at = (name: string) => paths.join(path, name);

  const getFile = async (name: string) => {
    const file = await promises.open(at(name), "r");
    const { size } = await file.stat();
    await file.close();
    return {
      size,
      text: async () => new TextDecoder().decode(await promises.readFile(at(name))),
      stream: () => streamOf(at(name)),
    };
  };
  const createSyncAccessHandle = async (name: string) => {
    const { O_RDWR, O_CREAT } = fs.constants;
    const file = fs.openSync(at(name), O_RDWR | O_CREAT);
    return {
      write: (bytes: Uint8Array, { at }: { at: number }) =>
        fs.writeSync(file, bytes, 0, bytes.length, at),
      truncate: (bytes: number) => fs.ftruncateSync(file, bytes),
      close: () => fs.closeSync(file),
    };
  };
  const folder = {
    getDirectoryHandle: async () => folder,
    async *keys() {
      yield* await promises.readdir(path);
    },
    getFileHandle: async (name: string) => ({
      getFile: () => getFile(name),
      createSyncAccessHandle: () => createSyncAccessHandle(name),
    }),
    removeEntry: (name: string) => promises.rm(at(name)),
  };
  return folder as unknown as FileSystemDirectoryHandle;
}

/** The bytes of a file, from `start` up to `end`. */
export function streamOf(
  path: string,
  start = 0,
  end = Number.POSITIVE_INFINITY,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const opened = nodeModule("node:fs")?.promises.open(path, "r");
  let position = start;
  return new ReadableStream(
    {
      async pull(controller) {
        const file = await opened;
        const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - position));
        const bytesRead = (await file?.read(buffer, 0, buffer.length, position))?.bytesRead ?? 0;
        position += bytesRead;
        if (bytesRead > 0) controller.enqueue(buffer.subarray(0, bytesRead));
        if (position < end && bytesRead > 0) return;
        controller.close();
        await file?.close();
      },
      cancel: async () => (await opened)?.close(),
    },
    { highWaterMark: 0 },
  );
}
