// The engine, its registry and the base model, with the progress of downloads.

import { computed, type Signal, signal } from "@preact/signals";
import {
  addressSource,
  type DeviceKind,
  type GpuStatus,
  type LoadedBase,
  LoraLoom,
  type Precision,
  type Progress,
  type Source,
  type Verified,
} from "loraloom";
import { text } from "../text.js";
import { addressOf } from "./consent.js";
import { type ErrorText, toErrorText } from "./errors.js";
import { readSaved, saveOnChange } from "./saved.js";

/** Seconds of download after which its speed is shown. */
const MEASURED_SECONDS = 1;

/** The engine once its registry is read; null while it starts or when that failed. */
export const loom = signal<LoraLoom | null>(null);
/** The loaded base model. */
export const base = signal<LoadedBase | null>(null);
/** The result of checking the base against published reference outputs; null where none are known. */
export const verified = signal<Verified | null>(null);
/** Whether the GPU is used; null where it was not selected. */
export const gpu = signal<GpuStatus | null>(null);
/** Bytes of memory that the engine holds. */
export const memory = signal(0);
/** The error of starting or loading. */
export const startError = signal<ErrorText | null>(null);
/** The current download; `speed` in bytes per second, once it can be told. */
export const progress = signal<(Progress & { speed: number | null }) | null>(null);
/** The current step of starting or loading, in words. */
export const stage = signal("");
/** Whether the engine starts or something loads. */
export const busy = signal(false);
/** Why the engine was restarted. */
export const restartError = signal<ErrorText | null>(null);

/** Whether the page and its WebAssembly build open without a network. */
export const keptSite = signal(false);
/** Whether the browser has a newer version of the page, which a reload shows. */
export const newVersion = signal(false);

/** The registry, or null before it is read. */
export const registry = computed(() => loom.value?.registry ?? null);
/** A base model from outside the library; null for the library's. */
export const chosenBase = signal<Source | null>(null);
/** The library's base that is or would be loaded; null for one from elsewhere. */
export const registryBase = computed(() => {
  const bases = registry.value?.bases ?? [];
  const loaded = bases.find(({ id }) => id === base.value?.id);
  return loaded ?? (chosenBase.value ? null : (bases[0] ?? null));
});
/** The library's modules that fit that base. */
export const libraryModules = computed(() => {
  const id = base.value?.id ?? registryBase.value?.id;
  return registry.value?.modules.filter((one) => one.base === id) ?? [];
});

/** The address of the library: the site's own, unless `?registry=` names another that was accepted. */
export const registryUrl = addressOf("registry");

/** The hub that ids and the library's `hub:` files belong to: that of `?hub=`, where it was accepted. */
export const hubUrl = addressOf("hub");

interface EngineSettings {
  device: DeviceKind;
  threads: number | null;
  precision: Precision;
}

/** How the engine is run; changing it starts a new one. */
export const engineSettings = signal<EngineSettings>({
  device: "wasm",
  threads: null,
  precision: "int8",
  ...readSaved<Partial<EngineSettings>>("engine"),
  ...deviceFromAddress(),
});
saveOnChange("engine", () => engineSettings.value);

/** The device that `?device=` names. It is removed from the address, which becomes a link for others. */
function deviceFromAddress(): Partial<EngineSettings> {
  const device = new URLSearchParams(location.search).get("device");
  if (device !== "webgpu" && device !== "wasm") return {};
  const address = new URL(location.href);
  address.searchParams.delete("device");
  history.replaceState(null, "", address);
  return { device };
}

let controller = new AbortController();
/** Bytes of this download's other calls: those before the current one, and those after it. */
interface OtherCalls {
  before: number;
  after: number;
}
const ALONE: OtherCalls = { before: 0, after: 0 };
/** When the first byte of this download came from the network, and how many came from storage until then. */
let started: { at: number; loaded: number } | null = null;

/** Callbacks and signal of a call that downloads; its bytes are counted with those of other calls. */
export function downloadOptions({ before, after }: OtherCalls = ALONE) {
  return {
    signal: controller.signal,
    onProgress: (value: Progress) => {
      const overallLoaded = before + value.overallLoaded;
      const overallTotal = before + value.overallTotal + after;
      const now = performance.now();
      if (!value.cached) started ??= { at: now, loaded: overallLoaded };
      const seconds = started ? (now - started.at) / 1000 : 0;
      const speed =
        started && seconds >= MEASURED_SECONDS ? (overallLoaded - started.loaded) / seconds : null;
      // One word for the whole download: modules share small files, which come from storage from the second on.
      progress.value = { ...value, cached: !started, overallLoaded, overallTotal, speed };
    },
    onStage: (name: string) => {
      stage.value = name;
    },
  };
}

/** Runs a call that starts or loads something; resolves with null after an error, shown in `failure`. */
export async function withLoading<T>(
  name: string,
  work: () => Promise<T>,
  failure: Signal<ErrorText | null> = startError,
): Promise<T | null> {
  controller = new AbortController();
  started = null;
  busy.value = true;
  stage.value = name;
  failure.value = null;
  try {
    return await work();
  } catch (error) {
    failure.value = toErrorText(error);
    return null;
  } finally {
    busy.value = false;
    progress.value = null;
    stage.value = "";
  }
}

/** Cancels the current download. */
export function cancelLoading(): void {
  controller.abort();
}

/** Starts the engine and reads the registry; no model is fetched. */
export async function start(): Promise<boolean> {
  const { device, threads } = engineSettings.value;
  const opened = await withLoading(text.stages.engine, () =>
    LoraLoom.inspect({
      registryUrl,
      hub: hubUrl,
      device,
      ...(threads ? { threads } : {}),
      ...downloadOptions(),
      onGpu: (status) => {
        gpu.value = status;
      },
      onRestart: (error) => {
        restartError.value = error;
      },
    }),
  );
  if (opened) {
    loom.value = opened;
    gpu.value = opened.device.gpu;
  }
  return opened !== null;
}

/** Loads the base model where it is not loaded; resolves with whether it is. */
export async function ensureBase(): Promise<boolean> {
  if (base.value) return true;
  return (await ensureLoaded([], 0, 0)) !== null;
}

/**
 * Loads the base model where it is not loaded, and modules of the library: one download with one count
 * of bytes. Resolves with null after an error.
 */
export async function ensureLoaded(
  ids: string[],
  baseBytes: number,
  moduleBytes: number,
): Promise<true | null> {
  if (!loom.value && !(await start())) return null;
  const missing = base.value === null;
  const loaded = await withLoading(text.stages.model, async () => {
    if (missing) {
      const info = await loom.value?.load({
        precision: engineSettings.value.precision,
        ...(chosenBase.value ? { source: chosenBase.value } : {}),
        ...downloadOptions({ before: 0, after: moduleBytes }),
      });
      if (!info) return null;
      base.value = info;
    }
    if (ids.length) {
      stage.value = text.stages.modules;
      await loom.value?.loadModules(
        ids,
        downloadOptions({ before: missing ? baseBytes : 0, after: 0 }),
      );
    }
    return true as const;
  });
  if (loaded && missing) {
    verified.value = (await loom.value?.verify().catch(() => null)) ?? null;
    await readMemory();
  }
  return loaded;
}

/** Loads a base model from outside the library: its hub id or address, or files. */
export async function loadBaseFrom(from: string | Source): Promise<void> {
  chosenBase.value = typeof from === "string" ? addressSource(from) : from;
  base.value = null;
  if (!(await ensureBase())) chosenBase.value = null;
}

/** Returns to the library's own base model. */
export function useLibraryBase(): void {
  chosenBase.value = null;
  base.value = null;
}

base.subscribe((loaded) => {
  if (!loaded) verified.value = null;
});

/** What tells a base model from others. */
export const baseKey = ({ id, sha256 }: LoadedBase) => `${id} ${sha256}`;

/** Reads how much memory the engine holds. */
export async function readMemory(): Promise<void> {
  memory.value = (await loom.value?.memoryBytes().catch(() => 0)) ?? 0;
}

/** Restarts the engine with other settings. */
export async function changeEngine(settings: Partial<EngineSettings>): Promise<void> {
  engineSettings.value = { ...engineSettings.value, ...settings };
  loom.value?.dispose();
  base.value = null;
  memory.value = 0;
  await start();
}
