// What <lora-loom> shows: its elements, their parts and their style. Built node by node with a constructed style
// sheet, because a content security policy may forbid markup from text and inline styles.

import type { Example } from "./protocol.js";

/** Rows of the examples; a task of the library may have more. */
const ROWS = 5;

const STYLE = `
:host { display: block; font: inherit; color: inherit; --base: var(--loom-base, light-dark(#5b6470, #a5adb8)); --composed: var(--loom-composed, light-dark(#a8420f, #ffa26b)); --line: var(--loom-border, var(--base)); --radius: var(--loom-radius, .3rem); --gap: var(--loom-gap, .5rem); }
[hidden] { display: none !important; }
form { display: grid; gap: var(--gap); }
.answer { grid-template-columns: 1fr auto; align-items: end; }
label { display: grid; gap: .25rem; }
input, textarea, button, select { box-sizing: border-box; width: 100%; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: var(--radius); padding: .5rem .7rem; }
option { background: Canvas; color: CanvasText; }
button { width: auto; justify-self: start; cursor: pointer; }
textarea { resize: vertical; min-height: 4em; }
button:disabled { opacity: .6; cursor: default; }
.examples { display: grid; grid-template-columns: 3fr 2fr; gap: calc(var(--gap) / 2) var(--gap); }
dl { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin: 1rem 0 0; }
dt { font-weight: 600; }
dd { margin: .25rem 0 0; min-height: 1.5em; overflow-wrap: anywhere; white-space: pre-wrap; }
.base { color: var(--base); }
.composed { color: var(--composed); }
.state { min-height: 1.5em; margin: .5rem 0 0; }
.heading { font-weight: 600; margin: 0 0 .25rem; }
.note, .mix { margin: 0 0 .5rem; }
@media (max-width: 30rem) { .answer { grid-template-columns: 1fr; } }
`;

/** The style of all elements. */
let sheet: CSSStyleSheet | null = null;

/** The constructed style sheet of every element. */
export function styleSheet(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  }
  return sheet;
}

/** An element with attributes and contents. */
function create<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string>,
  ...contents: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...contents);
  return element;
}

/** The form in which a task is chosen or typed. */
export interface LearnView {
  form: HTMLFormElement;
  tasks: HTMLSelectElement;
  rows: HTMLElement;
  button: HTMLButtonElement;
  verdict: HTMLElement;
  mix: HTMLElement;
}

/** The form with the input, and the answers. */
export interface AnswerView {
  form: HTMLFormElement;
  input: HTMLTextAreaElement;
  button: HTMLButtonElement;
  base: HTMLElement;
  composed: HTMLElement;
  /** The answers together. */
  answers: HTMLElement;
}

/** What an element shows. */
export interface View {
  heading: HTMLElement;
  note: HTMLElement;
  learn: LearnView;
  state: HTMLElement;
  answer: AnswerView;
  /** The children of the shadow root. */
  all: HTMLElement[];
}

/** Builds what an element shows. */
export function createView(): View {
  const heading = create("slot", { name: "title" });
  const note = create("slot", { name: "note" });
  const learn = createLearnView();
  const answer = createAnswerView();
  const status = { class: "state", part: "state", role: "status", "aria-live": "polite" };
  const state = create("p", status);
  const all = [
    create("div", { class: "heading", part: "title" }, heading),
    create("div", { class: "note", part: "note" }, note),
    learn.form,
    state,
    learn.verdict,
    learn.mix,
    answer.form,
    answer.answers,
  ];
  return { heading, note, learn, state, answer, all };
}

function createLearnView(): LearnView {
  const tasks = create("select", { part: "task" });
  const rows = create("div", { class: "examples", part: "examples", role: "group" });
  rows.setAttribute("aria-label", "Examples");
  const button = create("button", { part: "button learn" });
  const form = create(
    "form",
    { part: "form learn-form" },
    create("label", {}, "Task", tasks),
    rows,
    button,
  );
  const verdict = create("p", { class: "state", part: "verdict" });
  const mix = create("p", { class: "mix", part: "mix" });
  return { form, tasks, rows, button, verdict, mix };
}

function createAnswerView(): AnswerView {
  const input = create("textarea", { name: "input", rows: "3", part: "input" });
  const button = create("button", { part: "button" }, "Load and answer");
  const label = create("label", {}, "Input", input);
  const form = create("form", { class: "answer", part: "form" }, label, button);
  const base = create("dd", { part: "base" });
  const composed = create("dd", { part: "composed" });
  const answers = create(
    "dl",
    { part: "answers" },
    create("div", { class: "base" }, create("dt", {}, "Base"), base),
    create("div", { class: "composed" }, create("dt", {}, "Composed"), composed),
  );
  return { form, input, button, base, composed, answers };
}

/** Fills the list of tasks; the last choice is one's own. */
export function fillTasks(view: LearnView, tasks: { id: string; title: string }[]): void {
  const options = [...tasks, { id: "", title: "My own task" }];
  view.tasks.replaceChildren(
    ...options.map(({ id, title }) => create("option", { value: id }, title)),
  );
}

/** Puts examples into the rows, with empty ones up to five. */
export function fillRows({ rows }: LearnView, examples: Example[]): void {
  const count = Math.max(ROWS, examples.length);
  const cells = Array.from({ length: count }, (_, row) =>
    (["input", "output"] as const).map((field) => {
      const cell = create("input", {
        name: field,
        part: "cell",
        placeholder: field,
        "aria-label": `${field === "input" ? "Input" : "Output"} of example ${row + 1}`,
      });
      cell.value = examples[row]?.[field] ?? "";
      return cell;
    }),
  );
  rows.replaceChildren(...cells.flat());
}

/** The rows in which both cells are filled. */
export function filledRows({ form }: LearnView): Example[] {
  const data = new FormData(form);
  const outputs = data.getAll("output").map(String);
  const examples = data.getAll("input").map((input, row) => ({
    input: String(input),
    output: outputs[row] ?? "",
  }));
  return examples.filter(({ input, output }) => input.trim() && output.trim());
}
