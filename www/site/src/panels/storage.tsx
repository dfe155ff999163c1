// The files that the browser keeps.

import "./storage.css";
import { useSignal } from "@preact/signals";
import type { Storage, StoreKind } from "loraloom";
import { bytes, count } from "../format.js";
import { toErrorText } from "../state/errors.js";
import { loom, startError } from "../state/session.js";

const STORES: Record<StoreKind, string> = {
  "file-system": "Kept in this browser’s private files",
  cache: "Kept in this browser’s cache",
  memory: "This browser keeps no files, so the next visit downloads them again",
};

/** The files, each with a button that deletes it. */
export function StoragePanel() {
  const storage = useSignal<Storage | null>(null);
  const run = async (work: () => Promise<Storage> | undefined) => {
    try {
      storage.value = (await work()) ?? null;
    } catch (error) {
      startError.value = toErrorText(error);
    }
  };
  const remove = (keys: string[]) => void run(() => loom.value?.deleteStored(keys));
  const kept = storage.value;
  const total = kept?.files.reduce((sum, file) => sum + file.bytes, 0) ?? 0;
  return (
    <details
      class="inline-options"
      data-testid="storage"
      onToggle={({ currentTarget }) => {
        if (currentTarget.open) void run(() => loom.value?.storage());
      }}
    >
      <summary>Storage</summary>
      {kept && (
        <div class="options one-per-row">
          <p>
            {STORES[kept.kind]}: {count(kept.files.length, "file")}, {bytes(total)}
            {kept.quota !== null && ` of ${bytes(kept.quota)} available`}.{" "}
            {kept.kind !== "memory" &&
              (kept.persisted
                ? "The browser will not delete them."
                : "The browser may delete them when the disk is full.")}
          </p>
          {kept.files.length > 0 && (
            <>
              <ul class="stored">
                {kept.files.map((file) => (
                  <li key={file.key}>
                    <span class="what" title={file.url}>
                      {decodeURIComponent(new URL(file.url).pathname).slice(1)}
                    </span>{" "}
                    {bytes(file.bytes)}
                    {file.packed && ", packed: loads without converting"}
                    {!file.complete && ", incomplete"}
                    {file.pinned && file.complete && ", unchanged since the first download"}{" "}
                    <button type="button" class="quiet" onClick={() => remove([file.key])}>
                      Delete
                    </button>
                  </li>
                ))}
              </ul>
              <button type="button" onClick={() => remove(kept.files.map(({ key }) => key))}>
                Delete all
              </button>
            </>
          )}
        </div>
      )}
    </details>
  );
}
