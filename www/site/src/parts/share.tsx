// Sharing: the composition as a link, with the examples only where the person wants that.

import { useSignal } from "@preact/signals";
import { count } from "../format.js";
import { instruction, link, shareError, withExamples } from "../state/story.js";
import { examples, title } from "../state/task.js";
import { Part, Problem } from "./common.js";

/** The fifth part of the story. */
export function SharePart() {
  const copied = useSignal("");
  const copy = async () => {
    const address = link.value;
    if (!address) return;
    try {
      await navigator.clipboard.writeText(address);
      copied.value = address;
    } catch {
      // Without the permission, the link is at least selected.
      (document.getElementById("link") as HTMLInputElement).select();
      copied.value = "";
    }
  };
  const filled = examples.value.filter(({ input, output }) => input.trim() && output.trim()).length;
  return (
    <Part number={5} name="share" title="Share">
      <div class="options one-a-row">
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
          A note on its inputs (optional)
          <input
            value={instruction.value}
            maxLength={300}
            onInput={({ currentTarget }) => {
              instruction.value = currentTarget.value;
            }}
          />
        </label>
      </div>
      <label class="tick">
        <input
          type="checkbox"
          checked={withExamples.value}
          onChange={({ currentTarget }) => {
            withExamples.value = currentTarget.checked;
          }}
        />{" "}
        Put the {count(filled, "example")} into the link
      </label>
      <div class="row link-row">
        <input
          id="link"
          class="code"
          readOnly
          aria-label="Link"
          value={link.value ?? ""}
          placeholder="Waits for learning."
          onFocus={({ currentTarget }) => currentTarget.select()}
        />
        <button type="button" disabled={!link.value} onClick={() => void copy()}>
          Copy the link
        </button>
      </div>
      <p class="status" role="status">
        {!link.value
          ? "The link holds the weights, not the model: a few hundred characters."
          : copied.value === link.value
            ? "Copied. Whoever opens it gets the same answers, without learning."
            : `${count(link.value.length, "character")}. It restores the composition, without learning.`}
      </p>
      <Problem error={shareError.value} />
    </Part>
  );
}
