// The steps in order: the demo behind the page's first button, and opening a link.

import { batch, signal } from "@preact/signals";
import { answer, input, nextTestInput } from "./answer.js";
import { composition, restored } from "./composition.js";
import type { ErrorText } from "./errors.js";
import { learn } from "./learn.js";
import { fetchEntries } from "./library.js";
import { base, downloadOptions, loom, readMemory, start, withLoading } from "./session.js";
import { chooseDefaultTask, takeRecipe, task } from "./task.js";

/** The error of opening the link in the address. */
export const linkError = signal<ErrorText | null>(null);

/** Loads the model, learns from the table's examples, and answers a new input. */
export async function runDemo(): Promise<void> {
  chooseDefaultTask();
  if (!(await learn())) return;
  if (task.value) {
    input.value = "";
    await nextTestInput();
  }
  if (input.value) await answer();
}

/** Starts the engine, chooses the default task, and opens the link in the address. */
export async function startPage(): Promise<void> {
  if (!(await start())) return;
  chooseDefaultTask();
  await restoreFromAddress();
}

/** Restores the composition that the address holds, without learning. */
export async function restoreFromAddress(): Promise<void> {
  // Some programs escape the # of a link, which then is a part of the path or query.
  const escaped = location.href.includes("%23") ? location.href : "";
  const fragment = location.hash.replace(/^#/, "") || escaped;
  linkError.value = null;
  const engine = loom.value;
  if (!fragment || !engine) return;
  const result = await withLoading(
    "Opening the link",
    () => engine.restore(fragment, downloadOptions()),
    linkError,
  );
  base.value = engine.base;
  if (!result) return;
  batch(() => {
    restored.value = result.recipe;
    composition.value = result.composition;
    takeRecipe(result.recipe);
  });
  void fetchEntries(result.recipe.modules.map(({ id }) => id));
  await readMemory();
}
