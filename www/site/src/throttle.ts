// Batches values that arrive faster than they can be drawn.

/** Milliseconds between two batches. Drawing an evaluation takes as long as computing it. */
const INTERVAL_MS = 100;

/** Emits the first value at once, and then at most one batch per interval, in order. */
export class BatchThrottle<T> {
  readonly #emit: (values: T[]) => void;
  #pending: T[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(emit: (values: T[]) => void) {
    this.#emit = emit;
  }

  /** Adds a value to the current batch. */
  push(value: T): void {
    this.#pending.push(value);
    if (this.#timer === undefined) this.#startInterval();
  }

  /** Emits the pending values now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.length) this.#emit(this.#pending.splice(0));
  }

  #startInterval(): void {
    this.flush();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#pending.length) this.#startInterval();
    }, INTERVAL_MS);
  }
}
