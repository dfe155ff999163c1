// The memory of builds whose threads share it, where it must not grow while they run: Safari 26.2's threads do not
// notice that another has grown it, and copies within the new part trap (WebKit bug 303387).

/** Bytes of a page of WebAssembly memory. */
const PAGE = 65536;
/** Pages at the start, of which a build needs about 20. */
const START_PAGES = 32;
/** Pages that are not reserved, for what the engine's allocator adds to what it is asked for. */
const SPARE_PAGES = 4;
/** Limits in pages, the first that the browser gives: 2 GB, 1 GB, 512 MB. Phones reserve a limit at once. */
const LIMITS = [32768, 16384, 8192];

/** Constructs shared memory. */
export type CreateMemory = (limits: WebAssembly.MemoryDescriptor) => WebAssembly.Memory;

const createMemory: CreateMemory = (limits) => new WebAssembly.Memory(limits);

/** Whether pages get memory that threads could share, which a page that is not isolated uses alone. */
export function canShareMemory(create: CreateMemory = createMemory): boolean {
  try {
    create({ initial: 1, maximum: 1, shared: true });
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether shared memory may grow while threads run: not in WebKit, whose versions cannot be told apart within other
 * browsers of iOS, and on which Bun is built.
 */
export function sharedMemoryGrows(userAgent: string): boolean {
  return !/AppleWebKit\/|^Bun\//.test(userAgent) || /Chrom(e|ium)\//.test(userAgent);
}

/** Shared memory and the pages that it has at most. */
export interface LimitedMemory {
  memory: WebAssembly.Memory;
  maximum: number;
}

/** Memory with the highest limit that the browser gives; null where it gives none. */
export function createLimitedMemory(create: CreateMemory = createMemory): LimitedMemory | null {
  for (const maximum of LIMITS) {
    try {
      return { memory: create({ initial: START_PAGES, maximum, shared: true }), maximum };
    } catch {}
  }
  return null;
}

/**
 * Grows memory to its limit, for the engine's allocator; returns whether the browser gave that much.
 *
 * @param reserve the engine's function that grows its memory and keeps the bytes for later
 */
export function growToLimit(
  { memory, maximum }: LimitedMemory,
  reserve: (bytes: number) => boolean,
): boolean {
  const pagesLeft = () => maximum - memory.buffer.byteLength / PAGE;
  if (!reserve((pagesLeft() - SPARE_PAGES) * PAGE)) return false;
  memory.grow(pagesLeft());
  return true;
}
