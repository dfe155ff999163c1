// Starting an engine that crashed too often to be started again by itself.

import { text } from "../text.js";
import { loom, restartError, withLoading } from "./session.js";

/** Starts the engine again with what was loaded. */
export async function startAgain(): Promise<void> {
  await withLoading(text.stages.engine, async () => loom.value?.restart(), restartError);
}
