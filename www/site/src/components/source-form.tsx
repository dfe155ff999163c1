import { useSignal } from "@preact/signals";
import { occupied } from "../state/learn.js";
import { busy } from "../state/session.js";

/** A field for a hub id or an address. */
export function SourceForm(props: {
  label: string;
  placeholder: string;
  action: string;
  onSource: (text: string) => unknown;
}) {
  const text = useSignal("");
  return (
    <form
      class="source"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.value.trim()) props.onSource(text.value.trim());
      }}
    >
      <label>
        {props.label}
        <input
          type="text"
          spellcheck={false}
          autocapitalize="off"
          placeholder={props.placeholder}
          value={text.value}
          onInput={({ currentTarget }) => {
            text.value = currentTarget.value;
          }}
        />
      </label>
      <button type="submit" disabled={busy.value || occupied.value}>
        {props.action}
      </button>
    </form>
  );
}
