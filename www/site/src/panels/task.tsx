// The task: one of the library, or pairs that are typed, pasted or dropped.

import "./task.css";
import { useSignal } from "@preact/signals";
import { DropZone, FileInput } from "../components/files.js";
import { Panel } from "../components/panel.js";
import { Problem } from "../components/problem.js";
import { registry } from "../state/session.js";
import {
  addExample,
  chooseTask,
  EXAMPLE_FILES,
  editExample,
  examples,
  OWN_EXAMPLES,
  pasteExamples,
  readExamplesFile,
  removeExample,
  task,
  taskError,
  taskId,
} from "../state/task.js";

/** The examples. */
export function TaskPanel() {
  const chosen = task.value;
  const readFile = async (file: File | undefined) => {
    const text = file && (await readExamplesFile(file));
    if (text) await pasteExamples(text);
  };
  return (
    <Panel name="task" title="The task, in five examples">
      {registry.value?.tasks.length !== 0 && (
        <label class="field">
          <span>Task</span>
          <select
            // Re-created once the tasks are read: a select without its value's option shows none.
            key={registry.value ? "ready" : "loading"}
            value={taskId.value ?? OWN_EXAMPLES}
            onChange={({ currentTarget }) => chooseTask(currentTarget.value)}
          >
            {registry.value?.tasks.map(({ id, title }) => (
              <option key={id} value={id}>
                {title}
              </option>
            ))}
            <option value={OWN_EXAMPLES}>My own examples</option>
          </select>
        </label>
      )}
      <p class="explain task-text">
        {chosen
          ? `${chosen.description} ${chosen.why_unseen}`
          : "Keep inputs and outputs short. This works only if some modules come close to your task."}
      </p>
      <DropZone
        class="examples"
        onDrop={({ dataTransfer }) => {
          const text = dataTransfer?.getData("text/plain");
          if (text) void pasteExamples(text);
          else void readFile(dataTransfer?.files[0]);
        }}
      >
        <table>
          <thead>
            <tr>
              <th scope="col">Input</th>
              <th scope="col">Output</th>
              <th scope="col">
                <span class="visually-hidden">Remove</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {examples.value.map((example, row) => (
              <tr key={row}>
                {(["input", "output"] as const).map((field) => (
                  <td key={field}>
                    <textarea
                      rows={field === "input" ? 2 : 1}
                      aria-label={`${field === "input" ? "Input" : "Output"} ${row + 1}`}
                      value={example[field]}
                      onInput={({ currentTarget }) => editExample(row, field, currentTarget.value)}
                      onPaste={(event) => {
                        const text = event.clipboardData?.getData("text/plain") ?? "";
                        const lines = text.trim().split("\n").length;
                        if (lines < 2 || !/[\t,{]/.test(text)) return;
                        event.preventDefault();
                        void pasteExamples(text);
                      }}
                    />
                  </td>
                ))}
                <td>
                  <button
                    type="button"
                    class="quiet"
                    aria-label={`Remove row ${row + 1}`}
                    onClick={() => removeExample(row)}
                  >
                    ×
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </DropZone>
      <div class="row">
        <button type="button" onClick={addExample}>
          Add a row
        </button>
        <FileInput
          label="Open a file"
          accept={EXAMPLE_FILES}
          onFiles={([file]) => void readFile(file)}
        />
      </div>
      <PasteBox />
      <Problem error={taskError.value} />
    </Panel>
  );
}

function PasteBox() {
  const text = useSignal("");
  return (
    <details>
      <summary>Paste CSV, TSV or JSONL</summary>
      <label class="field">
        <span>
          One pair per line: <code>input,output</code>, with a tab instead of the comma, or{" "}
          <code>{'{"input": …, "output": …}'}</code>
        </span>
        <textarea
          rows={5}
          class="code"
          data-testid="paste"
          value={text.value}
          onInput={({ currentTarget }) => {
            text.value = currentTarget.value;
          }}
        />
      </label>
      <button
        type="button"
        onClick={async () => {
          if (await pasteExamples(text.value)) text.value = "";
        }}
      >
        Use these examples
      </button>
    </details>
  );
}
