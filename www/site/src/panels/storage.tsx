// The files that the browser keeps.

import "./storage.css";
import { useSignal } from "@preact/signals";
import type { Storage } from "loraloom";
import { useEffect } from "preact/hooks";
import { details } from "../details-text.js";
import { bytes } from "../format.js";
import { toErrorText } from "../state/errors.js";
import { loom, startError } from "../state/session.js";

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
            {details.storage.total(
              details.storage.kinds[kept.kind],
              kept.files.length,
              total,
              kept.quota,
            )}{" "}
            {kept.kind !== "memory" &&
              (kept.persisted ? details.storage.safe : details.storage.unsafe)}
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
                    {file.packed && details.storage.packed}
                    {!file.complete && details.storage.incomplete}
                    {file.pinned && file.complete && details.storage.pinned}{" "}
                    <button type="button" class="quiet" onClick={() => remove([file.key])}>
                      {details.storage.delete}
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
                      {details.storage.deleteCount(kept.files.length)}
                    </button>
                    <button
                      type="button"
                      onClick={() => {
                        asking.value = false;
                      }}
                    >
                      {details.storage.keep}
                    </button>
                  </>
                ) : (
                  <button
                    type="button"
                    onClick={() => {
                      asking.value = true;
                    }}
                  >
                    {details.storage.deleteAll}
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
