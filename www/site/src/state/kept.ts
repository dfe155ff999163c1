// What is done with the mixes that are kept: opened, deleted, and written to a file and read from one.

import type { GroupWeights } from "loraloom";
import { noteMix } from "./bench.js";
import { ownAddress } from "./consent.js";
import { toErrorText } from "./errors.js";
import { type KeptRun, runs, runsError, write } from "./runs.js";
import { registryUrl } from "./session.js";
import { GROUPS } from "./workbench/weights.js";

/** Removes a kept mix. */
export const removeRun = (fragment: string) => write((store) => store.delete(fragment));

/** The kept mixes as a file. */
export const exportRuns = () =>
  new Blob([JSON.stringify(runs.value ?? [])], { type: "application/json" });

/** Whether a value of a file is a weight. */
const isWeight = (value: unknown) =>
  typeof value === "number" ||
  GROUPS.every((group) => typeof (value as GroupWeights | null)?.[group] === "number");

/** Whether a value of a file is a kept mix. */
const isRun = (value: unknown): value is KeptRun => {
  const { fragment, time, mix } = (value ?? {}) as Partial<KeptRun>;
  return (
    typeof fragment === "string" &&
    /^[\w-]+$/.test(fragment) &&
    typeof time === "number" &&
    typeof mix?.title === "string" &&
    Array.isArray(mix.desk?.modules) &&
    mix.desk.modules.every((one) => typeof one?.id === "string" && isWeight(one.weight))
  );
};

/** Adds the kept mixes of a file; resolves with how many. */
export async function importRuns(contents: string): Promise<number> {
  try {
    const parsed: unknown = JSON.parse(contents);
    const found = Array.isArray(parsed) ? parsed.filter(isRun) : [];
    for (const run of found) {
      const { fragment, time, mix, right = null } = run;
      const kept: KeptRun = { fragment, time, mix, right, registry: registryUrl, imported: true };
      await write((store) => store.put(kept));
    }
    return found.length;
  } catch (error) {
    runsError.value = toErrorText(error);
    return 0;
  }
}

/** Opens a kept mix by its link. */
export function openRun({ fragment, mix: kept, imported }: KeptRun): void {
  if (!imported) noteMix(fragment, kept);
  history.replaceState(null, "", ownAddress());
  location.hash = fragment;
}
