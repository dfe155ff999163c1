// The examples as a table to type in, and what changes it as a whole.

import { useSignal } from "@preact/signals";
import { FileInput } from "../components/files.js";
import { details } from "../details-text.js";
import {
  addExample,
  EXAMPLE_FILES,
  editExample,
  examples,
  pasteExamples,
  readFile,
  removeExample,
} from "../state/task.js";
import { text } from "../text.js";
import { UndoButtons } from "./task.js";

const { edit } = details;

/** The examples to type. */
export function EditableTable() {
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
        {examples.value.map((example, row) => (
          <tr key={row}>
            {(["input", "output"] as const).map((field) => (
              <td key={field}>
                <textarea
                  rows={1}
                  aria-label={edit.cell(field, row + 1)}
                  value={example[field]}
                  onInput={({ currentTarget }) => editExample(row, field, currentTarget.value)}
                  onPaste={(event) => {
                    const pasted = event.clipboardData?.getData("text/plain") ?? "";
                    const lines = pasted.trim().split("\n").length;
                    if (lines < 2 || !/[\t,{]/.test(pasted)) return;
                    event.preventDefault();
                    void pasteExamples(pasted);
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
      <button
        type="button"
        onClick={async () => {
          if (await pasteExamples(pasted.value)) pasted.value = "";
        }}
      >
        {edit.usePasted}
      </button>
    </details>
  );
}
