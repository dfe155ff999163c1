// Answers: the base beside the composition, for one input and over a test set.

import "./answers.css";
import { FileInput } from "../components/files.js";
import { Panel } from "../components/panel.js";
import { Problem } from "../components/problem.js";
import { ProgressBar } from "../components/progress-bar.js";
import { ScrollTable } from "../components/table.js";
import { Term } from "../components/tooltip.js";
import { percent } from "../format.js";
import {
  answer,
  answerError,
  answeredInput,
  answering,
  answers,
  expected,
  input,
  nextTestInput,
  readTestFile,
  runTest,
  SIDES,
  type Side,
  stopAnswering,
  testing,
  testSet,
  tests,
} from "../state/answer.js";
import { composition } from "../state/composition.js";
import { busy, loom } from "../state/session.js";
import { EXAMPLE_FILES, OWN_EXAMPLES, readExamplesFile, task } from "../state/task.js";

/** An input with its answers, and the test set. */
export function AnswersPanel() {
  const working = answering.value || testing.value;
  return (
    <Panel name="answers" title="Answers">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void answer();
        }}
      >
        <label class="field">
          <span>A new input</span>
          <textarea
            rows={3}
            data-testid="input"
            value={input.value}
            onInput={({ currentTarget }) => {
              input.value = currentTarget.value;
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void answer();
            }}
          />
        </label>
        <div class="row">
          {answering.value ? (
            <button type="button" class="primary" onClick={stopAnswering}>
              Stop
            </button>
          ) : (
            <button
              type="submit"
              class="primary"
              disabled={!loom.value || busy.value || testing.value}
            >
              Answer
            </button>
          )}
          <button
            type="button"
            disabled={!task.value || !loom.value || working}
            onClick={() => void nextTestInput()}
          >
            Another from the test set
          </button>
        </div>
      </form>
      <Problem error={answerError.value} />
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for form fields */}
      <div
        class="sides"
        role="group"
        aria-label={answeredInput.value ? `Answers to ${answeredInput.value}` : "Answers"}
        aria-live="polite"
        aria-busy={answering.value}
      >
        {SIDES.map((side) => (
          <div key={side} class={`side ${side}`}>
            <h3>
              {side === "base" ? (
                <Term of="base model">Base</Term>
              ) : (
                <Term of="composed">Composed</Term>
              )}
            </h3>
            <p class="answer" data-testid={`answer-${side}`}>
              {answerText(side)}
            </p>
          </div>
        ))}
      </div>
      <p class="expected">{expected.value ? `Expected: ${expected.value}` : ""}</p>
      <TestSet />
    </Panel>
  );
}

function answerText(side: Side) {
  const given = answers.value[side];
  if (given?.text) return given.text;
  const placeholder = given?.done
    ? "(an empty answer)"
    : side === "composed" && !composition.value
      ? "Learn first."
      : answering.value
        ? "…"
        : "Type an input above.";
  return <span class="placeholder">{placeholder}</span>;
}

function TestSet() {
  const own = !task.value;
  const file = testSet.value?.taskId === OWN_EXAMPLES ? testSet.value : null;
  const items = own ? file : testSet.value;
  const total = items?.examples.length;
  return (
    <div class="test">
      <h3>
        <Term of="exact match">Exact match</Term> on {own ? "a test file" : "the task's test set"}
      </h3>
      <div class="row">
        {testing.value ? (
          <button type="button" onClick={stopAnswering}>
            Stop the test
          </button>
        ) : (
          <button
            type="button"
            disabled={!loom.value || busy.value || answering.value || (own && !file)}
            onClick={() => void runTest()}
          >
            Run the test{total ? ` (${total})` : ""}
          </button>
        )}
        {own && (
          <FileInput
            label="Open a test file"
            accept={EXAMPLE_FILES}
            onFiles={async ([chosen]) => {
              const text = chosen && (await readExamplesFile(chosen));
              if (text) await readTestFile(text, chosen.name);
            }}
          />
        )}
        <p class="status">
          {own && (file ? file.name : "Use pairs that are not among your examples.")}
        </p>
      </div>
      {SIDES.map((side) => {
        const counts = tests.value[side];
        const share = counts?.done ? (100 * counts.correct) / counts.done : 0;
        return (
          <div key={side} class={`score ${side}`}>
            <span>{side === "base" ? "Base" : "Composed"}</span>
            <ProgressBar
              value={counts ? share : 0}
              max={100}
              label={`Exact match, ${side}`}
              side={side}
            />
            <output data-testid={`score-${side}`}>
              {counts
                ? counts.result
                  ? `${percent(Math.round(share * 10) / 10)} (${counts.correct} of ${counts.done})`
                  : `${counts.correct} correct, ${counts.done} of ${counts.total}`
                : "not tested"}
            </output>
          </div>
        );
      })}
      <TestAnswers />
    </div>
  );
}

/** The composition's answer to each item. */
function TestAnswers() {
  const result = tests.value.composed?.result;
  return (
    <details hidden={!result?.answers.length}>
      <summary>The composed model’s answers</summary>
      <ScrollTable label="Answers to the test set" columns={["Input", "Expected", "Answer"]}>
        {result?.answers.map((one, index) => (
          <tr key={index}>
            <td>{one.input}</td>
            <td>{one.expected}</td>
            <td>
              {one.correct ? "" : "✗ "}
              {one.answer}
            </td>
          </tr>
        ))}
      </ScrollTable>
    </details>
  );
}
