// The button below the error of an engine that crashed too often to be started again by itself.

import { details } from "../details-text.js";
import { loom, restartError } from "../state/session.js";
import { startAgain } from "../state/start-again.js";

export function StartAgain() {
  // The last error of an engine is that of its end.
  if (!restartError.value || !loom.value?.ended) return null;
  return (
    <button type="button" onClick={() => void startAgain()}>
      {details.startAgain}
    </button>
  );
}
