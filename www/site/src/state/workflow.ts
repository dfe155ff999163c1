// The steps in order: what the page's one button does, and opening a link.

import { signal } from "@preact/signals";
import type { LoraLoom } from "loraloom";
import { text } from "../text.js";
import { answer, nextTestInput, noteLoaded } from "./answer.js";
import { input, ownId, readMix, update } from "./bench.js";
import type { ErrorText } from "./errors.js";
import { learn } from "./learn.js";
import { baseBytes, bytesOf, entryOf, fetchEntries } from "./library.js";
import { readRecorded } from "./recorded.js";
import { base, baseKey, downloadOptions, loom, readMemory, start, withLoading } from "./session.js";
import { chooseDefaultTask, libraryTasks } from "./task.js";
import { fillInput, takeLink, takeSaved } from "./workbench.js";

/** The error of opening the link in the address. */
export const linkError = signal<ErrorText | null>(null);

/** A link whose download waits for the visitor. */
interface LinkOffer {
  fragment: string;
  title: string;
  note: string;
  bytes: number;
}
export const linkOffer = signal<LinkOffer | null>(null);

/** Bytes above which a link is not opened unasked. */
const ASKED_BYTES = 60e6;

/** Loads the model, learns from the table's examples, and answers an input: a typed one, or a new one. */
export async function learnAndAnswer(): Promise<void> {
  chooseDefaultTask();
  if (!(await learn())) return;
  noteLoaded();
  if (!input.value.typed) await nextTestInput(true);
  if (input.value.text.trim()) await answer();
}

/** Starts the engine, chooses the default task, and opens the link in the address. */
export async function startPage(): Promise<void> {
  const recorded = readRecorded();
  if (!(await start())) return;
  await recorded;
  chooseDefaultTask();
  await restoreFromAddress();
}

/** Reads the recipe in a link, and what it downloads; null where that is no link. */
async function readOffer(engine: LoraLoom, fragment: string): Promise<LinkOffer | null> {
  try {
    const { title, instruction, base: model, modules } = await engine.decode(fragment);
    await fetchEntries(modules.map(({ id }) => id));
    const entries = modules.flatMap(({ id }) => entryOf(id) ?? []);
    const needsBase = base.value?.id !== model.id;
    const download = (needsBase ? baseBytes.value : 0) + bytesOf(entries);
    return { fragment, title, note: instruction ?? "", bytes: download };
  } catch {
    // Opening the link reports what is wrong with it.
    return null;
  }
}

/**
 * Restores the composition that the address holds, without learning. A large download waits until it is
 * `accepted`.
 */
export async function restoreFromAddress(accepted = false): Promise<void> {
  // Some programs escape the # of a link, which then is a part of the path or query.
  const escaped = location.href.includes("%23") ? location.href : "";
  const fragment = location.hash.replace(/^#/, "") || escaped;
  linkError.value = null;
  linkOffer.value = null;
  const engine = loom.value;
  if (!fragment || !engine) return;
  if (!accepted && !readMix(fragment)) {
    const offer = await readOffer(engine, fragment);
    if (offer && offer.bytes > ASKED_BYTES) {
      linkOffer.value = offer;
      return;
    }
  }
  const saved = readMix(fragment);
  const result = await withLoading(
    text.stages.link,
    async () => {
      const restored = await engine.restore(fragment, downloadOptions());
      // Faders at 0 are not in the link.
      if (saved) await engine.loadModules(saved.desk.modules.map(({ id }) => id));
      return restored;
    },
    linkError,
  );
  base.value = engine.base;
  if (!result || !engine.base) return;
  const { recipe, composition } = result;
  const { title, instruction, examples } = recipe;
  const baseId = baseKey(engine.base);
  update((now) =>
    saved
      ? takeSaved(now, saved)
      : takeLink(
          now,
          { title, instruction, examples, composition, base: baseId },
          libraryTasks.value,
          ownId(),
        ),
  );
  noteLoaded();
  void fetchEntries(recipe.modules.map(({ id }) => id));
  await readMemory();
  // An input to begin with: of the test set, or the first example.
  if (!input.value.text.trim()) {
    await nextTestInput();
    const [first] = examples;
    if (!input.value.text && first) update((now) => fillInput(now, first.input));
  }
  if (input.value.text) await answer();
}
