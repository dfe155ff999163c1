// Turns of the worker's event loop.

/** Lets messages in: a cancel posted meanwhile is handled before this resolves. */
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
