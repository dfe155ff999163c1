// The composition as a link, with the drawing that stands for it.

import "./share.css";
import { useSignal } from "@preact/signals";
import { weaveUrl } from "../charts/weave.js";
import { LazyDetails } from "../components/lazy.js";
import { Problem } from "../components/problem.js";
import { checks, mix, mixRelation, unpolishedMix } from "../state/bench.js";
import { link, made, shareError } from "../state/share.js";
import { text } from "../text.js";

export function ShareBox() {
  const copied = useSignal("");
  const blocked = useSignal(false);
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
      blocked.value = false;
    } catch {
      // Without permission to copy, the link is shown.
      blocked.value = true;
    }
  };
  return (
    <section class="share" id="share" aria-label={share.heading}>
      <div class="row">
        <img src={weaveUrl(unpolishedMix.value?.modules ?? [])} width={40} height={40} alt="" />
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
                : blocked.value
                  ? share.blocked
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
        <LazyDetails
          summary={share.options}
          testId="share-options"
          open={blocked.value}
          load={() => import("./share-options.js").then(({ ShareOptions }) => ShareOptions)}
        />
      )}
    </section>
  );
}
