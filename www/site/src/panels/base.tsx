// Another base model than the library's: by its hub id or address, or from files of this computer.

import { describeSource, droppedFiles, filesSource } from "loraloom";
import { DropZone, FileInput } from "../components/files.js";
import { SourceForm } from "../components/source-form.js";
import { details } from "../details-text.js";
import { occupied } from "../state/learn.js";
import { base, busy, chosenBase, loadBaseFrom, useLibraryBase } from "../state/session.js";

/** Loads another base model. */
export function BaseChoice() {
  const chosen = chosenBase.value;
  const words = details.base;
  return (
    <DropZone
      class="options one-per-row"
      onDrop={async ({ dataTransfer }) => {
        if (dataTransfer) void loadBaseFrom(filesSource(await droppedFiles(dataTransfer)));
      }}
    >
      {chosen && (
        <p>
          {words.chosen(base.value !== null, describeSource(chosen))}{" "}
          <button
            type="button"
            class="quiet"
            disabled={busy.value || occupied.value}
            onClick={useLibraryBase}
          >
            {words.back}
          </button>
        </p>
      )}
      <SourceForm
        label={words.label}
        placeholder={words.placeholder}
        action={words.load}
        onSource={loadBaseFrom}
      />
      <p>
        {words.drop}{" "}
        <FileInput
          label={words.choose}
          accept=".json,.model,.safetensors,.gguf,.bin"
          multiple
          testId="base-files"
          onFiles={(files) => void loadBaseFrom(filesSource(files))}
        />{" "}
        {words.staysHere}
      </p>
    </DropZone>
  );
}
