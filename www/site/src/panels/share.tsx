// The composition as a link.

import "./share.css";
import { useSignal } from "@preact/signals";
import { Panel } from "../components/panel.js";
import { Problem } from "../components/problem.js";
import { count } from "../format.js";
import { instruction, link, shareError, withExamples } from "../state/share.js";
import { completeExamples, title } from "../state/task.js";

/** The link, and what goes into it. */
export function SharePanel() {
  const copied = useSignal("");
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
    <Panel name="share" title="Share">
      <div class="options one-per-row">
        <label>
          Name of the task
          <input
            value={title.value}
            maxLength={120}
            onInput={({ currentTarget }) => {
              title.value = currentTarget.value;
            }}
          />
        </label>
        <label>
          How to write an input (optional)
          <input
            value={instruction.value}
            maxLength={300}
            onInput={({ currentTarget }) => {
              instruction.value = currentTarget.value;
            }}
          />
        </label>
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={withExamples.value}
          onChange={({ currentTarget }) => {
            withExamples.value = currentTarget.checked;
          }}
        />{" "}
        Include my {count(completeExamples.value.length, "example")}
      </label>
      <div class="row link-row">
        <input
          id="link"
          class="code"
          readOnly
          aria-label="Link"
          value={link.value ?? ""}
          placeholder="Learn first."
          onFocus={({ currentTarget }) => currentTarget.select()}
        />
        <button type="button" disabled={!link.value} onClick={() => void copy()}>
          Copy the link
        </button>
      </div>
      <p class="status" role="status">
        {!link.value
          ? "The link holds the mix, not the model: a few hundred characters."
          : copied.value === link.value
            ? "Copied. It opens with this exact mix, and gives the same answers."
            : "Opens with this exact mix. Nothing to re-learn."}
      </p>
      <Problem error={shareError.value} />
    </Panel>
  );
}
