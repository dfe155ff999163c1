// Models and adapters from elsewhere: by their hub id or address, or dropped from this computer; and
// what of it all the browser keeps.

import { useSignal } from "@preact/signals";
import { describeSource, filesSource, type Storage } from "loraloom";
import { bytes, count } from "../format.js";
import { forgetLoaded, learning } from "../state/learn.js";
import {
  asReport,
  base,
  busy,
  chosenBase,
  forgetChosenBase,
  loadBaseFrom,
  loom,
  startError,
} from "../state/session.js";

/** A field for a hub id or an address. */
export function SourceForm(props: {
  label: string;
  placeholder: string;
  action: string;
  onSource: (text: string) => Promise<void>;
}) {
  const text = useSignal("");
  return (
    <form
      class="source"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.value.trim()) void props.onSource(text.value);
      }}
    >
      <label>
        {props.label}
        <input
          type="text"
          spellcheck={false}
          autocapitalize="off"
          placeholder={props.placeholder}
          value={text.value}
          onInput={({ currentTarget }) => {
            text.value = currentTarget.value;
          }}
        />
      </label>
      <button type="submit" disabled={busy.value || learning.value}>
        {props.action}
      </button>
    </form>
  );
}

/** Another base model than the library's. */
export function BaseChoice() {
  const use = async (from: Parameters<typeof loadBaseFrom>[0]) => {
    forgetLoaded();
    await loadBaseFrom(from);
  };
  const chosen = chosenBase.value;
  return (
    <details class="inline-options" data-testid="base-choice">
      <summary>Use another model</summary>
      <section
        class="options one-a-row"
        aria-label="Another base model"
        onDragOver={(event) => event.preventDefault()}
        onDrop={async (event) => {
          event.preventDefault();
          void use(filesSource(await droppedFiles(event)));
        }}
      >
        {chosen && (
          <p>
            {base.value ? "Loaded" : "Chosen"}: {describeSource(chosen)}.{" "}
            <button
              type="button"
              class="quiet"
              disabled={busy.value || learning.value}
              onClick={() => {
                forgetLoaded();
                forgetChosenBase();
              }}
            >
              Back to the library’s model
            </button>
          </p>
        )}
        <SourceForm
          label="A T5 or Flan-T5 of a hub or any static host"
          placeholder="google/flan-t5-small or https://…"
          action="Load"
          onSource={use}
        />
        <p>
          Or drop its files here (config.json, tokenizer.json or spiece.model, and the weights as
          .safetensors or .gguf), or{" "}
          <label class="button">
            choose them
            <input
              type="file"
              multiple
              class="for-readers"
              data-testid="base-files"
              accept=".json,.model,.safetensors,.gguf,.bin"
              onChange={({ currentTarget }) => {
                void use(filesSource([...(currentTarget.files ?? [])]));
                currentTarget.value = "";
              }}
            />
          </label>
          . They stay on this computer.
        </p>
      </section>
    </details>
  );
}

const PLACES = {
  "file-system": "in this browser’s private files",
  cache: "in this browser’s cache",
  memory: "nowhere: this browser keeps no files for the page, so they are fetched again next time",
};

/** What the browser keeps, with a button to delete each. */
export function StoragePanel() {
  const storage = useSignal<Storage | null>(null);
  const run = async (work: () => Promise<Storage> | undefined) => {
    try {
      storage.value = (await work()) ?? null;
    } catch (error) {
      startError.value = asReport(error);
    }
  };
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
        <div class="options one-a-row">
          <p>
            Kept {PLACES[kept.kind]}: {count(kept.files.length, "file")}, {bytes(total)}
            {kept.quota !== null && ` of ${bytes(kept.quota)} that the site may use`}.{" "}
            {kept.kind !== "memory" &&
              (kept.persisted
                ? "The browser promised to keep them."
                : "The browser may delete them when the disk fills up.")}
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
                    {!file.complete && ", interrupted"}
                    {file.pinned && file.complete && ", as first downloaded"}{" "}
                    <button
                      type="button"
                      class="quiet"
                      onClick={() => void run(() => loom.value?.deleteStored([file.key]))}
                    >
                      Delete
                    </button>
                  </li>
                ))}
              </ul>
              <button
                type="button"
                onClick={() =>
                  void run(() => loom.value?.deleteStored(kept.files.map(({ key }) => key)))
                }
              >
                Delete all
              </button>
            </>
          )}
        </div>
      )}
    </details>
  );
}

/** The files of a drop; of a dropped folder, those directly in it. */
export async function droppedFiles(event: DragEvent): Promise<File[]> {
  const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry());
  const files: File[] = [];
  for (const entry of entries) {
    const inside = entry?.isDirectory
      ? await new Promise<FileSystemEntry[]>((resolve) =>
          (entry as FileSystemDirectoryEntry)
            .createReader()
            .readEntries(resolve, () => resolve([])),
        )
      : [entry];
    for (const one of inside) {
      if (!one?.isFile) continue;
      files.push(
        await new Promise<File>((resolve, reject) =>
          (one as FileSystemFileEntry).file(resolve, reject),
        ),
      );
    }
  }
  return files;
}
