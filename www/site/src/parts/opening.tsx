// The first screen: what this is, one button, what will be fetched, what the machine offers.

import { describeSource, type GpuMemory, type GpuStatus, type Verified } from "loraloom";
import { bytes, count } from "../format.js";
import { forgetLoaded, learning } from "../state/learn.js";
import { baseBytes, bytesOf, found, isLarge, moduleCount, wanted } from "../state/library.js";
import {
  applyEngineSettings,
  base,
  busy,
  chosenBase,
  engineSettings,
  gpu,
  hubUrl,
  loom,
  memory,
  progress,
  registryBase,
  registryUrl,
  restartNote,
  stage,
  start,
  startError,
  stopLoading,
  verified,
} from "../state/session.js";
import { linkError, restored, runStory } from "../state/story.js";
import { Bar, Problem, Term } from "./common.js";
import { BaseChoice, StoragePanel } from "./sources.js";

/** The head of the page. */
export function OpeningPart() {
  const ready = loom.value !== null;
  return (
    <header class="opening">
      <p class="brand">LoraLoom</p>
      <h1>
        A small language model learns a new task from five examples, in this tab, by mixing adapters
        that others trained.
      </h1>
      <div class="go">
        <button
          type="button"
          class="primary"
          disabled={!ready || busy.value}
          onClick={() => {
            void runStory();
            const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
            if (innerWidth < 1000) {
              document
                .getElementById("learn")
                ?.scrollIntoView({ behavior: smooth ? "smooth" : "auto" });
            }
          }}
        >
          Learn a task now
        </button>
        <div class="loading">
          <Loading />
        </div>
      </div>
      <Problem error={startError.value}>
        {!ready && (
          <button type="button" onClick={() => void start()}>
            Try again
          </button>
        )}
      </Problem>
      <Problem error={linkError.value} />
      <Problem error={restartNote.value} />
      <Facts />
    </header>
  );
}

/** What is being loaded, in bytes; the place is kept when nothing is. */
function Loading() {
  const running = progress.value;
  const text = running
    ? `${running.cached ? "From this browser's cache: " : ""}${bytes(running.overallLoaded)} of ${bytes(running.overallTotal)}`
    : stage.value;
  return (
    <>
      <p role="status" aria-live="off">
        {busy.value ? (
          <>
            <span class="what">{running ? running.file : ""}</span>
            {text}
          </>
        ) : restored.value && !learning.value ? (
          `Restored from the link: ${restored.value.title}`
        ) : base.value ? (
          "Model and modules are loaded."
        ) : loom.value ? (
          isLarge.value && !chosenBase.value ? (
            `First fetches the model, about ${bytes(baseBytes.value)}, and the modules that suit.`
          ) : (
            "No choices to make: it takes the task below."
          )
        ) : (
          ""
        )}
      </p>
      <div class="with-stop">
        <Bar
          value={running?.overallLoaded ?? (base.value ? 1 : 0)}
          max={running?.overallTotal ?? 1}
          label="Bytes loaded"
        />
        <button type="button" class="quiet" hidden={!busy.value} onClick={stopLoading}>
          Stop
        </button>
      </div>
      <p class="for-readers" role="status" aria-live="polite">
        {busy.value ? stage.value : base.value ? "The model is loaded." : ""}
      </p>
    </>
  );
}

/** Bytes that the engine needs for itself and its tokenizer, whatever the model. */
const OWN_MEMORY = 8e6;

/** Gigabytes of the machine, in the steps in which a browser tells them; not all do. */
const { deviceMemory } = navigator as Navigator & { deviceMemory?: number };

function Facts() {
  const model = registryBase.value;
  const modules = wanted.value;
  const device = loom.value?.device;
  const moduleBytes = bytesOf(modules);
  const modelBytes = baseBytes.value;
  const onHub = model?.files.weights.path.startsWith("hub:");
  const host = new URL(onHub ? hubUrl : registryUrl, document.baseURI).host;
  // A registry may leave lengths to the hub, which tells them as it is asked for the files.
  const about = model?.files.weights.bytes === 0 ? "about " : "";
  // Bytes of a parameter, with the scales of the 8 bits and what a pass needs.
  const packed = engineSettings.value.precision === "int8" ? 1.5 : 4.5;
  const typical = bytesOf(found.value?.modules.slice(0, 1) ?? []);
  const licenses = [...new Set([model?.license, ...modules.map(({ license }) => license)])].filter(
    Boolean,
  );
  return (
    <dl class="facts">
      <div>
        <dt>{base.value ? "Fetched" : "Will be fetched"}</dt>
        <dd data-testid="fetch-facts">
          {model ? (
            <>
              <strong>
                {about}
                {bytes(modelBytes + moduleBytes)}
              </strong>{" "}
              from {host === location.host ? "this site" : host}, once: the{" "}
              <Term of="base model">base model</Term> {model.title} ({bytes(modelBytes)},{" "}
              {(model.parameters / 1e6).toFixed(1)} million parameters) and{" "}
              {isLarge.value && !modules.length
                ? `those of the ${count(moduleCount.value, "module")} that suit the examples`
                : `${count(modules.length, "module")} (${bytes(moduleBytes)})`}
              {isLarge.value && !modules.length && typical > 0 && `, about ${bytes(typical)} each`}.
              Licence: {licenses.join(", ")}.
            </>
          ) : chosenBase.value ? (
            <>
              The <Term of="base model">base model</Term> {describeSource(chosenBase.value)}
              {base.value &&
                ` (${bytes(base.value.bytes)}, ${(base.value.parameters / 1e6).toFixed(1)} million parameters)`}
              . Licence: see its page.
            </>
          ) : (
            "Reading the list of models and modules."
          )}{" "}
          {verified.value && <KnownAnswer {...verified.value} />}
          {loom.value && (
            <>
              <BaseChoice /> <StoragePanel />
            </>
          )}
        </dd>
      </div>
      <div>
        <dt>This machine</dt>
        <dd data-testid="device">
          {device ? (
            <>
              {gpu.value && <GraphicsCard {...gpu.value} />}
              <strong>
                CPU, {count(device.threads, "thread")},{" "}
                {device.simd === "relaxed" ? "relaxed SIMD" : "SIMD"}
              </strong>{" "}
              (build “{device.build}”): {device.reason}.{" "}
              {deviceMemory && `Memory: ${deviceMemory} GB or more. `}
              {memory.value > 0
                ? `The engine holds ${bytes(memory.value)} now.`
                : model &&
                  `The engine will need about ${bytes(OWN_MEMORY + packed * model.parameters + 2 * moduleBytes)}.`}
              <EngineOptions />
            </>
          ) : (
            "Finding out what it can do."
          )}
        </dd>
      </div>
    </dl>
  );
}

/** What is published of the model, and whether it answers so here. */
function KnownAnswer({ model, source, input, expected, found, agrees }: Verified) {
  const shown = (value: string) =>
    /^-?[0-9.]+$/.test(value) ? value.replace("-", "−") : `“${value}”`;
  return (
    <span data-testid="known-answer">
      {agrees ? (
        <>
          These weights answer as published of {model} ({shown(expected)}, {source}
          {found !== expected && `; ${shown(found)} in 8 bits`}).{" "}
        </>
      ) : (
        <strong>
          These weights do not answer as published of {model}: {shown(input)} should give{" "}
          {shown(expected)} ({source}), and gives {shown(found)}. They are other weights, or damaged
          ones: delete them under Storage and load them again.{" "}
        </strong>
      )}
    </span>
  );
}

/** What is taken of the card's memory, in words. */
function memoryPlan({ weightsBytes, embeddingBytes, modulesBytes, workBytes }: GpuMemory) {
  const parts = [
    `${bytes(weightsBytes)} weights`,
    `${bytes(embeddingBytes)} embedding`,
    ...(modulesBytes ? [`${bytes(modulesBytes)} modules`] : []),
    `${bytes(workBytes)} to compute in`,
  ];
  const all = weightsBytes + embeddingBytes + modulesBytes + workBytes;
  return `takes ${bytes(all)} of the card’s memory: ${parts.join(", ")}`;
}

/** Whether the graphics card that was asked for is used, and why not. */
function GraphicsCard({ active, name, memory, reason }: GpuStatus) {
  const card = `Graphics card${name && ` (${name})`}`;
  return (
    <span data-testid="graphics-card">
      {active ? (
        <>
          <strong>{card}</strong>: gives the CPU’s results with this model, and {memoryPlan(memory)}
          . {reason}
        </>
      ) : reason ? (
        <>
          <strong>The graphics card was asked for and is not used.</strong> {reason}
        </>
      ) : (
        <>
          <strong>{card}</strong>: will be compared with the CPU once the model is loaded.
        </>
      )}{" "}
    </span>
  );
}

function EngineOptions() {
  const isolated = loom.value?.device.isolated ?? false;
  const cores = Math.min(navigator.hardwareConcurrency, 8);
  const settings = engineSettings.value;
  const change = (changed: Partial<typeof settings>) => {
    forgetLoaded();
    void applyEngineSettings(changed);
  };
  return (
    <details class="inline-options">
      <summary>Change</summary>
      <div class="options">
        <label>
          Runs on
          <select
            disabled={busy.value || learning.value}
            value={settings.device}
            onChange={({ currentTarget }) =>
              change({ device: currentTarget.value as typeof settings.device })
            }
          >
            <option value="wasm">Processor</option>
            <option value="webgpu">Graphics card</option>
          </select>
        </label>
        <label>
          Threads
          <select
            disabled={!isolated || busy.value || learning.value}
            value={settings.threads ?? ""}
            onChange={({ currentTarget }) =>
              change({ threads: currentTarget.value ? Number(currentTarget.value) : null })
            }
          >
            <option value="">one per core ({cores})</option>
            {Array.from({ length: cores }, (_, index) => (
              <option key={index} value={index + 1}>
                {index + 1}
              </option>
            ))}
          </select>
        </label>
        <label>
          Precision
          <select
            disabled={busy.value || learning.value}
            value={settings.precision}
            onChange={({ currentTarget }) =>
              change({ precision: currentTarget.value as typeof settings.precision })
            }
          >
            <option value="int8">8 bits (fast)</option>
            <option value="f32">32 bits (exact, slower)</option>
          </select>
        </label>
      </div>
    </details>
  );
}
