// Runs transformers.js (onnxruntime-web, q8) in a Worker, as its users do.
import { answer, randomTokens } from "./protocol.mjs";

let library;
let loaded;
let work;

async function load(name) {
  return library.AutoModelForSeq2SeqLM.from_pretrained(name, { dtype: "q8", device: "wasm" });
}

async function model(name) {
  if (loaded?.name !== name) {
    await loaded?.model.dispose();
    loaded = { name, model: await load(name) };
  }
  return loaded.model;
}

answer({
  async start({ threads }) {
    library = await import("./contenders/transformers/transformers.min.js");
    const { env } = library;
    Object.assign(env, {
      allowRemoteModels: false,
      allowLocalModels: true,
      useBrowserCache: false,
      useWasmCache: false,
      localModelPath: new URL("./contenders/models/", import.meta.url).href,
    });
    const { wasm } = env.backends.onnx;
    wasm.wasmPaths = new URL("./contenders/ort/", import.meta.url).href;
    wasm.numThreads = threads;
    wasm.proxy = false;
  },
  async prepare({ workload }) {
    const { Tensor } = library;
    const { measure, examples, tokens, newTokens } = workload;
    if (measure === "load") {
      work = async () => {
        loaded = { name: workload.model, model: await load(workload.model) };
      };
      return {};
    }
    const seq2seq = await model(workload.model);
    const shape = [examples, tokens];
    const input_ids = new Tensor("int64", randomTokens(examples, tokens), shape);
    const ones = new BigInt64Array(examples * tokens).fill(1n);
    const attention_mask = new Tensor("int64", ones, shape);
    if (measure === "encoder") {
      const feed = { input_ids: input_ids.ort_tensor, attention_mask: attention_mask.ort_tensor };
      work = () => seq2seq.sessions.model.run(feed);
    } else if (measure === "seq2seq") {
      const length = { max_new_tokens: newTokens, min_new_tokens: newTokens, do_sample: false };
      work = () => seq2seq.generate({ inputs: input_ids, attention_mask, ...length });
    } else {
      throw new Error(`transformers.js has no measurement of ${measure}`);
    }
    return {};
  },
  async sample() {
    const start = performance.now();
    await work();
    return { seconds: (performance.now() - start) / 1e3, tokens: 0 };
  },
});
