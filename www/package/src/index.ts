/**
 * LoraHub in the browser: learns one weight for each LoRA module from a few examples, in a worker,
 * with no server.
 *
 * @packageDocumentation
 */

export { LoraLoom } from "./client.js";
export { LoraLoomError } from "./errors.js";
export type { CallOptions, WorkerLike } from "./link.js";
export type * from "./options.js";
export type * from "./protocol.js";
export type { RunningCall } from "./running-call.js";
export {
  addressSource,
  DEFAULT_HUB,
  describeSource,
  droppedFiles,
  filesSource,
} from "./sources.js";
export { groupWeights, meanWeight } from "./weights.js";
