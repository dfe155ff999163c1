// What the link says, and the link itself.

import { details } from "../details-text.js";
import { mix } from "../state/bench.js";
import { link, setNote, setTitle, withExamples } from "../state/share.js";

const { shareOptions } = details;

export function ShareOptions() {
  const current = mix.value;
  if (!current) return null;
  return (
    <div class="options one-per-row">
      <label>
        {shareOptions.name}
        <input
          value={current.title}
          maxLength={120}
          onInput={({ currentTarget }) => setTitle(currentTarget.value)}
        />
      </label>
      <label>
        {shareOptions.note}
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
          {shareOptions.include(current.task.examples.length)}
        </label>
      )}
      <label>
        {shareOptions.link}
        <input
          id="link"
          class="code"
          readOnly
          value={link.value ?? ""}
          onFocus={({ currentTarget }) => currentTarget.select()}
        />
      </label>
    </div>
  );
}
