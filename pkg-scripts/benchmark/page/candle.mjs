// Runs candle-transformers' quantised T5 in a Worker, with one thread: candle has no threads there.
import { answer, randomTokens } from "./protocol.mjs";

let module;
let loaded;
let work;

/** The files of a random model: made by LoraLoom's benchmark, read by both. */
async function files(name) {
  const { default: start, benchModel, benchConfig } = await import("./wasm/threads/loraloom.js");
  await start();
  return { config: benchConfig(name), weights: benchModel(name) };
}

async function model(name) {
  if (loaded?.name !== name) {
    const { config, weights } = await files(name);
    loaded = { name, model: new module.Model(config, weights) };
  }
  return loaded.model;
}

answer({
  async start() {
    module = await import("./contenders/candle/candle_contender.js");
    await module.default();
  },
  async prepare({ workload }) {
    const { measure, examples, tokens, newTokens } = workload;
    if (measure === "load") {
      const { config, weights } = await files(workload.model);
      work = () => {
        loaded?.model.free();
        loaded = { name: workload.model, model: new module.Model(config, weights) };
      };
      return {};
    }
    const t5 = await model(workload.model);
    const input = Uint32Array.from(randomTokens(examples, tokens), Number);
    if (measure === "encoder") work = () => t5.encode(input, examples);
    else if (measure === "seq2seq") work = () => t5.generate(input, newTokens);
    else throw new Error(`candle has no measurement of ${measure}`);
    return {};
  },
  sample() {
    const start = performance.now();
    work();
    return { seconds: (performance.now() - start) / 1e3, tokens: 0 };
  },
});
