// The link to the composition. All that it holds comes from the mix.

import { computed, effect, signal } from "@preact/signals";
import { text } from "../text.js";
import { composition, mix, saveMix, update } from "./bench.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { base, loom, registryUrl } from "./session.js";
import { isEdited, type Mix, nameMix, UNTITLED } from "./workbench.js";

/** The last link that was made, and the mix that it holds. */
export const made = signal<{ address: string; mix: Mix } | null>(null);
/** The link; null while there is none of this composition. */
export const link = computed(() =>
  made.value && made.value.mix.version === mix.value?.version ? made.value.address : null,
);
/** The error of making the link. */
export const shareError = signal<ErrorText | null>(null);
/** Whether one's own examples go into the link; those of the library's tasks always do. */
export const withExamples = signal(false);

/** Milliseconds without a change before a link is made: dragging a fader changes it often. */
const DEBOUNCE_MS = 150;

/** Names the mix. */
export const setTitle = (title: string) => update((now) => nameMix(now, { title }));
/** Notes how to write an input. */
export const setNote = (note: string) => update((now) => nameMix(now, { note }));

/** Updates the link, and the page's address, whenever what it holds changes. */
export function keepLinkCurrent(): void {
  let latest = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const number = ++latest;
    const current = mix.value;
    const engine = loom.value;
    const included = withExamples.value || current?.task?.own === false;
    clearTimeout(timer);
    if (!engine || !current || !composition.value || !base.value) {
      made.value = null;
      return;
    }
    const edited = isEdited(current) ? text.share.editedNote : "";
    const content = {
      composition: composition.value,
      title: current.title.trim() || UNTITLED,
      instruction:
        [current.note.trim().replace(text.share.editedNote, ""), edited].join(" ").trim() || null,
      examples: included ? [...(current.task?.examples ?? [])] : [],
      registry: registryUrl,
    };
    const make = () =>
      engine.share(content).then(
        (fragment) => {
          if (number !== latest) return;
          const address = new URL(location.href);
          address.hash = fragment;
          made.value = { address: address.href, mix: current };
          shareError.value = null;
          saveMix(address.hash.slice(1));
          // A reload then restores what was learned.
          history.replaceState(null, "", address);
        },
        (error) => {
          if (number !== latest) return;
          made.value = null;
          shareError.value = toErrorText(error);
          history.replaceState(null, "", location.pathname + location.search);
        },
      );
    if (current.undo.length || current.redo.length) timer = setTimeout(make, DEBOUNCE_MS);
    else void make();
  });
}
