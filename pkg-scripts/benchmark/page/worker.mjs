// Runs LoraLoom's own measurements in a Worker, as the site runs its engine.
import { answer } from "./protocol.mjs";

const clock = () => performance.now();
let module;
let memory;
let bench;

answer({
  async start({ glue, threads }) {
    module = await import(glue);
    ({ memory } = await module.default());
    if (threads > 1) {
      await module.initThreadPool(threads - 1);
      module.useThreadPool();
    }
    bench = new module.Bench();
  },
  addFile({ path, bytes }) {
    bench.addFile(path, bytes);
  },
  /** The file stays outside of the WebAssembly memory, as a download's pieces do. */
  readModel({ bytes }) {
    const PIECE_BYTES = 1 << 20;
    bench.setPieces((index) => {
      const start = index * PIECE_BYTES;
      return start < bytes.length ? bytes.subarray(start, start + PIECE_BYTES) : undefined;
    });
  },
  makeModel({ model }) {
    return module.benchModel(model);
  },
  prepare({ workload }) {
    return JSON.parse(bench.prepare(JSON.stringify(workload)));
  },
  sample() {
    const [seconds, tokens] = bench.sample(clock);
    return { seconds, tokens };
  },
  memory() {
    return { peak: memory.buffer.byteLength, model: bench.modelBytes() };
  },
});
