// Answers an input with the kept mix whose task it belongs to, or with the base where it belongs to none.

import { computed, signal } from "@preact/signals";
import { inForeground } from "./engine-turn.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { type KeptRun, runs } from "./runs.js";
import { base, baseKey, loom } from "./session.js";
import { audible, unpolished } from "./workbench/faders.js";

/** An answer, and who gave it. */
export interface RoutedAnswer {
  input: string;
  /** Title of the mix that answered; null where the base did. */
  title: string | null;
  text: string;
}

/** The kept mixes that can be chosen among, the latest of each task: its examples say what belongs to it. */
export const routable = computed(() => {
  const key = base.value && baseKey(base.value);
  const titles = new Set<string>();
  return (runs.value ?? []).filter(({ mix, imported }) => {
    const fits = mix.task?.examples.length && !mix.desk.tuned && audible(mix).length;
    // Before the model is loaded, it is not known which of them are its own.
    if (!fits || imported || (key && mix.base !== key) || titles.has(mix.title)) return false;
    titles.add(mix.title);
    return true;
  });
});

/** How many of the mixes have answered; null while none is asked. */
export const routing = signal<{ done: number; total: number } | null>(null);
export const routed = signal<RoutedAnswer | null>(null);
export const routeError = signal<ErrorText | null>(null);

/** Answers an input. */
export async function route(input: string): Promise<void> {
  const engine = loom.value;
  if (!engine || routing.value || !input.trim()) return;
  const choices = routable.value;
  routing.value = { done: 0, total: choices.length };
  routeError.value = null;
  try {
    const { chosen, text } = await inForeground(async () => {
      await engine.loadModules(moduleIds(choices));
      return engine.route(input, {
        compositions: choices.map(({ mix }) => ({
          composition: unpolished(mix),
          examples: mix.task?.examples ?? [],
        })),
        onStep: (progress) => {
          routing.value = progress;
        },
      });
    });
    routed.value = {
      input,
      title: chosen === null ? null : (choices[chosen]?.mix.title ?? null),
      text,
    };
  } catch (error) {
    routeError.value = toErrorText(error);
  } finally {
    routing.value = null;
  }
}

const moduleIds = (choices: KeptRun[]) => [
  ...new Set(choices.flatMap(({ mix }) => audible(mix).map(({ id }) => id))),
];
