// The link to the composition.

import { effect, signal } from "@preact/signals";
import { composition, restored } from "./composition.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { base, loom, registryUrl } from "./session.js";
import { completeExamples, title } from "./task.js";

/** The link; null while there is no composition. */
export const link = signal<string | null>(null);
/** The error of making the link. */
export const shareError = signal<ErrorText | null>(null);
/** Whether the examples go into the link. */
export const withExamples = signal(false);
/** A note on the task's inputs that goes into the link. */
export const instruction = signal("");

restored.subscribe((recipe) => {
  if (recipe) instruction.value = recipe.instruction ?? "";
});

/** Updates the link, and the page's address, whenever what it holds changes. */
export function keepLinkCurrent(): void {
  let latest = 0;
  effect(() => {
    const number = ++latest;
    const current = composition.value;
    const content = {
      title: title.value.trim() || "My task",
      instruction: instruction.value.trim() || null,
      examples: withExamples.value ? completeExamples.value : [],
      registry: registryUrl,
    };
    if (!loom.value || !current || !base.value) {
      link.value = null;
      return;
    }
    loom.value.share({ composition: current, ...content }).then(
      (fragment) => {
        if (number !== latest) return;
        const address = new URL(location.href);
        address.hash = fragment;
        link.value = address.href;
        shareError.value = null;
        // A reload then restores what was learned.
        history.replaceState(null, "", address);
      },
      (error) => {
        if (number !== latest) return;
        link.value = null;
        shareError.value = toErrorText(error);
        history.replaceState(null, "", location.pathname + location.search);
      },
    );
  });
}
