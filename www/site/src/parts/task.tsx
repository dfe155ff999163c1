// The task: choose one of the library, or type, paste or drop five pairs.

import { useSignal } from "@preact/signals";
import { registry } from "../state/session.js";
import {
  addExample,
  chooseTask,
  editExample,
  examples,
  OWN,
  pasteExamples,
  readExamplesFile,
  removeExample,
  task,
  taskError,
  taskId,
} from "../state/task.js";
import { Part, Problem } from "./common.js";

/** The first part of the story. */
export function TaskPart() {
  const dragging = useSignal(false);
  const chosen = task.value;
  const takeFile = async (file: File | undefined) => {
    const text = file && (await readExamplesFile(file));
    if (text) await pasteExamples(text);
  };
  return (
    <Part number={1} name="task" title="The task, as five examples">
      {registry.value?.tasks.length !== 0 && (
        <label class="field">
          <span>Task</span>
          <select
            // Made anew once there are tasks: one that had no option for its value shows none.
            key={registry.value ? "read" : "waiting"}
            value={taskId.value ?? OWN}
            onChange={({ currentTarget }) => chooseTask(currentTarget.value)}
          >
            {registry.value?.tasks.map(({ id, title }) => (
              <option key={id} value={id}>
                {title}
              </option>
            ))}
            <option value={OWN}>My own examples</option>
          </select>
        </label>
      )}
      <p class="explain task-text">
        {chosen
          ? `${chosen.description} ${chosen.why_unseen}`
          : "Short inputs and outputs work best. The model has never been trained on your task: the modules have to make it."}
      </p>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is one of three ways to fill the table; the file button does the same by keyboard */}
      <div
        class={`examples ${dragging.value ? "dragging" : ""}`}
        onDragOver={(event) => {
          event.preventDefault();
          dragging.value = true;
        }}
        onDragLeave={() => {
          dragging.value = false;
        }}
        onDrop={(event) => {
          event.preventDefault();
          dragging.value = false;
          const text = event.dataTransfer?.getData("text/plain");
          if (text) void pasteExamples(text);
          else void takeFile(event.dataTransfer?.files[0]);
        }}
      >
        <table>
          <thead>
            <tr>
              <th scope="col">Input</th>
              <th scope="col">Output</th>
              <th scope="col">
                <span class="for-readers">Remove</span>
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
      </div>
      <div class="row">
        <button type="button" onClick={addExample}>
          Add a row
        </button>
        <label class="button">
          Open a file
          <input
            type="file"
            class="for-readers"
            accept=".csv,.tsv,.jsonl,.ndjson,.txt,.json"
            onChange={({ currentTarget }) => {
              void takeFile(currentTarget.files?.[0]);
              currentTarget.value = "";
            }}
          />
        </label>
      </div>
      <PasteBox />
      <Problem error={taskError.value} />
    </Part>
  );
}

function PasteBox() {
  const text = useSignal("");
  return (
    <details>
      <summary>Paste CSV, TSV or JSONL</summary>
      <label class="field">
        <span>
          One pair a line: <code>input,output</code>, tabs instead of commas, or{" "}
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
