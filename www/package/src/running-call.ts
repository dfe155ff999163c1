// A call that can be awaited, iterated over, and stopped.

/** What a running call gives to its work. */
export interface CallControl<Step> {
  /** Aborts when the call is stopped. */
  stop: AbortSignal;
  /** Adds a step to those that are iterated over. */
  onStep(step: Step): void;
}

/**
 * A running call: the promise of its result, and an async iterable of its steps.
 *
 * Leaving a `for await` loop early stops the call.
 *
 * @example
 * ```ts
 * const call = loom.learn({ examples });
 * for await (const { number, loss } of call) {
 *   console.log(number, loss);
 *   if (loss < 0.1) break; // as call.stop()
 * }
 * const learned = await call; // `learned.complete` is false after a stop
 * ```
 */
export class RunningCall<Result, Step> implements Promise<Result>, AsyncIterable<Step> {
  readonly [Symbol.toStringTag] = "RunningCall";
  readonly #stopping = new AbortController();
  readonly #steps: Step[] = [];
  readonly #result: Promise<Result>;
  #ended = false;
  #waiting: (() => void)[] = [];

  /** @internal */
  constructor(work: (control: CallControl<Step>) => Promise<Result>) {
    const onStep = (step: Step) => {
      this.#steps.push(step);
      this.#wake();
    };
    this.#result = work({ stop: this.#stopping.signal, onStep }).finally(() => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Ends the call. It resolves with what was reached, and `complete: false`. */
  stop(): Promise<Result> {
    this.#stopping.abort();
    return this.#result;
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise.
  then<A = Result, B = never>(
    onResult?: ((result: Result) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#result.then(onResult, onError);
  }

  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null) {
    return this.#result.catch(onError);
  }

  finally(onEnd?: (() => void) | null) {
    return this.#result.finally(onEnd);
  }

  /** Iterates over the steps from the first on; throws where the call rejects. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Step, void, undefined> {
    // The loop throws the error, so the promise itself may stay without a handler.
    this.#result.catch(() => undefined);
    try {
      for (let next = 0; ; ) {
        if (next < this.#steps.length) yield this.#steps[next++] as Step;
        else if (this.#ended) break;
        else await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      await this.#result;
    } finally {
      this.#stopping.abort();
    }
  }

  #wake(): void {
    for (const resume of this.#waiting) resume();
    this.#waiting = [];
  }
}
