// The mixes that were kept, beside the one that is shown.

import { details } from "../details-text.js";
import { loss, percent } from "../format.js";
import { answers, checks } from "../state/bench.js";
import { polishing } from "../state/learn.js";
import { recall, slots } from "../state/mix.js";
import { rightOf } from "../state/workbench/results.js";
import { SLOTS } from "../state/workbench/types.js";
import { text } from "../text.js";

const { compared } = details;

/** A and B beside the mix as it is now. */
export function Compared() {
  const kept = SLOTS.filter((slot) => slots.value[slot]);
  if (!kept.length) return null;
  const { rows, rightOf: of } = compared;
  const right = checks.value && rightOf(checks.value.assessment);
  const now = {
    answer: answers.value?.current ? (answers.value.composed?.text ?? "") : text.result.wait,
    correct: right ? of(right.correct, right.total) : text.result.wait,
    loss: checks.value?.loss ?? null,
  };
  return (
    <table class="numbers compared" data-testid="compared">
      <caption class="visually-hidden">{compared.caption}</caption>
      <thead>
        <tr>
          <td />
          {kept.map((slot) => (
            <th key={slot} scope="col">
              <button
                type="button"
                class="plain"
                disabled={polishing.value}
                onClick={() => recall(slot)}
              >
                {compared.recall(slot)}
              </button>
            </th>
          ))}
          <th scope="col">{compared.now}</th>
        </tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">{rows.answer}</th>
          {kept.map((slot) => (
            <td key={slot}>{slots.value[slot]?.answer?.text ?? ""}</td>
          ))}
          <td>{now.answer}</td>
        </tr>
        <tr>
          <th scope="row">{rows.examples}</th>
          {kept.map((slot) => {
            const found = slots.value[slot]?.correct;
            return <td key={slot}>{found ? of(found.correct, found.total) : ""}</td>;
          })}
          <td>{now.correct}</td>
        </tr>
        <tr>
          <th scope="row">{rows.error}</th>
          {kept.map((slot) => {
            const found = slots.value[slot]?.loss ?? null;
            return <td key={slot}>{found === null ? "" : loss(found)}</td>;
          })}
          <td>{now.loss === null ? "" : loss(now.loss)}</td>
        </tr>
        {kept.some((slot) => slots.value[slot]?.test) && (
          <tr>
            <th scope="row">{rows.test}</th>
            {kept.map((slot) => {
              const found = slots.value[slot]?.test;
              return <td key={slot}>{found ? percent(Math.round(found.exactMatch)) : ""}</td>;
            })}
            <td />
          </tr>
        )}
      </tbody>
    </table>
  );
}
