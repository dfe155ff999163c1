// What comes faster than it can be drawn.

/** Milliseconds from one drawing to the next: drawing an evaluation takes as long as making one. */
const PAUSE = 100;

/** Hands things on in the order they came: the first at once, those of a pause together after it. */
export class Paced<T> {
  readonly #show: (things: T[]) => void;
  #waiting: T[] = [];
  #pause: ReturnType<typeof setTimeout> | undefined;

  constructor(show: (things: T[]) => void) {
    this.#show = show;
  }

  add(thing: T): void {
    this.#waiting.push(thing);
    if (this.#pause === undefined) this.#handOn();
  }

  /** Hands on what still waits, now. */
  finish(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    if (this.#waiting.length) this.#show(this.#waiting.splice(0));
  }

  #handOn(): void {
    this.finish();
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      if (this.#waiting.length) this.#handOn();
    }, PAUSE);
  }
}
