// The one place that calls into WebAssembly go through: after a trap, the engine's memory is in an unknown state.

/** The exports of an engine, and what keeps them from being called after a trap. */
export interface Guarded<T> {
  module: T;
  /** Says that the engine trapped where no call could catch it. */
  onTrap(trap: WebAssembly.RuntimeError): void;
}

/** Whether an error is a trap: the engine's memory is in an unknown state after it. */
export const isTrap = (error: unknown): error is WebAssembly.RuntimeError =>
  error instanceof WebAssembly.RuntimeError;

type Callable = (...values: unknown[]) => unknown;

/**
 * Guards the exports of an engine. After its first trap none is called again: each call throws that trap, so that no
 * error of a clean-up takes its place, and freeing an object does nothing.
 *
 * @param isOutside whether an export does not call into WebAssembly
 */
export function keepFirstTrap<T extends object>(
  exports: T,
  isOutside: (name: string) => boolean = () => false,
): Guarded<T> {
  let first: WebAssembly.RuntimeError | null = null;
  const note = (error: unknown): unknown => {
    if (isTrap(error)) first ??= error;
    return first ?? error;
  };
  const call = (work: () => unknown): unknown => {
    if (first) throw first;
    try {
      const result = work();
      if (!(result instanceof Promise)) return result;
      return result.catch((error) => {
        throw note(error);
      });
    } catch (error) {
      throw note(error);
    }
  };
  const isFree = (name: PropertyKey) => name === "free" || name === Symbol.dispose;
  const guardMethods = (owner: object) => {
    for (const name of Reflect.ownKeys(owner)) {
      const { value, writable } = Object.getOwnPropertyDescriptor(owner, name) ?? {};
      if (typeof value !== "function" || !writable || name === "constructor") continue;
      const method = value as Callable;
      const guarded = function (this: unknown, ...values: unknown[]) {
        if (first && isFree(name)) return undefined;
        return call(() => method.apply(this, values));
      };
      Object.defineProperty(owner, name, { value: guarded, writable: true, configurable: true });
    }
  };
  const guard = (name: string, value: unknown): unknown => {
    if (typeof value !== "function" || isOutside(name)) return value;
    const isClass = typeof value.prototype?.free === "function";
    if (isClass) {
      guardMethods(value.prototype);
      guardMethods(value);
    }
    return new Proxy(value, {
      apply: (target, self, values) => call(() => Reflect.apply(target, self, values)),
      construct: (target, values) => call(() => Reflect.construct(target, values)) as object,
    });
  };
  const entries = Object.entries(exports).map(([name, value]) => [name, guard(name, value)]);
  return { module: Object.fromEntries(entries) as T, onTrap: note };
}
