// The message loop of the worker: requests in, events and one answer out, cancels in between.

import { isErrorReport, reportOf } from "../errors.js";
import type { ErrorReport } from "../generated/protocol.js";
import type { FromWorker, ToWorker } from "../messages.js";
import type { Session } from "./session.js";

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

/** Answers with the function that takes the page's messages. */
export function startWorker(
  session: Session,
  post: (message: FromWorker) => void,
): (message: ToWorker) => Promise<void> {
  const running = new Map<number, AbortController>();
  return async (message) => {
    const { id } = message;
    if ("cancel" in message) {
      running.get(id)?.abort();
      return;
    }
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const result = await session.handle(message.request, {
        signal: controller.signal,
        onEvent: (event) => post({ id, event }),
      });
      post({ id, result });
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) {
        post({ id, crashed: crashReport(error) });
      } else if (controller.signal.aborted && !isErrorReport(error)) {
        post({ id, aborted: true });
      } else {
        post({ id, error: reportOf(error, "The request failed.") });
      }
    } finally {
      running.delete(id);
    }
  };
}
