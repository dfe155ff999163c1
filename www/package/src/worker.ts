// The worker's entry: connects the worker's scope to a session. Does nothing where it is imported outside
// of a worker.

import { nodePort, scopePort, WORKER_NAME } from "./module-worker.js";
import type { FromWorker } from "./protocol.js";
import { detectCapabilities } from "./worker/capabilities.js";
import { loadEngine } from "./worker/engine.js";
import { startWorker } from "./worker/serve.js";
import { WorkerSession } from "./worker/session.js";

const port = nodePort(WORKER_NAME) ?? scopePort();
if (port) {
  const post = (message: FromWorker) => port.postMessage(message);
  const worker = startWorker(new WorkerSession({ detectCapabilities, loadEngine }), post);
  port.onmessage = ({ data }) => void worker.receive(data);
  // A trap in an asynchronous method of the engine leaves its promise unsettled.
  port.onUncaught(worker.onUncaught);
  post({ ready: true });
}
