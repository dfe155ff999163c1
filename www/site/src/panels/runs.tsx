// The mixes that were learned here: to open again, to delete, and as a file.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { weaveUrl } from "../charts/weave.js";
import { download, FileInput } from "../components/files.js";
import { Problem } from "../components/problem.js";
import { details } from "../details-text.js";
import { exportRuns, importRuns, openRun, removeRun } from "../state/kept.js";
import { occupied } from "../state/learn.js";
import { routable, route, routed, routeError, routing } from "../state/route.js";
import { readRuns, runs, runsError } from "../state/runs.js";
import { base, busy } from "../state/session.js";

export function Runs() {
  const imported = useSignal<number | null>(null);
  useEffect(() => void readRuns(), []);
  const kept = runs.value;
  const words = details.runs;
  if (!kept) return null;
  return (
    <>
      {kept.length === 0 ? (
        <p class="status">{words.none}</p>
      ) : (
        <ul class="runs">
          {kept.map((run) => (
            <li key={run.fragment}>
              <img src={weaveUrl(run.mix.desk.modules)} width={28} height={28} alt="" />
              <div>
                <button
                  type="button"
                  class="plain"
                  disabled={busy.value || occupied.value}
                  onClick={() => openRun(run)}
                >
                  {run.mix.title}
                </button>
                <p class="status">
                  {words.facts(
                    run.right?.correct ?? null,
                    run.right?.total ?? 0,
                    run.mix.desk.modules.length,
                    run.mix.desk.tuned !== undefined,
                    new Date(run.time).toLocaleDateString("en", { dateStyle: "medium" }),
                  )}
                </p>
              </div>
              <button
                type="button"
                class="quiet"
                aria-label={words.removeOf(run.mix.title)}
                onClick={() => void removeRun(run.fragment)}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      <div class="row small">
        {kept.length > 0 && (
          <button type="button" onClick={() => download(exportRuns(), "loraloom-mixes.json")}>
            {words.export}
          </button>
        )}
        <FileInput
          label={words.import}
          accept=".json"
          onFiles={async ([file]) => {
            if (file) imported.value = await importRuns(await file.text());
          }}
        />
        <p class="status" role="status">
          {imported.value === null ? "" : words.imported(imported.value)}
        </p>
      </div>
      <Problem error={runsError.value} />
      {routable.value.length > 1 && <Router />}
    </>
  );
}

/** An input that is answered by the mix that fits. */
function Router() {
  const typed = useSignal("");
  const words = details.runs;
  const progress = routing.value;
  const answer = routed.value;
  return (
    <form
      class="router"
      onSubmit={(event) => {
        event.preventDefault();
        void route(typed.value);
      }}
    >
      <label class="field">
        <span>{words.routeInput(routable.value.length)}</span>
        <input
          value={typed.value}
          onInput={({ currentTarget }) => {
            typed.value = currentTarget.value;
          }}
        />
      </label>
      <div class="row small">
        <button type="submit" disabled={!base.value || busy.value || occupied.value || !!progress}>
          {words.route}
        </button>
      </div>
      <p class="status" role="status" data-testid="routed">
        {progress
          ? words.routing(progress.done, progress.total)
          : answer && words.routed(answer.title, answer.text)}
      </p>
      <Problem error={routeError.value} />
    </form>
  );
}
