// The worker's entry: connects the worker's scope to a session.

import type { FromWorker, ToWorker } from "./protocol.js";
import { detectCapabilities } from "./worker/capabilities.js";
import { loadEngine } from "./worker/engine.js";
import { startWorker } from "./worker/serve.js";
import { WorkerSession } from "./worker/session.js";

/** The part of a worker's global scope that is used here. */
interface Scope {
  onmessage: ((message: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}

const scope = self as unknown as Scope;
const receive = startWorker(new WorkerSession({ detectCapabilities, loadEngine }), (message) =>
  scope.postMessage(message),
);
scope.onmessage = ({ data }) => void receive(data);
