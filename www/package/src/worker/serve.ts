// The message loop of the worker: requests in, events and one answer out, stops in between.

import { reasonOf } from "../errors.js";
import type { ErrorReport, FromWorker, ToWorker } from "../protocol.js";
import { loraLoomError, reportOf } from "./errors.js";
import { isTrap } from "./first-trap.js";
import { LARGE_BYTES } from "./memory.js";
import { handle, type WorkerSession } from "./session.js";

/** The report of a trap, after which the engine's memory is in an unknown state. */
function trapReport(error: WebAssembly.RuntimeError, session: WorkerSession): ErrorReport {
  const reason = reasonOf(error);
  const bytes = session.memoryBytes();
  return reportOf(
    session.isFull()
      ? loraLoomError("trap-memory", { reason, bytes, more: LARGE_BYTES })
      : loraLoomError("trap", { reason }),
  );
}

/** The entry points of a worker. */
export interface WorkerEntry {
  /** Called with each message of the page. */
  receive(message: ToWorker): Promise<void>;
  /** Called with errors that no promise carries, as traps are; returns whether it was one. */
  onUncaught(error: unknown): boolean;
}

/** The entry points over a session. */
export function startWorker(
  session: WorkerSession,
  post: (message: FromWorker) => void,
): WorkerEntry {
  const running = new Map<number, { abort: AbortController; stop: AbortController }>();
  let crashed = false;
  const onUncaught = (error: unknown): boolean => {
    if (!isTrap(error)) return false;
    // What follows from the first trap would hide it.
    if (!crashed) {
      crashed = true;
      session.onTrap(error);
      post({ crashed: trapReport(error, session) });
    }
    return true;
  };
  const receive = async (message: ToWorker) => {
    // The page replaces this worker.
    if (crashed) return;
    const { id } = message;
    if ("abort" in message) running.get(id)?.abort.abort();
    if ("stop" in message) running.get(id)?.stop.abort();
    if (!("request" in message)) return;
    const [abort, stop] = [new AbortController(), new AbortController()];
    running.set(id, { abort, stop });
    try {
      const result = await handle(session, message.request, {
        signal: abort.signal,
        stop: stop.signal,
        onEvent: (event) => {
          if (!crashed) post({ id, event });
        },
      });
      if (!crashed) post({ id, result });
    } catch (error) {
      if (onUncaught(error) || crashed) return;
      if (abort.signal.aborted) {
        post({ id, aborted: true });
      } else {
        const cause = error instanceof Error ? error.cause : undefined;
        // Other values may not be cloneable.
        post({ id, error: reportOf(error), ...(cause instanceof Error ? { cause } : {}) });
      }
    } finally {
      running.delete(id);
    }
  };
  return { receive, onUncaught };
}
