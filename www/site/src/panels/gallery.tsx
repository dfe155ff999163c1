// The library's tasks as cards, each with one pair and its measured result.

import "./gallery.css";
import { useSignal } from "@preact/signals";
import { task } from "../state/bench.js";
import { recordedRun } from "../state/recorded.js";
import { chooseTask, libraryTasks, NEW_TASK } from "../state/task.js";
import type { Task } from "../state/workbench/types.js";
import { text } from "../text.js";

/** Cards before the others are behind a button; with one's own they fill two rows. */
const CARDS = 9;

export function Gallery() {
  const { gallery } = text;
  const all = useSignal(false);
  if (!libraryTasks.value.length) return null;
  // What works best comes first.
  const score = (one: Task) => recordedRun(one)?.scores.composed ?? 0;
  const tasks = [...libraryTasks.value].sort((a, b) => score(b) - score(a));
  const shown = all.value ? tasks : tasks.slice(0, CARDS);
  const choose = (id: string) => {
    chooseTask(id);
    document.getElementById("task")?.scrollIntoView({ block: "nearest" });
  };
  return (
    <section class="gallery" id="tasks" aria-labelledby="tasks-title">
      <h2 id="tasks-title">{gallery.heading}</h2>
      <ul>
        {shown.map((one) => {
          const run = recordedRun(one);
          const [first] = one.examples;
          const [base, composed] = run
            ? gallery.measured(run.scores.base, run.scores.composed)
            : [];
          return (
            <li key={one.id} class={task.value?.id === one.id ? "now" : ""}>
              <h3>
                <button
                  type="button"
                  aria-pressed={task.value?.id === one.id}
                  onClick={() => choose(one.id)}
                >
                  {one.title}
                </button>
              </h3>
              <p>
                {first?.input} → <span class="output">{first?.output}</span>
              </p>
              {run && (
                <small>
                  {base}
                  <b class={run.scores.composed >= 50 ? "ok" : ""}>{composed}</b>
                </small>
              )}
            </li>
          );
        })}
        <li>
          <h3>
            <button type="button" onClick={() => choose(NEW_TASK)}>
              {gallery.own}
            </button>
          </h3>
          <p>{gallery.ownText}</p>
          <small>{gallery.ownFormats}</small>
        </li>
      </ul>
      {shown.length < tasks.length && (
        <button type="button" class="plain" onClick={() => (all.value = true)}>
          {gallery.all(tasks.length)}
        </button>
      )}
    </section>
  );
}
