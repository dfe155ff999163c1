// The modules: which ones are searched and why, and the library behind them.

import { useSignal } from "@preact/signals";
import type { RegistryModule, Selection } from "loraloom";
import { bytes, count, loss, percent } from "../format.js";
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
import { libraryModules } from "../state/session.js";
import { Part, Problem, Term } from "./common.js";
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
  const search = useSignal("");
  const modules = libraryModules.value;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const lossAlone = new Map(selected.value.map(({ id, loss }) => [id, loss]));
  const shown = modules
    .filter((one) => {
      const text = [one.title, one.task, one.id, ...one.tags].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => rank(lossAlone.get(a.id)) - rank(lossAlone.get(b.id)));
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
      <details class="library" open={startsOpen}>
        <summary>
          The library: {count(modules.length + localModules.value.length, "module")}
        </summary>
        <label class="field">
          <span>Find a module</span>
          <input
            type="search"
            value={search.value}
            onInput={({ currentTarget }) => {
              search.value = currentTarget.value;
            }}
          />
        </label>
        <p class="for-readers" role="status">
          {words.length ? count(shown.length, "module") : ""}
        </p>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
        <ul class="cards" tabIndex={0} aria-label="Modules">
          {localModules.value.map(({ id, rank, targets, bytes: size }) => (
            <li key={id} class="card">
              <Tick id={id} title={`${id} (from this computer)`} />
              <p class="details">
                rank {rank}, {targets.join(" ")}, {bytes(size)}
              </p>
            </li>
          ))}
          {shown.map((one) => (
            <Card key={one.id} module={one} alone={lossAlone.get(one.id)} />
          ))}
        </ul>
        {!shown.length && modules.length > 0 && <p>No module has these words.</p>}
        <LocalFolder />
      </details>
      <Problem error={moduleError.value} />
    </Part>
  );
}

const rank = (alone: number | undefined) => alone ?? Number.POSITIVE_INFINITY;

/** Which modules are searched, and why those. */
function chosenText() {
  const all = options.value;
  const picked = selected.value;
  const title = (id: string) => libraryModules.value.find((one) => one.id === id)?.title ?? id;
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
            {best.map(({ id, loss: alone }) => `${title(id)} (${loss(alone)})`).join(", ")}.
          </>
        )}
      </>
    );
  }
  const total = libraryModules.value.length + localModules.value.length;
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
      return `Learning mixes the ${count(ticked.value.length, "module")} that you tick in the library.`;
    default:
      return `Learning mixes all ${total}.`;
  }
}

function Tick({ id, title }: { id: string; title: string }) {
  if (options.value?.selection !== "by-hand") return <h3>{title}</h3>;
  return (
    <h3>
      <label>
        <input
          type="checkbox"
          checked={ticked.value.includes(id)}
          onChange={({ currentTarget }) => {
            const others = ticked.value.filter((one) => one !== id);
            ticked.value = currentTarget.checked ? [...others, id] : others;
          }}
        />{" "}
        {title}
      </label>
    </h3>
  );
}

function Card({ module, alone }: { module: RegistryModule; alone: number | undefined }) {
  const { example, result } = module;
  return (
    <li class={`card ${alone === undefined ? "" : "in-use"}`} data-module={module.id}>
      <Tick id={module.id} title={module.title} />
      {example && (
        <p class="pair">
          <span>{example.input}</span>
          <span aria-hidden="true"> → </span>
          <span class="for-readers"> gives </span>
          <strong>{example.output}</strong>
        </p>
      )}
      {alone !== undefined && Number.isFinite(alone) && (
        <p class="details">chosen; loss alone {loss(alone)}</p>
      )}
      <details>
        <summary>Details</summary>
        <p>{module.task}</p>
        <p class="details">
          <Term of="rank">rank</Term> {module.rank}, {module.targets.join(" ")},{" "}
          {module.files.weights.bytes ? bytes(module.files.weights.bytes) : "on the hub"},{" "}
          {module.licence}
          {result &&
            `; exact match on its own task ${percent(result.exact_match)} (base ${percent(result.base_exact_match)})`}
        </p>
      </details>
    </li>
  );
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
