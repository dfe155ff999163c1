// Waiting for a promise with a limit in time.

/** Options of {@link withTimeout}. */
export interface TimeoutOptions<T> {
  /** Ends the waiting with its reason. */
  signal?: AbortSignal;
  /** Called with a value that comes too late. */
  onLate?: (value: T) => void;
}

/**
 * The value of a promise, if it comes in time.
 *
 * @throws a `TimeoutError` (`DOMException`) after `seconds`, or the signal's reason
 */
export async function withTimeout<T>(
  promise: Promise<T>,
  seconds: number,
  { signal, onLate = () => undefined }: TimeoutOptions<T> = {},
): Promise<T> {
  // A failure after the limit is not handled by any caller.
  promise.catch(() => undefined);
  signal?.throwIfAborted();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: () => void = () => undefined;
  const limit = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal?.reason);
    signal?.addEventListener("abort", onAbort);
    const giveUp = () => {
      promise.then(onLate, () => undefined);
      reject(new DOMException(`nothing came for ${seconds} seconds`, "TimeoutError"));
    };
    // In two halves: after the whole computer was suspended the first half ends at once, and the
    // promise still has the second.
    const half = seconds * 500;
    timer = setTimeout(() => {
      timer = setTimeout(giveUp, half);
    }, half);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Whether an error is that of {@link withTimeout}. */
export function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === "TimeoutError";
}
