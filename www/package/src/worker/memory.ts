// Memory that threads share: whether the browser gives it, with which limit, and whether a thread notices that another
// has grown it. Those of Safari 26.2 do not, and copies into the new part trap (WebKit bug 303387).

/** Pages at the start, of 65,536 bytes; a build needs about 20. */
const START_PAGES = 32;
/** Limits in pages, from 4 GB to 512 MB: browsers reserve the limit at once, and phones do not give the highest. */
const LIMITS = [65536, 32768, 16384, 8192];

/** Constructs shared memory. */
export type CreateMemory = (limits: WebAssembly.MemoryDescriptor) => WebAssembly.Memory;

const create: CreateMemory = (limits) => new WebAssembly.Memory(limits);

/** Memory with the highest limit that the browser gives; null where it gives none. */
export function createSharedMemory(createMemory = create): WebAssembly.Memory | null {
  for (const maximum of LIMITS) {
    try {
      return createMemory({ initial: START_PAGES, maximum, shared: true });
    } catch {}
  }
  return null;
}

/** Whether pages get memory that threads could share, which a page that is not isolated uses alone. */
export function canShareMemory(createMemory = create): boolean {
  try {
    createMemory({ initial: 1, maximum: 1, shared: true });
    return true;
  } catch {
    return false;
  }
}

/** What an engine's memory grows by in {@link isFull}, in pages: 64 MB, more than any allocation but those it reserves. */
const LARGE_PAGES = 1024;
const PAGE_BYTES = 65536;
/** The same in bytes. */
export const LARGE_BYTES = LARGE_PAGES * PAGE_BYTES;
/** What an engine takes at its start, in bytes. */
export const START_BYTES = START_PAGES * PAGE_BYTES;

/**
 * Whether memory has no room left for a large allocation, so that an engine that trapped has most likely failed to get
 * one. Grows the memory: only for an engine that is not called again.
 */
export function isFull(memory: WebAssembly.Memory): boolean {
  try {
    memory.grow(LARGE_PAGES);
    return false;
  } catch {
    return true;
  }
}

/** A module with a function `f` that fills the first bytes of the second page of the memory `m.m`. */
const FILL_MODULE = [
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
  ...[0x02, 0x09, 0x01, 0x01, 0x6d, 0x01, 0x6d, 0x02, 0x03, 0x01, 0x02],
  ...[0x03, 0x02, 0x01, 0x00, 0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00],
  ...[0x0a, 0x0f, 0x01, 0x0d, 0x00, 0x41, 0x80, 0x80, 0x04, 0x41, 0x01, 0x41, 0x10],
  ...[0xfc, 0x0b, 0x00, 0x0b],
];

/** Memory with one page that can grow by another, for {@link growthCheck}. */
export const createGrowing = () => create({ initial: 1, maximum: 2, shared: true });

/**
 * Prepares a check in the thread that calls it.
 *
 * @param growing has one page
 * @returns a function that says whether this thread notices a second page; another thread grows the memory before
 */
export async function growthCheck(growing: WebAssembly.Memory): Promise<() => boolean> {
  const module = new Uint8Array(FILL_MODULE);
  const { instance } = await WebAssembly.instantiate(module, { m: { m: growing } });
  const { f } = instance.exports as { f(): void };
  return () => {
    try {
      f();
      return true;
    } catch {
      return false;
    }
  };
}
