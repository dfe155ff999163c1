// The files that the browser keeps.

import "./storage.css";
import { useSignal } from "@preact/signals";
import type { RegistryFile, Storage } from "loraloom";
import { useEffect } from "preact/hooks";
import { details } from "../details-text.js";
import { bytes } from "../format.js";
import { toErrorText } from "../state/errors.js";
import { modulesToLoad } from "../state/library.js";
import { keptSite, loom, registry, registryBase, startError } from "../state/session.js";

/** What of this library works without a network, as far as the stored files say. */
function offlineText({ files }: Storage): string {
  const words = details.storage.offline;
  if (!keptSite.value) return words.nothing;
  const whole = files.filter(({ complete }) => complete);
  const isStored = ({ path, sha256 }: RegistryFile) => {
    const end = path.replace(/^hub:/, "").replace("@", "/resolve/");
    return whole.some((file) =>
      sha256 && !file.packed ? file.sha256 === sha256 : file.url.endsWith(end),
    );
  };
  const model = Object.values<RegistryFile>(registryBase.value?.files ?? {});
  if (!model.length || !model.every(isStored)) return words.noModel;
  const modules = modulesToLoad.value;
  const tasks = registry.value?.tasks ?? [];
  const kept = modules.filter((one) => Object.values<RegistryFile>(one.files).every(isStored));
  const tests = tasks.filter(({ test }) => isStored(test));
  return kept.length === modules.length && tests.length === tasks.length
    ? words.all
    : words.some(kept.length, modules.length, tests.length, tasks.length);
}

/** The path of an address, as people read it; as it is where its escapes are none. */
function pathOf(url: string): string {
  const path = new URL(url).pathname.slice(1);
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

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
          <p data-testid="offline">
            <b>{details.storage.offline.heading}:</b> {offlineText(kept)}
          </p>
          {kept.files.length > 0 && (
            <>
              <ul class="stored">
                {kept.files.map((file) => (
                  <li key={file.key}>
                    <span class="what" title={file.url}>
                      {pathOf(file.url)}
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
