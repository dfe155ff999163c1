// The composition as a link, with the drawing that stands for it.

import "./share.css";
import { useSignal } from "@preact/signals";
import { weaveUrl } from "../charts/weave.js";
import { LazyDetails } from "../components/lazy.js";
import { Problem } from "../components/problem.js";
import { checks, composition, mix, mixRelation } from "../state/bench.js";
import { link, made, setNote, setTitle, shareError, withExamples } from "../state/share.js";
import { text } from "../text.js";

export function ShareBox() {
  const copied = useSignal("");
  const { share } = text;
  const current = mix.value;
  const assessment = checks.value?.assessment;
  const verdict = assessment && text.result.verdict(assessment.verdict, assessment.expected);
  const copy = async () => {
    const address = link.value;
    if (!address) return;
    try {
      await navigator.clipboard.writeText(address);
      copied.value = address;
    } catch {
      // Without permission to copy, the link is selected.
      (document.getElementById("link") as HTMLInputElement).select();
      copied.value = "";
    }
  };
  return (
    <section class="share" id="share" aria-label={share.heading}>
      <div class="row">
        <img src={weaveUrl(composition.value?.modules ?? [])} width={40} height={40} alt="" />
        <button type="button" class="accent" disabled={!link.value} onClick={() => void copy()}>
          {share.copy}
        </button>
        <div class="status">
          {verdict && (
            <p data-testid="shared-verdict">
              <b>
                {mixRelation.value === "same"
                  ? share.verdict(verdict)
                  : share.verdictOf(current?.title ?? "", verdict)}
              </b>
            </p>
          )}
          <p role="status">
            {!made.value
              ? share.noneHelp
              : copied.value === link.value
                ? share.copied
                : share.ready}
          </p>
        </div>
      </div>
      <Problem error={shareError.value} />
      {made.value && (
        <LazyDetails
          summary={share.take}
          testId="take"
          load={() => import("./take.js").then(({ TakeAway }) => TakeAway)}
        />
      )}
      {made.value && (
        <LazyDetails
          summary={share.qr}
          testId="qr"
          load={() => import("./qr.js").then(({ QrCode }) => QrCode)}
        />
      )}
      <LazyDetails
        summary={share.runs}
        testId="runs"
        load={() => import("./runs.js").then(({ Runs }) => Runs)}
      />
      {current && (
        <details>
          <summary>{share.options}</summary>
          <div class="options one-per-row">
            <label>
              {share.name}
              <input
                value={current.title}
                maxLength={120}
                onInput={({ currentTarget }) => setTitle(currentTarget.value)}
              />
            </label>
            <label>
              {share.note}
              <input
                value={current.note}
                maxLength={270}
                onInput={({ currentTarget }) => setNote(currentTarget.value)}
              />
            </label>
            {current.task?.own && (
              <label class="check">
                <input
                  type="checkbox"
                  checked={withExamples.value}
                  onChange={({ currentTarget }) => {
                    withExamples.value = currentTarget.checked;
                  }}
                />{" "}
                {share.include(current.task.examples.length)}
              </label>
            )}
            <label>
              {share.link}
              <input
                id="link"
                class="code"
                readOnly
                value={link.value ?? ""}
                onFocus={({ currentTarget }) => currentTarget.select()}
              />
            </label>
          </div>
        </details>
      )}
    </section>
  );
}
