// The steps in order: what the page's one button does, and opening a link.

import { signal } from "@preact/signals";
import type { LoraLoom } from "loraloom";
import { text } from "../text.js";
import { answer, answerFollows, nextTestInput, noteLoaded } from "./answer.js";
import { input, ownId, readMix, update } from "./bench.js";
import { isWaiting } from "./consent.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { learn } from "./learn.js";
import { fetchEntries } from "./library.js";
import { readRecorded } from "./recorded.js";
import { base, baseKey, downloadOptions, loom, readMemory, start, withLoading } from "./session.js";
import { chooseDefaultTask, libraryTasks } from "./task.js";
import { fillInput } from "./workbench/input.js";
import { takeLink, takeSaved } from "./workbench/mix.js";

/** The error of opening the link in the address. */
export const linkError = signal<ErrorText | null>(null);
/** Whether the link that was opened says which weights it was made with, and nothing of the other files. */
export const linkUnbound = signal(false);

/** A link or a library of another site, which is fetched once the visitor accepts it. */
export interface LinkOffer {
  kind: "link" | "library" | "hub";
  /** The name of a link's mix, and how to write an input for it; empty where there is none. */
  title: string;
  note: string;
  /** Bytes of the download; 0 where unknown. */
  bytes: number;
  /** Hosts of other sites that were not accepted yet. */
  hosts: string[];
  /** The page's address that it comes from. */
  address: string;
  accept: () => void;
}
export const linkOffer = signal<LinkOffer | null>(null);

/**
 * Loads the model, learns from the table's examples, and answers an input: a typed one, or a new one. With
 * `rest`, the modules that are held stay as they are.
 */
export async function learnAndAnswer(rest = false): Promise<void> {
  chooseDefaultTask();
  await withAnswer(async () => {
    if (!(await learn(rest))) return;
    noteLoaded();
    if (!input.value.typed) await nextTestInput(true);
    if (input.value.text.trim()) await answer();
  });
}

/** Runs steps that end with an answer. The page says that one follows from the first step on. */
async function withAnswer(steps: () => Promise<void>): Promise<void> {
  if (answerFollows.value) return steps();
  answerFollows.value = true;
  try {
    await steps();
  } finally {
    answerFollows.value = false;
  }
}

/** Starts the engine, chooses the default task, and opens the link in the address. */
export async function startPage(): Promise<void> {
  const recorded = readRecorded();
  // Before the page's own library is there, which a site may lack.
  const offered = mayOpen("", true);
  if (!(await start())) return;
  await Promise.all([recorded, offered]);
  chooseDefaultTask();
  await restoreFromAddress();
}

/**
 * Offers what the address names where that waits for the visitor: a library of another site, a link with a
 * large download or one from another site. Resolves with whether the link may be opened.
 */
async function mayOpen(fragment: string, accepted: boolean): Promise<boolean> {
  try {
    const asks = isWaiting() || (fragment && !accepted && !readMix(fragment));
    linkOffer.value = asks ? await (await import("./offer.js")).offerOf(fragment) : null;
    return linkOffer.value === null;
  } catch (error) {
    linkError.value = toErrorText(error);
    return false;
  }
}

/**
 * Restores the composition that the address holds, without learning. A large download, and one from another
 * site, waits until it is `accepted`.
 */
export async function restoreFromAddress(accepted = false): Promise<void> {
  // Some programs escape the # of a link, which then is a part of the path or query.
  const escaped = location.href.includes("%23") ? location.href : "";
  const fragment = location.hash.replace(/^#/, "") || escaped;
  linkError.value = null;
  if (!(await mayOpen(fragment, accepted))) return;
  const engine = loom.value;
  if (fragment && engine) await withAnswer(() => restore(engine, fragment));
}

/** Restores the composition of a fragment, and answers an input with it. */
async function restore(engine: LoraLoom, fragment: string): Promise<void> {
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
  linkUnbound.value = !recipe.files;
  const { title, instruction, examples, merge, scales } = recipe;
  const modules = recipe.modules.map(({ id, weight }) => ({ id, weight }));
  const [made] = composition.modules;
  const tuned = scales && made ? { id: made.id, scales } : null;
  const baseId = baseKey(engine.base);
  update((now) =>
    saved
      ? takeSaved(now, saved, tuned?.id)
      : takeLink(
          now,
          { title, instruction, examples, composition: { modules, merge }, tuned, base: baseId },
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
