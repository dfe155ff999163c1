// What is loaded: the engine, its registry and the base model, with the progress of downloads.

import { computed, effect, type Signal, signal } from "@preact/signals";
import {
  type BaseInfo,
  DEFAULT_HUB,
  type DeviceKind,
  type ErrorReport,
  type GpuStatus,
  LoraLoom,
  LoraLoomError,
  type Precision,
  type Progress,
  parseSource,
  type Source,
  type Verified,
} from "loraloom";

/** The engine once its registry is read; null while it starts or when that failed. */
export const loom = signal<LoraLoom | null>(null);
/** The loaded base model. */
export const base = signal<BaseInfo | null>(null);
/** What is published of that model, and what it answers here; null where nothing is known. */
export const verified = signal<Verified | null>(null);
/** The graphics card's part in the engine; null where it was not asked for. */
export const gpu = signal<GpuStatus | null>(null);
/** Bytes of memory that the engine holds. */
export const memory = signal(0);
/** The error of starting or loading. */
export const startError = signal<ErrorReport | null>(null);
/** The download that runs. */
export const progress = signal<Progress | null>(null);
/** What is being done, in words, while something starts or loads. */
export const stage = signal("");
/** Whether something starts or loads. */
export const busy = signal(false);
/** A line that tells of a restart of the engine. */
export const restartNote = signal<ErrorReport | null>(null);

/** The registry, or null before it is read. */
export const registry = computed(() => loom.value?.registry ?? null);
/** The base model that a person chose besides the library's; null for the library's. */
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

const query = new URLSearchParams(location.search);
/** The address of the library: the site's own, unless `?registry=` names another. */
export const registryUrl = query.get("registry") ?? "./library/registry.json";

/** The hub that ids and the library's `hub:` files belong to, unless `?hub=` names another. */
export const hubUrl = query.get("hub") ?? DEFAULT_HUB;

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
  ...recall<Partial<EngineSettings>>("engine"),
  ...askedDevice(),
});
keep("engine", () => engineSettings.value);

/** What `?device=` names. It is taken out of the address, which goes on as a link to others. */
function askedDevice(): Partial<EngineSettings> {
  const device = query.get("device");
  if (device !== "webgpu" && device !== "wasm") return {};
  const address = new URL(location.href);
  address.searchParams.delete("device");
  history.replaceState(null, "", address);
  return { device };
}

let stopping = new AbortController();

/** Reads a value kept for this tab. */
export function recall<T>(key: string): T | null {
  try {
    return JSON.parse(sessionStorage.getItem(`loraloom.${key}`) ?? "null");
  } catch {
    return null;
  }
}

/** Keeps a value for this tab whenever it changes, so that a reload loses nothing typed. */
export function keep(key: string, value: () => unknown): void {
  effect(() => {
    const text = JSON.stringify(value());
    try {
      sessionStorage.setItem(`loraloom.${key}`, text);
    } catch {
      // A full or forbidden store: the page works on without it.
    }
  });
}

/** The three parts of anything thrown; null for a cancel, which needs no message. */
export function asReport(error: unknown): ErrorReport | null {
  if (error instanceof DOMException && error.name === "AbortError") return null;
  if (error instanceof LoraLoomError) return error;
  return {
    what: "Something went wrong on this page.",
    why: error instanceof Error ? error.message : String(error),
    next: "Try again; what you typed is kept when you reload.",
  };
}

/** Callbacks and signal of a call that downloads. */
export function downloads() {
  return {
    signal: stopping.signal,
    onProgress: (value: Progress) => {
      progress.value = value;
    },
    onStage: (text: string) => {
      stage.value = text;
    },
  };
}

/** Runs something that starts or loads; its error is shown on the first screen, or in `failure`. */
export async function loading<T>(
  text: string,
  work: () => Promise<T>,
  failure: Signal<ErrorReport | null> = startError,
): Promise<T | null> {
  stopping = new AbortController();
  busy.value = true;
  stage.value = text;
  failure.value = null;
  try {
    return await work();
  } catch (error) {
    failure.value = asReport(error);
    return null;
  } finally {
    busy.value = false;
    progress.value = null;
    stage.value = "";
  }
}

/** Stops what is being loaded. */
export function stopLoading(): void {
  stopping.abort();
}

/** Starts the engine and reads the registry; no model is fetched. */
export async function start(): Promise<boolean> {
  const opened = await loading("Starting the engine", () =>
    LoraLoom.inspect({
      registryUrl,
      hub: hubUrl,
      device: engineSettings.value.device,
      onGpu: (status) => {
        gpu.value = status;
      },
      ...downloads(),
      ...(engineSettings.value.threads ? { threads: engineSettings.value.threads } : {}),
      onRestart: (report) => {
        restartNote.value = report;
      },
    }),
  );
  if (opened) {
    loom.value = opened;
    gpu.value = opened.device.gpu;
  }
  return opened !== null;
}

/** Loads the base model if it is not loaded, and answers whether it is there. */
export async function ensureBase(): Promise<boolean> {
  if (base.value) return true;
  if (!loom.value && !(await start())) return false;
  const info = await loading("Loading the model", async () =>
    loom.value?.load({
      precision: engineSettings.value.precision,
      ...(chosenBase.value ? { source: chosenBase.value } : {}),
      ...downloads(),
    }),
  );
  if (!info) return false;
  base.value = info;
  verified.value = (await loom.value?.verify().catch(() => null)) ?? null;
  await readMemory();
  return true;
}

/** Loads another base model than the library's: by its hub id or address, or from files. */
export async function loadBaseFrom(from: string | Source): Promise<void> {
  try {
    chosenBase.value = typeof from === "string" ? parseSource(from, hubUrl) : from;
  } catch (error) {
    startError.value = asReport(error);
    return;
  }
  base.value = null;
  if (!(await ensureBase())) chosenBase.value = null;
}

effect(() => {
  if (!base.value) verified.value = null;
});

/** Goes back to the library's own base model. */
export function forgetChosenBase(): void {
  chosenBase.value = null;
  base.value = null;
}

/** Asks the engine how much memory it holds. */
export async function readMemory(): Promise<void> {
  memory.value = (await loom.value?.memoryBytes().catch(() => 0)) ?? 0;
}

/** Ends the engine and starts it anew with other settings. */
export async function applyEngineSettings(settings: Partial<EngineSettings>): Promise<void> {
  engineSettings.value = { ...engineSettings.value, ...settings };
  loom.value?.dispose();
  base.value = null;
  memory.value = 0;
  await start();
}
