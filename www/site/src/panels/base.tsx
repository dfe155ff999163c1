// Another base model than the library's: by its hub id or address, or from files of this computer.

import { describeSource, filesSource } from "loraloom";
import { DropZone, droppedFiles, FileInput } from "../components/files.js";
import { SourceForm } from "../components/source-form.js";
import { learning } from "../state/learn.js";
import { base, busy, chosenBase, loadBaseFrom, useLibraryBase } from "../state/session.js";

/** Loads another base model. */
export function BaseChoice() {
  const chosen = chosenBase.value;
  return (
    <details class="inline-options" data-testid="base-choice">
      <summary>Use another model</summary>
      <DropZone
        class="options one-per-row"
        onDrop={async (event) => void loadBaseFrom(filesSource(await droppedFiles(event)))}
      >
        {chosen && (
          <p>
            {base.value ? "Loaded" : "Chosen"}: {describeSource(chosen)}.{" "}
            <button
              type="button"
              class="quiet"
              disabled={busy.value || learning.value}
              onClick={useLibraryBase}
            >
              Back to the library’s model
            </button>
          </p>
        )}
        <SourceForm
          label="A T5 or Flan-T5 model (Hugging Face id or address)"
          placeholder="google/flan-t5-small or https://…"
          action="Load"
          onSource={loadBaseFrom}
        />
        <p>
          Or drop its files here: config.json, tokenizer.json or spiece.model, and the weights as
          .safetensors or .gguf.{" "}
          <FileInput
            label="Choose files"
            accept=".json,.model,.safetensors,.gguf,.bin"
            multiple
            testId="base-files"
            onFiles={(files) => void loadBaseFrom(filesSource(files))}
          />{" "}
          They stay on this computer.
        </p>
      </DropZone>
    </details>
  );
}
