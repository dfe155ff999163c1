// What runs the model, and the settings of it.

import type { DeviceKind, GpuMemory, GpuStatus, Precision } from "loraloom";
import { Select } from "../components/select.js";
import { bytes, count } from "../format.js";
import { learning } from "../state/learn.js";
import { bytesOf, modulesToLoad } from "../state/library.js";
import {
  busy,
  changeEngine,
  engineSettings,
  gpu,
  loom,
  memory,
  registryBase,
} from "../state/session.js";

/** Bytes that the engine needs without any model. */
const ENGINE_BYTES = 8e6;
/** Bytes for each parameter: the weights, their scales and the activations. */
const BYTES_PER_PARAMETER = { int8: 1.5, f32: 4.5 };
/** The most threads that the engine uses. */
const MAX_THREADS = 8;

/** Gigabytes of memory, rounded by the browser; not all browsers report it. */
const { deviceMemory } = navigator as Navigator & { deviceMemory?: number };

/** The CPU or GPU, and the memory that is needed. */
export function DeviceFacts() {
  const device = loom.value?.device;
  return (
    <div>
      <dt>This machine</dt>
      <dd data-testid="device">
        {device ? (
          <>
            {gpu.value && <Gpu {...gpu.value} />}
            <strong>
              CPU, {count(device.threads, "thread")},{" "}
              {device.simd === "relaxed" ? "relaxed SIMD" : "SIMD"}
            </strong>{" "}
            (build “{device.build}”): {device.reason}.{" "}
            {deviceMemory && `Memory: ${deviceMemory} GB or more. `}
            {memoryText()}
            <EngineOptions />
          </>
        ) : (
          "Checking what it supports."
        )}
      </dd>
    </div>
  );
}

function memoryText() {
  if (memory.value > 0) return `LoraLoom uses ${bytes(memory.value)}.`;
  const model = registryBase.value;
  if (!model) return "";
  const perParameter = BYTES_PER_PARAMETER[engineSettings.value.precision];
  const needed = ENGINE_BYTES + perParameter * model.parameters + 2 * bytesOf(modulesToLoad.value);
  return `LoraLoom will use about ${bytes(needed)}.`;
}

function gpuMemoryText({ weightsBytes, embeddingBytes, modulesBytes, workBytes }: GpuMemory) {
  const parts = [
    `${bytes(weightsBytes)} weights`,
    `${bytes(embeddingBytes)} embedding`,
    ...(modulesBytes ? [`${bytes(modulesBytes)} modules`] : []),
    `${bytes(workBytes)} buffers`,
  ];
  const all = weightsBytes + embeddingBytes + modulesBytes + workBytes;
  return `uses ${bytes(all)} of GPU memory: ${parts.join(", ")}`;
}

/** Whether the GPU is used, and why not. */
function Gpu({ active, name, memory, reason }: GpuStatus) {
  const title = `GPU${name && ` (${name})`}`;
  return (
    <span data-testid="gpu">
      {active ? (
        <>
          <strong>{title}</strong>: gives the same results as the CPU, and {gpuMemoryText(memory)}.{" "}
          {reason}
        </>
      ) : reason ? (
        <>
          <strong>No usable GPU; using the CPU.</strong> {reason}
        </>
      ) : (
        <>
          <strong>{title}</strong>: is checked against the CPU once the model is loaded.
        </>
      )}{" "}
    </span>
  );
}

function EngineOptions() {
  const isolated = loom.value?.device.isolated ?? false;
  const cores = Math.min(navigator.hardwareConcurrency, MAX_THREADS);
  const threads = Array.from({ length: cores }, (_, n) => [n + 1, `${n + 1}`] as const);
  const settings = engineSettings.value;
  const disabled = busy.value || learning.value;
  return (
    <details class="inline-options">
      <summary>Change</summary>
      <div class="options">
        <Select
          label="Runs on"
          disabled={disabled}
          value={settings.device}
          options={[
            ["wasm", "CPU"],
            ["webgpu", "GPU"],
          ]}
          onSelect={(device) => void changeEngine({ device: device as DeviceKind })}
        />
        <Select
          label="Threads"
          disabled={!isolated || disabled}
          value={settings.threads ?? ""}
          options={[["", `one per core (${cores})`], ...threads]}
          onSelect={(value) => void changeEngine({ threads: Number(value) || null })}
        />
        <Select
          label="Precision"
          disabled={disabled}
          value={settings.precision}
          options={[
            ["int8", "8 bits (fast)"],
            ["f32", "32 bits (exact, slower)"],
          ]}
          onSelect={(precision) => void changeEngine({ precision: precision as Precision })}
        />
      </div>
    </details>
  );
}
