// The story as a whole: the one button of the first screen, and links.

import { effect, signal } from "@preact/signals";
import type { ErrorReport, Recipe } from "loraloom";
import { anotherInput, answer, forgetAnswers, input } from "./answer.js";
import { composition, evaluations, learn, learned, selected, withoutModule } from "./learn.js";
import { meetIds } from "./library.js";
import {
  asReport,
  base,
  downloads,
  loading,
  loom,
  readMemory,
  registryUrl,
  start,
  startError,
} from "./session.js";
import { chooseDefaultTask, examples, OWN, task, taskId, title } from "./task.js";

/** The recipe that was restored from the address. */
export const restored = signal<Recipe | null>(null);
/** What is wrong with the link in the address. */
export const linkError = signal<ErrorReport | null>(null);
/** The link to the composition; null while there is none. */
export const link = signal<string | null>(null);
/** What is wrong with making a link. */
export const shareError = signal<ErrorReport | null>(null);
/** Whether the examples go into the link. */
export const withExamples = signal(false);
/** A line about the task that goes into the link. */
export const instruction = signal("");

/** The default story: load, learn from the table's examples, answer a new input. */
export async function runStory(): Promise<void> {
  chooseDefaultTask();
  if (!(await learnAndKeep())) return;
  if (task.value) {
    input.value = "";
    await anotherInput();
  }
  if (input.value) await answer();
}

/** Learns; what was restored or answered before belongs to the old composition. */
export async function learnAndKeep(): Promise<boolean> {
  if (!(await learn())) return false;
  restored.value = null;
  forgetAnswers();
  return true;
}

/** Starts the page: the engine, the default task, and the link in the address. */
export async function startPage(): Promise<void> {
  if (!(await start())) return;
  chooseDefaultTask();
  await restoreFromAddress();
}

/** Restores the composition that the address holds; nothing is learned. */
export async function restoreFromAddress(): Promise<void> {
  const fragment = location.hash.replace(/^#/, "");
  linkError.value = null;
  if (!fragment || !loom.value) return;
  const result = await loading("Opening the link", async () =>
    loom.value?.restore(fragment, downloads()),
  );
  if (!result) {
    linkError.value = startError.value;
    startError.value = null;
    base.value = loom.value.base;
    return;
  }
  const { recipe } = result;
  base.value = loom.value.base;
  evaluations.value = [];
  selected.value = [];
  learned.value = null;
  withoutModule.value = [];
  forgetAnswers();
  restored.value = recipe;
  instruction.value = recipe.instruction ?? "";
  composition.value = result.composition;
  void meetIds(recipe.modules.map(({ id }) => id));
  const known = loom.value.registry.tasks.find((one) => one.title === recipe.title);
  taskId.value = known && !recipe.examples.length ? known.id : OWN;
  if (recipe.examples.length) examples.value = recipe.examples;
  else if (known) examples.value = known.examples;
  title.value = recipe.title;
  await readMemory();
}

/** Makes the link anew whenever what it holds changes. */
export function keepLinkFresh(): void {
  let latest = 0;
  effect(() => {
    const asked = ++latest;
    const engine = loom.value;
    const current = composition.value;
    const chosen = withExamples.value
      ? examples.value.filter(({ input, output }) => input.trim() && output.trim())
      : [];
    const call = {
      title: title.value.trim() || "My task",
      instruction: instruction.value.trim() || null,
      examples: chosen,
      registry: registryUrl,
    };
    if (!engine || !current || !base.value) {
      link.value = null;
      return;
    }
    engine.share({ composition: current, ...call }).then(
      (fragment) => {
        if (asked !== latest) return;
        const address = new URL(location.href);
        address.hash = fragment;
        link.value = address.href;
        shareError.value = null;
        // A reload then restores what was learned.
        history.replaceState(null, "", address);
      },
      (error) => {
        if (asked !== latest) return;
        link.value = null;
        shareError.value = asReport(error);
        history.replaceState(null, "", location.pathname + location.search);
      },
    );
  });
}
