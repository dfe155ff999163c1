// The worker's entry: connects the worker's scope to a session.

import type { FromWorker, ToWorker } from "./protocol.js";
import { detectCapabilities } from "./worker/capabilities.js";
import { loadEngine } from "./worker/engine.js";
import { startWorker } from "./worker/serve.js";
import { WorkerSession } from "./worker/session.js";

/** The part of a worker's global scope that is used here. */
interface Scope {
  onmessage: ((message: MessageEvent<ToWorker>) => void) | null;
  onerror: OnErrorEventHandler;
  postMessage(message: FromWorker): void;
}

const scope = self as unknown as Scope;
const worker = startWorker(new WorkerSession({ detectCapabilities, loadEngine }), (message) =>
  scope.postMessage(message),
);
scope.onmessage = ({ data }) => void worker.receive(data);
// A trap in an asynchronous method of the engine leaves its promise unsettled.
scope.onerror = (_message, _source, _line, _column, error) => worker.onUncaught(error);
