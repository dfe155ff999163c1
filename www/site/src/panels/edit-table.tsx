// The examples as a table to type in, and what changes it as a whole.

import { useSignal } from "@preact/signals";
import type { Example } from "loraloom";
import { FileInput } from "../components/files.js";
import { details } from "../details-text.js";
import { readFile } from "../state/examples-file.js";
import { readPaste } from "../state/paste.js";
import {
  addExample,
  EXAMPLE_FILES,
  editExample,
  editRow,
  examples,
  pasteExamples,
  removeExample,
} from "../state/task.js";
import { text } from "../text.js";
import { UndoButtons } from "./task.js";

const { edit } = details;

/** Rows that are shown at first, and added by each press of the button. */
const ROWS = 100;

/** The examples to type. */
export function EditableTable() {
  const shown = useSignal(ROWS);
  const left = examples.value.length - shown.value;
  return (
    <>
      <Rows rows={examples.value.slice(0, shown.value)} />
      {left > 0 && (
        <button type="button" class="plain" onClick={() => (shown.value += ROWS)}>
          {edit.more(left)}
        </button>
      )}
    </>
  );
}

/** Puts text where the cursor is. */
function insert(cell: HTMLTextAreaElement, text: string): void {
  // The browser's own undo knows only this way, which needs the focus.
  if (document.activeElement === cell && document.execCommand("insertText", false, text)) return;
  cell.setRangeText(text, cell.selectionStart, cell.selectionEnd, "end");
  cell.dispatchEvent(new Event("input", { bubbles: true }));
}

function Rows({ rows }: { rows: Example[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{text.task.input}</th>
          <th scope="col">{text.task.output}</th>
          <th scope="col">
            <span class="visually-hidden">{edit.remove}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((example, row) => (
          <tr key={row}>
            {(["input", "output"] as const).map((field) => (
              <td key={field}>
                <textarea
                  rows={1}
                  aria-label={edit.cell(field, row + 1)}
                  value={example[field]}
                  onInput={({ currentTarget }) => editExample(row, field, currentTarget.value)}
                  onPaste={(event) => {
                    const cell = event.currentTarget;
                    const text = event.clipboardData?.getData("text/plain") ?? "";
                    const pasted = readPaste(text, field);
                    // The browser puts text into the cell.
                    if (pasted.kind === "text") return;
                    event.preventDefault();
                    if (pasted.kind === "row") editRow(row, pasted.row);
                    else if (pasted.kind === "cell") insert(cell, pasted.text);
                    else if (pasted.kind === "table") void pasteExamples(text);
                    // JSON without examples in it is a text too.
                    else void pasteExamples(text, undefined, () => insert(cell, text));
                  }}
                />
              </td>
            ))}
            <td>
              <button
                type="button"
                class="quiet"
                aria-label={edit.removeRow(row + 1)}
                onClick={() => removeExample(row)}
              >
                ×
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What changes the table as a whole. */
export function EditTools() {
  return (
    <>
      <div class="row small">
        <button type="button" onClick={addExample}>
          {edit.addRow}
        </button>
        <FileInput
          label={edit.openFile}
          accept={EXAMPLE_FILES}
          onFiles={([file]) => void readFile(file)}
        />
        <UndoButtons />
      </div>
      <PasteBox />
    </>
  );
}

function PasteBox() {
  const pasted = useSignal("");
  return (
    <details>
      <summary>{edit.paste}</summary>
      <label class="field">
        <span>{edit.pasteHelp}</span>
        <textarea
          rows={4}
          class="code"
          data-testid="paste"
          value={pasted.value}
          onInput={({ currentTarget }) => {
            pasted.value = currentTarget.value;
          }}
        />
      </label>
      <button type="button" onClick={() => pasteExamples(pasted.value, () => (pasted.value = ""))}>
        {edit.usePasted}
      </button>
    </details>
  );
}
