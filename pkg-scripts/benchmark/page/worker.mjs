// Runs LoraLoom's own measurements in a Worker, as the site runs its engine.

const clock = () => performance.now();
let module;
let memory;
let bench;

const operations = {
  async start({ glue, threads }) {
    module = await import(glue);
    ({ memory } = await module.default());
    if (threads > 1) await module.initThreadPool(threads);
    bench = new module.Bench();
  },
  addFile({ path, bytes }) {
    bench.addFile(path, bytes);
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
};

self.onmessage = async ({ data: { op, ...request } }) => {
  try {
    self.postMessage({ answer: await operations[op](request) });
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
};
