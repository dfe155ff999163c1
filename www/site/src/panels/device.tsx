// What runs the model, and the settings of it.

import type { GpuStatus } from "loraloom";
import { LazyDetails } from "../components/lazy.js";
import { details } from "../details-text.js";
import { bytes } from "../format.js";
import { bytesOf, modulesToLoad } from "../state/library.js";
import { engineSettings, gpu, loom, memory, registryBase } from "../state/session.js";

/** Bytes that the engine needs without any model. */
const ENGINE_BYTES = 8e6;
/** Bytes for each parameter: the weights, their scales and the activations. */
const BYTES_PER_PARAMETER = { int8: 1.5, f32: 4.5 };

/** Gigabytes of memory, rounded by the browser; not all browsers report it. */
const { deviceMemory } = navigator as Navigator & { deviceMemory?: number };

/** The CPU or GPU, and the memory that is needed. */
export function DeviceFacts() {
  const device = loom.value?.device;
  return (
    <div>
      <dt>{details.device.heading}</dt>
      <dd data-testid="device">
        {device ? (
          <>
            {gpu.value && <Gpu {...gpu.value} />}
            <strong>{details.device.cpu(device.threads, device.simd)}</strong>{" "}
            {details.device.build(device.build, device.reason)}{" "}
            {deviceMemory && details.device.memory(deviceMemory)} {memoryText()}
            <LazyDetails
              summary={details.device.change}
              testId="engine-options"
              load={() => import("./engine-options.js").then(({ EngineOptions }) => EngineOptions)}
            />
          </>
        ) : (
          details.device.checking
        )}
      </dd>
    </div>
  );
}

function memoryText() {
  if (memory.value > 0) return details.device.uses(bytes(memory.value));
  const model = registryBase.value;
  if (!model) return "";
  const perParameter = BYTES_PER_PARAMETER[engineSettings.value.precision];
  const needed = ENGINE_BYTES + perParameter * model.parameters + 2 * bytesOf(modulesToLoad.value);
  return details.device.willUse(bytes(needed));
}

/** Whether the GPU is used, and why not. */
function Gpu({ active, name, memory, reason }: GpuStatus) {
  const { device } = details;
  const [title, facts] = active
    ? [device.gpu(name), device.gpuActive(memory, reason)]
    : reason
      ? [device.noGpu, reason]
      : [device.gpu(name), device.gpuUnchecked];
  return (
    <span data-testid="gpu">
      <strong>{title}</strong> {facts}{" "}
    </span>
  );
}
