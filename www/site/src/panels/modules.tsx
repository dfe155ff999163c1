// The modules that a run mixes, and the library that they come from.

import "./modules.css";
import { DropZone, droppedFiles, FileInput } from "../components/files.js";
import { Panel } from "../components/panel.js";
import { Problem } from "../components/problem.js";
import { SettingField } from "../components/setting.js";
import { SourceForm } from "../components/source-form.js";
import { Term } from "../components/tooltip.js";
import { bytes, count, loss } from "../format.js";
import { selected } from "../state/learn.js";
import { isLarge, moduleCount, modulesToLoad, titleOf } from "../state/library.js";
import {
  addedModules,
  addLocalModule,
  addRemoteModule,
  handPicked,
  moduleError,
} from "../state/modules.js";
import { options } from "../state/settings.js";
import { FoundCards, LibraryChoice, PickableTitle, SearchFields } from "./library.js";
import { Shortlist } from "./shortlist.js";

/** The library starts open where the panels stand side by side. */
const startsOpen = matchMedia("(min-width: 1000px)").matches;

/** The selection of modules, and the library. */
export function ModulesPanel() {
  const lossAlone = new Map(selected.value.map(({ id, loss }) => [id, loss]));
  return (
    <Panel name="modules" title="The modules to mix">
      <div class="options one-per-row selection">
        <SettingField name="selection" />
      </div>
      <p class="explain chosen-text" data-testid="chosen">
        {selectionText()}
      </p>
      {isLarge.value && <Shortlist />}
      <details class="library" open={startsOpen}>
        <summary>
          The library: {count(moduleCount.value + addedModules.value.length, "module")}
        </summary>
        <SearchFields />
        <FoundCards alone={lossAlone}>
          {addedModules.value.map(({ id, rank, targets, bytes: size }) => (
            <li key={id} class="card">
              <PickableTitle id={id} title={`${id} (added by you)`} />
              <p class="details">
                rank {rank}, {targets.join(" ")}, {bytes(size)}
              </p>
            </li>
          ))}
        </FoundCards>
        <AddModule />
      </details>
      <LibraryChoice />
      <Problem error={moduleError.value} />
    </Panel>
  );
}

/** Which modules a run mixes. */
function selectionText() {
  const all = options.value;
  const used = selected.value;
  if (!all) return "Loading the module library.";
  if (used.length) {
    const best = used
      .filter(({ loss }) => Number.isFinite(loss))
      .sort((a, b) => a.loss - b.loss)
      .slice(0, 3);
    return (
      <>
        {count(used.length, "module")} selected.{" "}
        {best.length > 0 && (
          <>
            Best alone:{" "}
            {best.map(({ id, loss: alone }) => `${titleOf(id)} (${loss(alone)})`).join(", ")}.
          </>
        )}
      </>
    );
  }
  if (isLarge.value && !modulesToLoad.value.length) {
    return `This library has ${count(moduleCount.value, "module")}. Learning first finds the ${all.modules} closest to your examples, and downloads only those.`;
  }
  const total = modulesToLoad.value.length + addedModules.value.length;
  if (total === 0) {
    return "There are no modules for this model yet. Add some below, or switch to another library.";
  }
  const limit = Math.min(all.modules, total);
  switch (all.selection) {
    case "automatic":
      return (
        <>
          Learning measures the <Term of="loss">loss</Term> of each of the {total}{" "}
          <Term of="LoRA module">modules</Term>, then mixes those that lower it most.
        </>
      );
    case "random":
      return `Learning mixes ${limit} of the ${total}, drawn at random.`;
    case "by-hand":
      return handPicked.value.length
        ? `Learning mixes the ${count(handPicked.value.length, "module")} that you selected.`
        : "Select at least one module below.";
    default:
      return `Learning mixes all ${total}.`;
  }
}

function AddModule() {
  return (
    <DropZone class="drop" onDrop={async (event) => void addLocalModule(await droppedFiles(event))}>
      <p>
        Your own adapter: drop a PEFT folder or a ZIP of it here.{" "}
        <FileInput
          label="Choose files"
          accept=".json,.safetensors,.bin,.zip"
          multiple
          testId="local-files"
          onFiles={(files) => void addLocalModule(files)}
        />{" "}
        It stays on this computer.
      </p>
      <SourceForm
        label="Add an adapter (Hugging Face id or address)"
        placeholder="owner/name or https://…"
        action="Add"
        onSource={addRemoteModule}
      />
    </DropZone>
  );
}
