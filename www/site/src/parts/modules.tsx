// The modules: which ones are searched and why, and the library behind them.

import { useSignal } from "@preact/signals";
import type { Selection } from "loraloom";
import { bytes, count, loss } from "../format.js";
import {
  addLocalModule,
  addNamedModule,
  changedOptions,
  localModules,
  moduleError,
  options,
  selected,
  ticked,
} from "../state/learn.js";
import { isLarge, moduleCount, titleOf, wanted } from "../state/library.js";
import { Part, Problem, Term } from "./common.js";
import { FoundCards, LibraryChoice, SearchFields, Shortlist, Tick } from "./library.js";
import { droppedFiles, SourceForm } from "./sources.js";

const SELECTIONS: Record<Selection, string> = {
  "single-loss": "the best by the loss of each alone",
  all: "all of them",
  random: "some at random (as published)",
  "by-hand": "those I tick",
};

/** On a wide screen the library is there to see at once. */
const startsOpen = matchMedia("(min-width: 1000px)").matches;

/** The second part of the story. */
export function ModulesPart() {
  const lossAlone = new Map(selected.value.map(({ id, loss }) => [id, loss]));
  const chosen = options.value;
  return (
    <Part number={2} name="modules" title="The modules to mix">
      <div class="row wide">
        <div class="field">
          <span>
            <label for="selection">Search over</label> <Term of="LoRA module">modules</Term>
          </span>
          <select
            id="selection"
            value={chosen?.selection ?? "single-loss"}
            disabled={!chosen}
            onChange={({ currentTarget }) => {
              changedOptions.value = {
                ...changedOptions.value,
                selection: currentTarget.value as Selection,
              };
            }}
          >
            {Object.entries(SELECTIONS).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </div>
      </div>
      <p class="explain chosen-text" data-testid="chosen">
        {chosenText()}
      </p>
      {isLarge.value && <Shortlist />}
      <details class="library" open={startsOpen}>
        <summary>
          The library: {count(moduleCount.value + localModules.value.length, "module")}
        </summary>
        <SearchFields />
        <FoundCards alone={lossAlone}>
          {localModules.value.map(({ id, rank, targets, bytes: size }) => (
            <li key={id} class="card">
              <Tick id={id} title={`${id} (from this computer)`} />
              <p class="details">
                rank {rank}, {targets.join(" ")}, {bytes(size)}
              </p>
            </li>
          ))}
        </FoundCards>
        <LocalFolder />
      </details>
      <LibraryChoice />
      <Problem error={moduleError.value} />
    </Part>
  );
}

/** Which modules are searched, and why those. */
function chosenText() {
  const all = options.value;
  const picked = selected.value;
  if (!all) return "Waits for the module library.";
  if (picked.length) {
    const best = picked
      .filter(({ loss }) => Number.isFinite(loss))
      .sort((a, b) => a.loss - b.loss)
      .slice(0, 3);
    return (
      <>
        {count(picked.length, "module")} chosen.{" "}
        {best.length > 0 && (
          <>
            Best alone:{" "}
            {best.map(({ id, loss: alone }) => `${titleOf(id)} (${loss(alone)})`).join(", ")}.
          </>
        )}
      </>
    );
  }
  if (isLarge.value && !wanted.value.length) {
    return `The library is too large to fetch whole. Learning first looks for the ${all.modules} of its ${count(moduleCount.value, "module")} that are nearest to your examples, and fetches those.`;
  }
  const total = wanted.value.length + localModules.value.length;
  if (total === 0) {
    return "No module for this model is here yet: add some below, or use another library.";
  }
  const most = Math.min(all.modules, total);
  switch (all.selection) {
    case "single-loss":
      return (
        <>
          Learning first measures the <Term of="loss">loss</Term> of each of the {total} alone, then
          mixes the best {most}.
        </>
      );
    case "random":
      return `Learning mixes ${most} of the ${total}, drawn with the seed.`;
    case "by-hand":
      return `Learning mixes the ${count(ticked.value.length, "module")} that you tick.`;
    default:
      return `Learning mixes all ${total}.`;
  }
}

function LocalFolder() {
  const dragging = useSignal(false);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the file button inside does the same by keyboard
    <div
      class={`drop ${dragging.value ? "dragging" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        dragging.value = true;
      }}
      onDragLeave={() => {
        dragging.value = false;
      }}
      onDrop={async (event) => {
        event.preventDefault();
        dragging.value = false;
        void addLocalModule(await droppedFiles(event));
      }}
    >
      <p>
        Your own PEFT folder, or a ZIP of it: drop it here, or{" "}
        <label class="button">
          choose its files
          <input
            type="file"
            multiple
            class="for-readers"
            data-testid="local-files"
            accept=".json,.safetensors,.bin,.zip"
            onChange={({ currentTarget }) => {
              void addLocalModule([...(currentTarget.files ?? [])]);
              currentTarget.value = "";
            }}
          />
        </label>
        . It stays on this computer.
      </p>
      <SourceForm
        label="An adapter of a hub or any static host"
        placeholder="owner/name or https://…"
        action="Add"
        onSource={addNamedModule}
      />
    </div>
  );
}
