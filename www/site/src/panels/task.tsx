// The first step: the examples, and the button that learns from them.

import "./task.css";
import { useSignal } from "@preact/signals";
import type { Example } from "loraloom";
import { DropZone } from "../components/files.js";
import { Lazy } from "../components/lazy.js";
import { Panel } from "../components/panel.js";
import { Problem } from "../components/problem.js";
import { bench, checks, drafts, mix, mixRelation, task } from "../state/bench.js";
import { unwritableNow } from "../state/learn.js";
import { registry } from "../state/session.js";
import {
  chooseTask,
  editing,
  examples,
  incoming,
  libraryTask,
  NEW_TASK,
  pasteExamples,
  redoTable,
  tableRead,
  taskError,
  undoTable,
} from "../state/task.js";
import { hasText } from "../state/workbench/table.js";
import type { Task } from "../state/workbench/types.js";
import { text } from "../text.js";
import { LearnControls } from "./learn.js";

/** Examples that a phone shows before the others are unfolded. */
const FOLDED_ROWS = 2;

export function TaskPanel() {
  const current = task.value;
  const open = editing.value;
  const chosen = libraryTask.value;
  return (
    <Panel name="task" title={text.task.headingOf(examples.value.length)}>
      <TaskChoice />
      <DropZone
        class="examples"
        onDrop={({ dataTransfer }) => {
          const dropped = dataTransfer?.getData("text/plain");
          if (dropped) void pasteExamples(dropped);
          else {
            const [file] = dataTransfer?.files ?? [];
            void import("../state/examples-file.js").then(({ readFile }) => readFile(file));
          }
        }}
      >
        {open ? (
          <Lazy load={() => import("./edit-table.js").then(({ EditableTable }) => EditableTable)}>
            <Table onEdit={() => undefined} />
          </Lazy>
        ) : (
          <Table onEdit={() => (editing.value = true)} />
        )}
      </DropZone>
      {open && <Lazy load={() => import("./edit-table.js").then(({ EditTools }) => EditTools)} />}
      {incoming.value && (
        <Lazy load={() => import("./incoming.js").then((panel) => panel.IncomingExamples)} />
      )}
      <div role="status" class="status" id="read-as" tabIndex={-1}>
        {!incoming.value && tableRead.value && (
          <Lazy load={() => import("./incoming.js").then((panel) => panel.ReadAs)} />
        )}
      </div>
      {unwritableNow.value.map(({ output, parts }) => (
        <p key={output} class="status no" data-testid="unwritable">
          {text.task.unwritable(output, parts)}
        </p>
      ))}
      <Problem error={taskError.value} />
      <LearnControls>
        {open && current && hasText(current) ? (
          <button type="button" class="plain" onClick={() => (editing.value = false)}>
            {text.task.done}
          </button>
        ) : (
          !open && (
            <button type="button" class="plain" onClick={() => (editing.value = true)}>
              {text.task.edit}
            </button>
          )
        )}
        {!current?.own && (
          <button type="button" class="plain" onClick={() => chooseTask(NEW_TASK)}>
            {text.task.useOwn}
          </button>
        )}
        {!open && <UndoButtons />}
      </LearnControls>
      <p class="explain">
        {chosen ? `${chosen.description} ${chosen.why_unseen}` : text.task.ownHelp}
      </p>
    </Panel>
  );
}

/** Only once there is something to take back. */
export function UndoButtons() {
  const { undo, redo } = bench.value;
  return (
    <>
      {undo.length > 0 && (
        <button type="button" class="plain" onClick={undoTable}>
          {text.task.undo}
        </button>
      )}
      {redo.length > 0 && (
        <button type="button" class="plain" onClick={redoTable}>
          {text.task.redo}
        </button>
      )}
    </>
  );
}

const nameOf = ({ title, examples }: Task) =>
  title || text.task.untitled(examples.find(({ input }) => input.trim())?.input.slice(0, 32) ?? "");

/** The library's tasks, and one's own. */
function TaskChoice() {
  const current = task.value;
  const own = [...(current?.own ? [current] : []), ...drafts.value];
  const library = registry.value?.tasks ?? [];
  if (registry.value && !library.length && own.length < 2) return null;
  return (
    <label class="field">
      <span class="visually-hidden">{text.task.label}</span>
      <select
        // Re-created once the tasks are read: a select without its value's option shows none.
        key={registry.value ? "ready" : "loading"}
        value={current?.id ?? NEW_TASK}
        onChange={({ currentTarget }) => chooseTask(currentTarget.value)}
      >
        {library.length > 0 && (
          <optgroup label={text.task.groups.library}>
            {library.map(({ id, title }) => (
              <option key={id} value={id}>
                {title}
              </option>
            ))}
          </optgroup>
        )}
        <optgroup label={text.task.groups.own}>
          {own.map((one) => (
            <option key={one.id} value={one.id}>
              {nameOf(one)}
            </option>
          ))}
          <option value={NEW_TASK}>{text.task.own}</option>
        </optgroup>
      </select>
    </label>
  );
}

/** Whether an example comes out right, where that is known for the mix that is shown. */
function Tick({ input, output }: Example) {
  const row = mix.value?.task?.examples.findIndex(
    (one) => one.input === input && one.output === output,
  );
  const known = mixRelation.value === "same" && row !== undefined ? checks.value : null;
  const check = known?.assessment.answers[row ?? -1];
  if (!check) return null;
  if (known?.assessment.contradicting.includes(row ?? -1)) {
    return (
      <span class="no" role="img" aria-label={text.task.contradicts} title={text.task.contradicts}>
        ?
      </span>
    );
  }
  return check.correct ? (
    <span class="ok" role="img" aria-label={text.task.right}>
      ✓
    </span>
  ) : (
    <span class="no" role="img" aria-label={text.task.wrong(check.answer)} title={check.answer}>
      ✗
    </span>
  );
}

/** The examples to read. */
function Table({ onEdit }: { onEdit: () => void }) {
  const unfolded = useSignal(false);
  const all = examples.value.filter(({ input, output }) => input.trim() || output.trim());
  const hidden = all.length - FOLDED_ROWS;
  return (
    <>
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the button “Edit” does the same by keyboard */}
      <table
        class={`read ${unfolded.value || hidden <= 0 ? "" : "folded"}`}
        title={text.task.edit}
        onClick={onEdit}
        data-testid="examples"
      >
        <thead class="visually-hidden">
          <tr>
            <th scope="col">{text.task.input}</th>
            <th scope="col">{text.task.output}</th>
            <th scope="col">{text.task.right}</th>
          </tr>
        </thead>
        <tbody>
          {all.map(({ input, output }, row) => (
            <tr key={row}>
              <td>{input}</td>
              <td>{output}</td>
              <td>
                <Tick input={input} output={output} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {hidden > 0 && (
        <button
          type="button"
          class="plain unfold"
          aria-expanded={unfolded.value}
          onClick={() => (unfolded.value = !unfolded.value)}
        >
          {unfolded.value ? text.task.fewer : text.task.more(hidden)}
        </button>
      )}
    </>
  );
}
