// The package's worker with faults, for faults.spec.ts. Its name is JSON: where the package is, the folder that
// takes the place of the origin's storage, and the faults from the start. Further ones come as messages.

const { script, folder, faults } = JSON.parse(self.name);

/** Pages at which the engine's memory ends: 256 MB, so that a trap with less than 64 MB in use is none of memory. */
const MEMORY_PAGES = 4096;
/** Sizes of the blocks that fill the engine's free memory, in bytes. */
const BLOCKS = [1 << 20, 1 << 14, 1 << 10, 1 << 7];
/** Bytes of each write that reach a torn file: within every header. */
const TORN_BYTES = 64;
/** Exports of the engine that a trap does not count: memory, and values that JavaScript holds. */
const HOUSEKEEPING = /^__(wbindgen|externref)_|_free$/;

/** A module whose function `f` is one `unreachable`. */
const TRAP = new WebAssembly.Instance(
  new WebAssembly.Module(
    new Uint8Array([
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
      ...[0x03, 0x02, 0x01, 0x00, 0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00],
      ...[0x0a, 0x05, 0x01, 0x03, 0x00, 0x00, 0x0b],
    ]),
  ),
).exports;

const active = new Set();
let memory = null;
let engine = null;
/** The exports of which the next one called traps; null for none. */
let trap = null;
const threads = [];
const devices = [];

/** Takes all memory of the engine that is free. */
function fillMemory() {
  memory.grow(MEMORY_PAGES - memory.buffer.byteLength / 65536);
  for (const bytes of BLOCKS) {
    try {
      for (;;) engine.__wbindgen_malloc(bytes, 1);
    } catch {
      // None of this size is left.
    }
  }
}

const ON_ARM = {
  trap: ({ within }) => {
    trap = new RegExp(within);
  },
  crash: () => setTimeout(() => TRAP.f()),
  "out of memory": fillMemory,
  "helper thread dies": () => {
    for (const thread of threads) thread.terminate();
    engine.threadStopped();
  },
  "device lost": () => {
    for (const device of devices) device.destroy();
  },
};

function arm(fault) {
  active.add(fault.kind);
  // From the start there is no engine yet: each fault below is noticed when its time comes.
  if (engine || fault.kind === "trap") ON_ARM[fault.kind]?.(fault);
}

addEventListener("message", (event) => {
  const { fault, noFault } = event.data;
  if (!fault && !noFault) return;
  event.stopImmediatePropagation();
  if (fault) arm(fault);
  else active.clear();
});

// --- storage ----------------------------------------------------------------------------------

const { storage } = navigator;
const getDirectory = storage.getDirectory.bind(storage);
storage.getDirectory = async () =>
  (await getDirectory()).getDirectoryHandle(folder, { create: true });

const file = FileSystemSyncAccessHandle.prototype;
const write = file.write;
/** The handles of descriptions; the others are of contents. */
const descriptions = new WeakSet();
const { createSyncAccessHandle } = FileSystemFileHandle.prototype;
FileSystemFileHandle.prototype.createSyncAccessHandle = async function (...values) {
  const handle = await createSyncAccessHandle.apply(this, values);
  if (this.name.endsWith(".json")) descriptions.add(handle);
  return handle;
};
file.write = function (bytes, options) {
  if (active.has("quota")) throw new DOMException("No room is left.", "QuotaExceededError");
  const torn = descriptions.has(this) ? "torn description" : "torn write";
  if (!active.has(torn)) return write.call(this, bytes, options);
  // As after a power cut: the length is that of the whole, and most was never written.
  write.call(this, bytes.subarray(0, TORN_BYTES), options);
  this.truncate(options.at + bytes.length);
  return bytes.length;
};

// --- the network ------------------------------------------------------------------------------

const fetchOnline = fetch;
self.fetch = (...values) =>
  active.has("offline") ? Promise.reject(new TypeError("Failed to fetch")) : fetchOnline(...values);

// --- the engine -------------------------------------------------------------------------------

WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(Memory, [limits]) {
    // Not that of the checks of what the browser can do.
    if (limits.maximum <= MEMORY_PAGES) return new Memory(limits);
    const maximum = MEMORY_PAGES;
    memory = new Memory({ ...limits, maximum });
    return memory;
  },
});

/** An instance of the engine whose exports trap where they are asked to. */
function faulty(instance) {
  if (!("session_learn" in instance.exports)) return instance;
  engine = instance.exports;
  if (active.has("out of memory")) fillMemory();
  const wrap = (name, value) => {
    if (typeof value !== "function" || HOUSEKEEPING.test(name)) return value;
    return (...values) => {
      const result = value(...values);
      if (trap?.test(name)) {
        trap = null;
        TRAP.f();
      }
      return result;
    };
  };
  const exports = Object.entries(engine).map(([name, value]) => [name, wrap(name, value)]);
  return { exports: Object.fromEntries(exports) };
}

for (const name of ["instantiate", "instantiateStreaming"]) {
  const original = WebAssembly[name];
  WebAssembly[name] = async (...values) => {
    const result = await original(...values);
    if (result instanceof WebAssembly.Instance) {
      const found = faulty(result);
      // The glue tells an instance by its class.
      return found === result ? result : { instance: found, module: values[0] };
    }
    return { ...result, instance: faulty(result.instance) };
  };
}

/** A build whose matrix products trap: each function with `i32x4.relaxed_dot_i8x16_i7x16_add_s`. */
function withTraps(bytes) {
  const DOT = [0xfd, 0x93, 0x02];
  const CODE = 10;
  let at = 8;
  const readNumber = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const number = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...number(value >>> 7)]);
  const parts = [bytes.subarray(0, 8)];
  while (at < bytes.length) {
    const start = at;
    const section = bytes[at++];
    const end = readNumber() + at;
    if (section !== CODE) {
      parts.push(bytes.subarray(start, end));
      at = end;
      continue;
    }
    const bodies = [Uint8Array.from(number(readNumber()))];
    while (at < end) {
      const length = readNumber();
      let body = bytes.subarray(at, at + length);
      at += length;
      const isDot = body.some((_, index) => DOT.every((byte, next) => body[index + next] === byte));
      // No local variables, `unreachable`, and the end.
      if (isDot) body = Uint8Array.of(0, 0, 0x0b);
      bodies.push(Uint8Array.from(number(body.length)), body);
    }
    const length = bodies.reduce((sum, one) => sum + one.length, 0);
    parts.push(Uint8Array.of(section, ...number(length)), ...bodies);
  }
  return new Blob(parts).arrayBuffer();
}

/** A script of a helper thread that runs such a build. */
const trapping = (glue) => `
  ${withTraps}
  const response = await fetch(${JSON.stringify(new URL("loraloom_bg.wasm", glue).href)});
  const build = new Uint8Array(await response.arrayBuffer());
  const module = await WebAssembly.compile(await withTraps(build));
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = (given, imports) =>
    instantiate(given instanceof WebAssembly.Module ? module : given, imports);
  await import(${JSON.stringify(String(glue))});
`;

self.Worker = class extends Worker {
  constructor(url, options) {
    let script = url;
    if (active.has("helper thread dies")) script = "data:text/javascript,throw Error('no thread')";
    if (active.has("helper thread traps")) {
      script = URL.createObjectURL(new Blob([trapping(url)], { type: "text/javascript" }));
    }
    super(script, options);
    threads.push(this);
  }
};

// --- the GPU ----------------------------------------------------------------------------------

if ("GPU" in self && "GPUAdapter" in self) {
  const { requestAdapter } = GPU.prototype;
  GPU.prototype.requestAdapter = function (...values) {
    if (!engine && active.has("device lost"))
      return Promise.reject(new DOMException("The GPU was lost."));
    return requestAdapter.apply(this, values);
  };
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...values) {
    const device = await requestDevice.apply(this, values);
    devices.push(device);
    if (active.has("device lost")) device.destroy();
    return device;
  };
}

for (const fault of faults) arm(fault);
await import(script);
