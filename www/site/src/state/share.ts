// The link to the composition. All that it holds comes from the mix.

import { computed, effect, signal } from "@preact/signals";
import type { ShareInput } from "loraloom";
import { text } from "../text.js";
import { mix, saveMix, unpolishedMix, update } from "./bench.js";
import { ownAddress } from "./consent.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { base, loom, registryUrl } from "./session.js";
import { isEdited } from "./workbench/faders.js";
import { nameMix, UNTITLED } from "./workbench/mix.js";
import type { Mix } from "./workbench/types.js";

/** Whether one's own examples go into the link; those of the library's tasks always do. */
export const withExamples = signal(false);

/** What the link holds, and its mix; null while there is nothing to share. */
const content = computed<{ mix: Mix; input: ShareInput } | null>(() => {
  const current = mix.value;
  if (!loom.value || !current || !unpolishedMix.value || !base.value) return null;
  const included = withExamples.value || current.task?.own === false;
  const byHand = isEdited(current) || current.options?.held?.length;
  const edited = byHand ? text.share.editedNote : "";
  const note = current.note.trim().replace(text.share.editedNote, "");
  const input = {
    composition: unpolishedMix.value,
    ...(current.desk.tuned && { scales: current.desk.tuned.scales }),
    title: current.title.trim() || UNTITLED,
    instruction: [note, edited].join(" ").trim() || null,
    examples: included ? [...(current.task?.examples ?? [])] : [],
    registry: registryUrl,
  };
  return { mix: current, input };
});

/** The last link that was made, and what it holds. */
const latestLink = signal<{ address: string; of: NonNullable<typeof content.value> } | null>(null);
/** The last link that was made, and its mix. */
export const made = computed(
  () => latestLink.value && { address: latestLink.value.address, mix: latestLink.value.of.mix },
);
/** The link; null while there is none of what is on the page. */
export const link = computed(() =>
  latestLink.value?.of === content.value ? (latestLink.value?.address ?? null) : null,
);
/** The error of making the link. */
export const shareError = signal<ErrorText | null>(null);

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
    const of = content.value;
    const engine = loom.value;
    clearTimeout(timer);
    if (!engine || !of) {
      latestLink.value = null;
      return;
    }
    const make = () =>
      engine.share(of.input).then(
        (fragment) => {
          if (number !== latest) return;
          const address = ownAddress();
          address.hash = fragment;
          latestLink.value = { address: address.href, of };
          shareError.value = null;
          saveMix(address.hash.slice(1));
          // A reload then restores what was learned.
          history.replaceState(null, "", address);
        },
        (error) => {
          if (number !== latest) return;
          latestLink.value = null;
          shareError.value = toErrorText(error);
          const address = ownAddress();
          address.hash = "";
          history.replaceState(null, "", address);
        },
      );
    if (of.mix.undo.length || of.mix.redo.length) timer = setTimeout(make, DEBOUNCE_MS);
    else void make();
  });
}
