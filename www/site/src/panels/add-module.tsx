// Modules from this computer, a hub or an address.

import { droppedFiles } from "loraloom";
import { DropZone, FileInput } from "../components/files.js";
import { SourceForm } from "../components/source-form.js";
import { details } from "../details-text.js";
import { addLocalModules, addRemoteModule } from "../state/add-module.js";

export function AddModule() {
  const { addModule } = details;
  return (
    <DropZone
      class="drop"
      onDrop={async ({ dataTransfer }) => {
        if (dataTransfer) void addLocalModules(await droppedFiles(dataTransfer));
      }}
    >
      <p>
        {addModule.drop}{" "}
        <FileInput
          label={addModule.chooseFiles}
          accept=".json,.safetensors,.bin,.zip"
          multiple
          testId="local-files"
          onFiles={(files) => void addLocalModules(files)}
        />{" "}
        {addModule.staysHere}
      </p>
      <SourceForm
        label={addModule.addLabel}
        placeholder={addModule.addPlaceholder}
        action={addModule.addAction}
        onSource={addRemoteModule}
      />
    </DropZone>
  );
}
