// Whose turn the engine is: it computes one call at a time. What a visitor starts comes first; what
// follows the faders in the background is cancelled for it and starts again afterwards.

import { signal } from "@preact/signals";

/** Whether something that a visitor started is computing. */
export const engaged = signal(0);

let background: { controller: AbortController; ended: Promise<unknown> } | null = null;

/** Runs what a visitor started, after the background work has ended. */
export async function inForeground<T>(work: () => Promise<T>): Promise<T> {
  engaged.value++;
  try {
    background?.controller.abort();
    await background?.ended;
    return await work();
  } finally {
    engaged.value--;
  }
}

/** Runs background work, which has to end soon once its signal is aborted. */
export async function inBackground(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const ended = work(controller.signal);
  background = { controller, ended };
  try {
    await ended;
  } finally {
    background = null;
  }
}
