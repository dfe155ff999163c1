// The shortlist: the modules that are downloaded from a large library, and why.

import { Problem } from "../components/problem.js";
import { ProgressBar } from "../components/progress-bar.js";
import { details } from "../details-text.js";
import { occupied } from "../state/learn.js";
import {
  baseBytes,
  bytesOf,
  clearShortlist,
  removeFromShortlist,
  searchError,
  shortlist,
  suggestModules,
  suggestProgress,
} from "../state/library.js";
import { base, busy, cancelLoading, loom } from "../state/session.js";
import { options } from "../state/settings.js";
import { filledExamples } from "../state/task.js";
import { text } from "../text.js";
import { PickableTitle, sizeText } from "./library.js";

/** The modules to download, and a button that suggests them. */
export function Shortlist() {
  const entries = shortlist.value;
  const total = bytesOf(entries.map(({ module }) => module));
  const comparing = suggestProgress.value;
  const words = details.shortlist;
  const limit = options.value?.modules ?? 0;
  return (
    <section class="shortlist" aria-label={words.label}>
      <div class="row">
        {comparing ? (
          <>
            <button type="button" onClick={cancelLoading}>
              {words.stop}
            </button>
            <ProgressBar value={comparing.done} max={comparing.total} label={words.compared} />
            <p class="status">{text.learn.comparing(comparing.done, comparing.total)}</p>
          </>
        ) : (
          <>
            <button
              type="button"
              disabled={!loom.value || busy.value || occupied.value}
              onClick={() => {
                const examples = filledExamples();
                if (examples) void suggestModules(examples, limit);
              }}
            >
              {words.find}
            </button>
            <p class="status">{base.value ? words.compares : words.downloads(baseBytes.value)}</p>
          </>
        )}
      </div>
      <Problem error={searchError.value} />
      {entries.length > 0 && (
        <>
          <div class="card-head">
            <h3 data-testid="to-fetch">{words.toDownload(entries.length, total)}</h3>
            <button type="button" class="quiet" disabled={occupied.value} onClick={clearShortlist}>
              {words.removeAll}
            </button>
          </div>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
          <ul class="chosen" tabIndex={0} aria-label={words.label}>
            {entries.map(({ module, reason }) => (
              <li key={module.id} class="card" data-chosen={module.id}>
                <div class="card-head">
                  <PickableTitle id={module.id} title={module.title} />
                  <button
                    type="button"
                    class="quiet"
                    disabled={occupied.value}
                    aria-label={words.removeOf(module.title)}
                    onClick={() => removeFromShortlist(module.id)}
                  >
                    ×
                  </button>
                </div>
                <p class="details">
                  {reason}; {sizeText(module)}
                </p>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
