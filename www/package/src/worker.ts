// The worker's entry: turns messages into requests of a session and posts back what comes of them.

import { isErrorReport, reportOf } from "./errors.js";
import type { ErrorReport } from "./generated/protocol.js";
import type { FromWorker, ToWorker } from "./messages.js";
import { detectCapabilities, loadEngine } from "./worker/engine.js";
import { Session } from "./worker/session.js";

/** The part of a worker's global scope that is used here. */
interface Scope {
  onmessage: ((message: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}

const scope = self as unknown as Scope;
const session = new Session({ detectCapabilities, loadEngine });
const running = new Map<number, AbortController>();

/** After a trap the engine's memory cannot be trusted: the page starts a new worker. */
function crashReport(error: WebAssembly.RuntimeError): ErrorReport {
  const memory = /memory|allocation/i.test(error.message);
  return {
    what: "The engine stopped.",
    why: memory
      ? `It ran out of memory (${error.message}).`
      : `It met a state that it does not handle (${error.message}).`,
    next: memory
      ? "It is started again with what was loaded. Use fewer modules or shorter inputs."
      : "It is started again with what was loaded. Try once more, and report it if it comes back.",
  };
}

scope.onmessage = async ({ data }) => {
  const { id } = data;
  if ("cancel" in data) {
    running.get(id)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const result = await session.handle(data.request, {
      signal: controller.signal,
      onEvent: (event) => scope.postMessage({ id, event }),
    });
    scope.postMessage({ id, result });
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) {
      scope.postMessage({ id, crashed: crashReport(error) });
    } else if (controller.signal.aborted && !isErrorReport(error)) {
      scope.postMessage({ id, aborted: true });
    } else {
      scope.postMessage({ id, error: reportOf(error, "The request failed.") });
    }
  } finally {
    running.delete(id);
  }
};
