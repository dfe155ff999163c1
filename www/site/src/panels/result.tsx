// The third step: whether it works, the base's answer beside the composed one, the test set, and the link.

import "./result.css";
import { useRef } from "preact/hooks";
import { FileInput } from "../components/files.js";
import { Lazy, LazyDetails } from "../components/lazy.js";
import { Panel } from "../components/panel.js";
import { Problem } from "../components/problem.js";
import { ProgressBar } from "../components/progress-bar.js";
import { Term } from "../components/tooltip.js";
import {
  answer,
  answerError,
  answerFollows,
  answering,
  expected,
  hasTestSet,
  nextTestInput,
  pressAnswer,
  readTestFile,
  runTest,
  setInput,
  stopAnswering,
  testing,
  testSet,
} from "../state/answer.js";
import {
  answers,
  checks,
  input,
  mix,
  mixRelation,
  ownId,
  task,
  tests,
  update,
} from "../state/bench.js";
import { learning, occupied, polishing } from "../state/learn.js";
import { titleOf } from "../state/library.js";
import { recordedRun } from "../state/recorded.js";
import { busy, loom } from "../state/session.js";
import { EXAMPLE_FILES } from "../state/task.js";
import { audible, isEdited } from "../state/workbench/faders.js";
import { restoreInput } from "../state/workbench/input.js";
import { showMixTask } from "../state/workbench/mix.js";
import { rightOf } from "../state/workbench/results.js";
import { SIDES, type Side } from "../state/workbench/types.js";
import { text } from "../text.js";
import { ShareBox } from "./share.js";

export function ResultPanel() {
  return (
    <Panel name="result" title={text.result.heading} aside={mix.value?.title}>
      <Verdict />
      <InputForm />
      <Problem error={answerError.value} />
      <Pair />
      <TestSet />
      <ShareBox />
    </Panel>
  );
}

/** Whether it works, in words, by what is known of the mix that is shown. */
function Verdict() {
  const current = mix.value;
  const { result } = text;
  const kind = verdictKind();
  return (
    <div class={`verdict ${kind}`}>
      <div data-testid="verdict" role="status" tabIndex={-1}>
        {!current ? (
          <p class="placeholder">{learning.value ? result.learning : result.notForTask}</p>
        ) : mixRelation.value === "other" ? (
          <>
            <b>{result.other(current.title)}</b>
            <p>
              {result.otherHelp}{" "}
              <button
                type="button"
                class="plain"
                onClick={() => update((now) => showMixTask(now, ownId()))}
              >
                {result.backToTask}
              </button>
            </p>
          </>
        ) : mixRelation.value === "unknown" ? (
          <p>
            {result.unknown} {isEdited(current) && result.edited}
          </p>
        ) : (
          <Judgement />
        )}
        {current?.note && <p>{current.note}</p>}
      </div>
      {isPolishable() && (
        <Lazy load={() => import("./polish.js").then(({ Polish }) => Polish)}>
          <div class="polish" />
        </Lazy>
      )}
    </div>
  );
}

/** Whether the mix can be polished, is being polished, or was. */
function isPolishable(): boolean {
  const current = mix.value;
  if (!current || mixRelation.value === "other") return false;
  if (polishing.value || current.desk.tuned) return true;
  const assessment = checks.value?.assessment;
  if (!assessment || mixRelation.value !== "same" || !audible(current).length) return false;
  const { correct, total } = rightOf(assessment);
  return assessment.verdict !== "works" || correct < total;
}

/** Whether the mix works, by what the engine made of the examples: with the reason and the next step. */
function Judgement() {
  const { result } = text;
  const current = mix.value;
  const found = checks.value;
  if (!current || !found) return <p class="placeholder">{result.checking}</p>;
  const { assessment } = found;
  const edited = isEdited(current);
  const held = current.options?.held?.map(({ id }) => titleOf(id)) ?? [];
  const examples = current.task?.examples ?? [];
  const wrong = assessment.answers.flatMap(({ correct }, row) => (correct ? [] : [row]));
  const { correct, total } = rightOf(assessment);
  const [first] = assessment.contradicting;
  const next = edited
    ? result.edited
    : first !== undefined
      ? result.contradicts(examples[first]?.input ?? "", examples[first]?.output ?? "")
      : assessment.verdict === "unlikely"
        ? result.unlikelyNext
        : assessment.verdict === "partly"
          ? wrong[0] === undefined
            ? result.partlyNext
            : result.wrongNext(examples[wrong[0]]?.input ?? "")
          : assessment.enough
            ? result.enough[assessment.enough]
            : "";
  return (
    <>
      <b>{result.verdict(assessment.verdict, assessment.expected)}</b>
      <p>
        {result.examplesRight(correct, total)}
        {result.range(assessment.expected)} {!assessment.calibrated && result.uncalibrated} {next}{" "}
        {!edited && held.length > 0 && result.held(held)}
      </p>
    </>
  );
}

const KINDS = { works: "good", partly: "partly", unlikely: "bad" } as const;

function verdictKind(): "none" | "other" | "good" | "partly" | "bad" {
  if (!mix.value || mixRelation.value === "unknown") return "none";
  if (mixRelation.value === "other") return "other";
  const found = checks.value;
  return found ? KINDS[found.assessment.verdict] : "none";
}

function InputForm() {
  const { result } = text;
  const readsStop = answering.value;
  // What the button read when the press in progress began; null for a click without one.
  const pressed = useRef<boolean | null>(null);
  const idle = loom.value !== null && !busy.value && !testing.value && !occupied.value;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const readStop = pressed.current ?? readsStop;
        pressed.current = null;
        if (readStop || idle) pressAnswer(readStop);
      }}
    >
      <label class="field">
        <span>{result.input}</span>
        <textarea
          id="input"
          rows={2}
          data-testid="input"
          value={input.value.text}
          onInput={({ currentTarget }) => setInput(currentTarget.value)}
          onKeyDown={(event) => {
            // Enter answers; with Shift it is a new line.
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            if (idle && !answering.value) void answer();
          }}
        />
      </label>
      <div class="row small">
        <button
          type="submit"
          aria-disabled={!idle}
          onPointerDown={() => {
            pressed.current = readsStop;
          }}
          onKeyDown={({ repeat }) => {
            if (!repeat) pressed.current = readsStop;
          }}
        >
          {readsStop ? result.stop : result.answer}
        </button>
        {hasTestSet.value && (
          <button
            type="button"
            disabled={!loom.value}
            onClick={async () => {
              await nextTestInput();
              if (mix.value && !answering.value && !occupied.value) await answer();
            }}
          >
            {result.another}
          </button>
        )}
        {input.value.before && (
          <button type="button" class="plain" onClick={() => update(restoreInput)}>
            {result.back}
          </button>
        )}
      </div>
    </form>
  );
}

/** The two answers, large. */
function Pair() {
  const { result } = text;
  const shown = answers.value;
  const wanted = expected.value;
  const recorded = shown || mix.value || learning.value ? null : recordedRun(task.value);
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for form fields */}
      <div
        class={`sides ${recorded ? "recorded" : ""}`}
        role="group"
        aria-label={result.group(shown?.input ?? "")}
        aria-live="polite"
        aria-busy={
          answering.value ||
          answerFollows.value ||
          (shown?.composed !== null && shown?.current === false)
        }
      >
        {recorded && <p class="asked">{recorded.input}</p>}
        {shown && shown.input !== input.value.text && <p class="asked">{shown.input}</p>}
        {SIDES.map((side) => {
          const spoken = shown?.[side];
          const stale = side === "composed" && spoken && !shown?.current;
          return (
            <div key={side} class={`side ${side} ${stale ? "stale" : ""}`}>
              <small>
                {side === "base" ? (
                  <Term of="base model">{result.sides.base}</Term>
                ) : (
                  <Term of="composed">{result.sides.composed}</Term>
                )}
              </small>
              <p>
                <span class="answer" data-testid={`answer-${side}`}>
                  {recorded ? recorded[side] : answerText(side)}
                </span>{" "}
                {spoken?.done && !stale && wanted !== null && (
                  <Mark right={same(spoken.text, wanted)} />
                )}
                {recorded && <Mark right={same(recorded[side], recorded.expected)} />}
              </p>
            </div>
          );
        })}
      </div>
      <p class="expected">
        {wanted !== null && !recorded ? result.expected(wanted) : recorded ? result.recorded : ""}
      </p>
    </>
  );
}

/** Whether two answers are the same by the test's measure: letter case and full stops do not count. */
const same = (a: string, b: string) => {
  const plain = (one: string) => one.toLowerCase().replaceAll(".", "").trim();
  return plain(a) === plain(b);
};

function Mark({ right }: { right: boolean }) {
  return (
    <span
      class={`mark ${right ? "ok" : "no"}`}
      role="img"
      aria-label={right ? text.result.right : text.result.wrong}
    >
      {right ? "✓" : "✗"}
    </span>
  );
}

function answerText(side: Side) {
  const { result } = text;
  const given = answers.value?.[side];
  if (given?.text) return given.text;
  const placeholder = given?.done
    ? result.empty
    : answering.value || answerFollows.value || learning.value
      ? result.wait
      : side === "composed" && !mix.value
        ? result.learnFirst
        : result.typeInput;
  return <span class="placeholder">{placeholder}</span>;
}

function TestSet() {
  const { result } = text;
  const own = !hasTestSet.value;
  const set = testSet.value;
  const shown = tests.value;
  const name = own ? (set?.name ?? result.ownTest) : result.newInputs;
  return (
    <div class="test">
      <div class="row small">
        <button
          type="button"
          disabled={
            !testing.value && (!loom.value || busy.value || occupied.value || (own && !set))
          }
          onClick={() => (testing.value ? stopAnswering() : void runTest())}
        >
          {testing.value ? result.stopTest : result.test(set?.examples.length)}
        </button>
        {own && (
          <FileInput
            label={result.openTest}
            accept={EXAMPLE_FILES}
            onFiles={async ([chosen]) => {
              const { readExamplesFile } = await import("../state/examples-file.js");
              const contents = chosen && (await readExamplesFile(chosen));
              if (contents) await readTestFile(contents, chosen.name);
            }}
          />
        )}
        <p class="status">
          <Term of="exact match">{result.testOf(name)}</Term>
          {own && !set && `. ${result.ownTestHelp}`}
        </p>
      </div>
      {shown && (
        <div class="scores">
          {SIDES.map((side) => {
            const counts = shown[side];
            const share = counts?.done ? (100 * counts.correct) / counts.done : 0;
            return (
              <div key={side} class={`score ${side}`}>
                <span>{result.sides[side]}</span>
                <ProgressBar
                  value={share}
                  max={100}
                  label={`${result.sides[side]} %`}
                  side={side}
                />
                <output data-testid={`score-${side}`}>
                  {!counts
                    ? result.notTested
                    : counts.result
                      ? result.score(share, counts.correct, counts.done)
                      : result.counts(counts.correct, counts.done, counts.total)}
                </output>
              </div>
            );
          })}
        </div>
      )}
      {tests.value?.composed?.result?.answers.length && (
        <LazyDetails
          summary={result.allAnswers}
          testId="test-answers"
          load={() => import("./test-answers.js").then(({ TestAnswers }) => TestAnswers)}
        />
      )}
    </div>
  );
}
