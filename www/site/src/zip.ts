// ZIP archives. Files are stored as they are: float32 weights hardly compress.

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_HEADER = 0x02014b50;
const DIRECTORY_END = 0x06054b50;
const VERSION = 20;
const UTF8_NAMES = 0x0800;
/** 1980-01-01: with a fixed date, the same files give the same archive. */
const DATE = 0x0021;
/** Bytes that are summed at a time, so that the page stays responsive. */
const SLICE_BYTES = 2 ** 20;

/** A file of an archive. */
export interface ZipFile {
  path: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** The CRC-32 of one byte, for each byte. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

async function crc32(bytes: Uint8Array): Promise<number> {
  let crc = 0xffffffff;
  for (let from = 0; from < bytes.length; from += SLICE_BYTES) {
    if (from) await new Promise((resolve) => setTimeout(resolve));
    const to = Math.min(bytes.length, from + SLICE_BYTES);
    // By index: an iterator takes seven times as long.
    for (let at = from; at < to; at++) {
      crc = (TABLE[(crc ^ (bytes[at] as number)) & 255] as number) ^ (crc >>> 8);
    }
  }
  return ~crc >>> 0;
}

/** Little-endian fields of 2 or 4 bytes. */
function record(...fields: [size: 2 | 4, value: number][]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

/** An archive of files; each is below 4 GiB, and so is their sum. */
export async function zip(files: ZipFile[]): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array<ArrayBuffer>[] = [];
  const sizeOf = (some: Uint8Array[]) => some.reduce((sum, { length }) => sum + length, 0);
  for (const { path, bytes } of files) {
    const name = new TextEncoder().encode(path);
    const offset = sizeOf(parts);
    const common: [2 | 4, number][] = [
      [2, VERSION],
      [2, UTF8_NAMES],
      [2, 0], // stored
      [2, 0],
      [2, DATE],
      [4, await crc32(bytes)],
      [4, bytes.length],
      [4, bytes.length],
      [2, name.length],
      [2, 0],
    ];
    parts.push(record([4, LOCAL_HEADER], ...common), name, bytes);
    const where: [2 | 4, number][] = [
      [2, 0], // comment
      [2, 0], // disk
      [2, 0],
      [4, 0],
      [4, offset],
    ];
    directory.push(record([4, DIRECTORY_HEADER], [2, VERSION], ...common, ...where), name);
  }
  const end = record(
    [4, DIRECTORY_END],
    [2, 0],
    [2, 0],
    [2, files.length],
    [2, files.length],
    [4, sizeOf(directory)],
    [4, sizeOf(parts)],
    [2, 0],
  );
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
