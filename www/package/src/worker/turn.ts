// Turns of the worker's event loop, and the order of calls that must not overlap.

/** Resolves after the messages that have arrived are handled. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** A function that runs calls one after another, in the order in which they are made. */
export function serializeCalls(): <T>(call: () => T | Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (call) => {
    const result = last.then(call);
    last = result.catch(() => undefined);
    return result;
  };
}
