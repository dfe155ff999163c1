/**
 * LoraHub in the browser: learns one weight for each LoRA module from a few examples, in a worker,
 * with no server.
 *
 * @packageDocumentation
 */

export { LoraLoom } from "./client.js";
export { LoraLoomError } from "./errors.js";
export type * from "./generated/protocol.js";
export type { CallOptions, WorkerLike } from "./link.js";
export type { FromWorker, Progress, ToWorker } from "./messages.js";
export type {
  GenerateCall,
  InspectOptions,
  LearnCall,
  LoadOptions,
  OpenOptions,
  Restored,
  ShareCall,
  SuggestCall,
  TestCall,
} from "./options.js";
export { DEFAULT_HUB, describeSource, filesSource, parseSource } from "./sources.js";
