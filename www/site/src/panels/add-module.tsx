// Modules from this computer, a hub or an address.

import { DropZone, droppedFiles, FileInput } from "../components/files.js";
import { SourceForm } from "../components/source-form.js";
import { addLocalModule, addRemoteModule } from "../state/modules.js";
import { text } from "../text.js";

export function AddModule() {
  const { library } = text;
  return (
    <DropZone class="drop" onDrop={async (event) => void addLocalModule(await droppedFiles(event))}>
      <p>
        {library.drop}{" "}
        <FileInput
          label={library.chooseFiles}
          accept=".json,.safetensors,.bin,.zip"
          multiple
          testId="local-files"
          onFiles={(files) => void addLocalModule(files)}
        />{" "}
        {library.staysHere}
      </p>
      <SourceForm
        label={library.addLabel}
        placeholder={library.addPlaceholder}
        action={library.addAction}
        onSource={addRemoteModule}
      />
    </DropZone>
  );
}
