/**
 * LoraHub in the browser: learns one weight for each LoRA module from a few examples, in a worker,
 * with no server.
 *
 * @packageDocumentation
 */

export {
  type GenerateCall,
  type InspectOptions,
  type LearnCall,
  type LoadOptions,
  LoraLoom,
  type OpenOptions,
  type Restored,
  type ShareCall,
  type SuggestCall,
  type TestCall,
} from "./client.js";
export { LoraLoomError } from "./errors.js";
export type * from "./generated/protocol.js";
export type { CallOptions, WorkerLike } from "./link.js";
export type { FromWorker, Progress, ToWorker } from "./messages.js";
export { DEFAULT_HUB, describeSource, filesSource, parseSource } from "./sources.js";
