// The files that the browser keeps.

import "./storage.css";
import { useSignal } from "@preact/signals";
import type { Storage } from "loraloom";
import { useEffect } from "preact/hooks";
import { bytes } from "../format.js";
import { toErrorText } from "../state/errors.js";
import { loom, startError } from "../state/session.js";
import { text } from "../text.js";

/** The files, each with a button that deletes it. */
export function StoragePanel() {
  const storage = useSignal<Storage | null>(null);
  const asking = useSignal(false);
  const run = async (work: () => Promise<Storage> | undefined) => {
    try {
      storage.value = (await work()) ?? null;
    } catch (error) {
      startError.value = toErrorText(error);
    }
  };
  useEffect(() => void run(() => loom.value?.storage()), []);
  const remove = (keys: string[]) => void run(() => loom.value?.deleteStored(keys));
  const kept = storage.value;
  const total = kept?.files.reduce((sum, file) => sum + file.bytes, 0) ?? 0;
  return (
    <>
      {kept && (
        <div class="options one-per-row">
          <p>
            {text.storage.total(
              text.storage.kinds[kept.kind],
              kept.files.length,
              total,
              kept.quota,
            )}{" "}
            {kept.kind !== "memory" && (kept.persisted ? text.storage.safe : text.storage.unsafe)}
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
                    {file.packed && text.storage.packed}
                    {!file.complete && text.storage.incomplete}
                    {file.pinned && file.complete && text.storage.pinned}{" "}
                    <button type="button" class="quiet" onClick={() => remove([file.key])}>
                      {text.storage.delete}
                    </button>
                  </li>
                ))}
              </ul>
              <p class="row">
                {asking.value ? (
                  <>
                    <button
                      type="button"
                      onClick={() => {
                        asking.value = false;
                        remove(kept.files.map(({ key }) => key));
                      }}
                    >
                      {text.storage.deleteCount(kept.files.length)}
                    </button>
                    <button
                      type="button"
                      onClick={() => {
                        asking.value = false;
                      }}
                    >
                      {text.storage.keep}
                    </button>
                  </>
                ) : (
                  <button
                    type="button"
                    onClick={() => {
                      asking.value = true;
                    }}
                  >
                    {text.storage.deleteAll}
                  </button>
                )}
              </p>
            </>
          )}
        </div>
      )}
    </>
  );
}
