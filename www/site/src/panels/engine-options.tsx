// What the engine runs on: changing it starts a new one.

import type { DeviceKind, Precision } from "loraloom";
import { Select } from "../components/select.js";
import { details } from "../details-text.js";
import { occupied } from "../state/learn.js";
import { busy, changeEngine, engineSettings, loom } from "../state/session.js";

/** The most threads that the engine uses. */
const MAX_THREADS = 8;

export function EngineOptions() {
  const words = details.device;
  const isolated = loom.value?.device.isolated ?? false;
  const cores = Math.min(navigator.hardwareConcurrency, MAX_THREADS);
  const threads = Array.from({ length: cores }, (_, n) => [n + 1, `${n + 1}`] as const);
  const settings = engineSettings.value;
  const disabled = busy.value || occupied.value;
  return (
    <div class="options">
      <Select
        label={words.runsOn}
        disabled={disabled}
        value={settings.device}
        options={[
          ["wasm", words.onCpu],
          ["webgpu", words.onGpu],
        ]}
        onSelect={(device) => void changeEngine({ device: device as DeviceKind })}
      />
      <Select
        label={words.threads}
        disabled={!isolated || disabled}
        value={settings.threads ?? ""}
        options={[["", words.onePerCore(cores)], ...threads]}
        onSelect={(value) => void changeEngine({ threads: Number(value) || null })}
      />
      <Select
        label={words.precision}
        disabled={disabled}
        value={settings.precision}
        options={Object.entries(words.precisions)}
        onSelect={(precision) => void changeEngine({ precision: precision as Precision })}
      />
    </div>
  );
}
