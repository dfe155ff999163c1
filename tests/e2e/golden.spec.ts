// The package without a bundler: in f32 against Hugging Face transformers and PEFT (golden/make_texts.py),
// and on every wasm build against the bits of the native command line (golden/make_bits.mjs).

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startHub } from "./hub.js";
import { expect, openPackage, test } from "./support.js";

test.use({ expectErrors: /404|ERR_/ });

interface Case {
  merge: "lorahub" | "delta" | null;
  adapters: string[];
  weights: number[];
  examples: { input: string; output: string; loss: number; tokens: number; text: string }[];
}

const PRECISIONS = ["int8", "f32"] as const;
type Precision = (typeof PRECISIONS)[number];

interface Golden {
  max_new_tokens: number;
  models: Record<string, Case[]>;
}

const MODELS = ["narrow-tied", "deep-untied", "wide-bfloat", "relu-tied", "mt5", "umt5", "byt5"];

for (const model of MODELS) {
  test(`losses and greedy answers of ${model} are those of Hugging Face`, async ({ page }) => {
    const { testDir } = test.info().project;
    const golden: Golden = JSON.parse(readFileSync(join(testDir, "golden", "texts.json"), "utf8"));
    const cases = golden.models[model] as Case[];
    await openPackage(page);
    const answered = await page.evaluate(
      async ([model, cases, maxNewTokens]) => {
        const loom = await window.loraloom.LoraLoom.open({
          registryUrl: "/golden/registry.json",
          baseId: model,
          precision: "f32",
        });
        await loom.loadModules(loom.fittingModules());
        const answered = [];
        for (const { merge, adapters, weights, examples } of cases) {
          const modules = adapters.map((adapter, index) => ({
            id: `${model}-${adapter}`,
            weight: weights[index] as number,
          }));
          const composition = merge && { modules, merge };
          const { examples: scores } = await loom.score({ examples, composition });
          const texts = [];
          for (const { input } of examples) {
            texts.push(await loom.generate({ input, composition, maxNewTokens }));
          }
          answered.push({ losses: scores.map(({ loss }) => loss), texts });
        }
        loom.dispose();
        return answered;
      },
      [model, cases, golden.max_new_tokens] as const,
    );
    for (const [number, { examples, merge }] of cases.entries()) {
      for (const [index, expected] of examples.entries()) {
        const where = `${merge ?? "base"} ${number}, example ${index}`;
        const loss = answered[number]?.losses[index] as number;
        expect(Math.abs(loss / expected.loss - 1), where).toBeLessThan(1e-4);
        const { text, tokens } = answered[number]?.texts[index] ?? {};
        expect({ text, tokens }, where).toEqual({ text: expected.text, tokens: expected.tokens });
      }
    }
  });
}

test("a GGUF file alone gives the losses of Hugging Face from each source, again without its host", async ({
  page,
}) => {
  const folder = join(test.info().project.testDir, "..", "formats", "gguf_alone");
  const { examples } = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as {
    examples: { input: string; output: string; loss: number }[];
  };
  const bytes = readFileSync(join(folder, "model.gguf"));
  const repo = { "README.md": Buffer.from("# GGUF"), "model.gguf": bytes };
  const hub = await startHub({ "golden/alone": repo });
  hub.faults.ignoresRanges = true;
  await openPackage(page);
  const run = (isUp: boolean) =>
    page.evaluate(
      async ([host, isUp, base64, examples]) => {
        const { LoraLoom, filesSource } = window.loraloom;
        const loom = await LoraLoom.inspect({ registryUrl: "/golden/registry.json" });
        const onHub = { kind: "hub", host, repo: "golden/alone", revision: "main" } as const;
        const contents = await (await fetch(`data:;base64,${base64}`)).blob();
        const sources = {
          hub: { ...onHub, file: null },
          address: `${host}/golden/alone/resolve/main/model.gguf`,
          ...(isUp && { files: filesSource([{ path: "model.gguf", contents }]) }),
        };
        const found = [];
        for (const [name, source] of Object.entries(sources)) {
          for (const precision of ["f32", "int8"] as const) {
            const { sha256, vocabSize } = await loom.load({ source, precision });
            const { examples: scores } = await loom.score({ examples });
            const losses = scores.map(({ loss }) => loss);
            found.push({ name, precision, sha256, vocabSize, losses });
          }
        }
        loom.dispose();
        return found;
      },
      [hub.url, isUp, bytes.toString("base64"), examples] as const,
    );
  const found = await run(true);
  expect(found.map(({ name, precision }) => `${name} ${precision}`)).toHaveLength(6);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  for (const one of found) {
    const where = `${one.name} in ${one.precision}`;
    expect([one.sha256, one.vocabSize], where).toEqual([one.name === "files" ? "" : sha256, 224]);
    const limit = one.precision === "f32" ? 1e-4 : 0.02;
    for (const [index, { loss }] of examples.entries()) {
      expect(Math.abs((one.losses[index] as number) / loss - 1), where).toBeLessThan(limit);
    }
  }
  await hub.close();
  expect(await run(false)).toEqual(found.filter(({ name }) => name !== "files"));
});

/** Options that select each build, and numbers of threads. */
const BUILDS = {
  "the default": {},
  "three threads where available": { threads: 3 },
  "one thread": { threads: 1 },
  "threads with plain SIMD": { threads: 2, wasmUrl: "/only/threads-simd128/" },
  "one thread with plain SIMD": { threads: 1, wasmUrl: "/only/simd128/" },
  "the build with the GPU": { threads: 2, wasmUrl: "/only/gpu/" },
};

for (const [name, options] of Object.entries(BUILDS)) {
  test(`losses have the bits of the native engine: ${name}`, async ({ page }) => {
    const { testDir } = test.info().project;
    const read = (name: string) => JSON.parse(readFileSync(join(testDir, "golden", name), "utf8"));
    const { models } = read("texts.json") as Golden;
    const bits: Record<string, Record<Precision, number[][]>> = read("bits.json");
    const tunedBits: Record<string, Record<Precision, Record<string, number[]>>> = read(
      "tuned_bits.json",
    );
    await openPackage(page);
    const found = await page.evaluate(
      async ([models, precisions, options]) => {
        const { LoraLoom } = window.loraloom;
        const losses: Record<string, Record<string, number[][]>> = {};
        const tuned: Record<string, Record<string, Record<string, number[]>>> = {};
        for (const [baseId, cases] of Object.entries(models)) {
          const ofModel: Record<string, number[][]> = {};
          const tunedModel: Record<string, Record<string, number[]>> = {};
          for (const precision of precisions) {
            const registryUrl = "/golden/registry.json";
            const loom = await LoraLoom.open({ registryUrl, baseId, precision, ...options });
            await loom.loadModules(loom.fittingModules());
            const ofPrecision: number[][] = [];
            const tunedPrecision: Record<string, number[]> = {};
            for (const [index, { merge, adapters, weights, examples }] of cases.entries()) {
              const modules = adapters.map((adapter, index) => ({
                id: `${baseId}-${adapter}`,
                weight: weights[index] as number,
              }));
              const composition = merge && { modules, merge };
              const scored = await loom.score({ examples, composition });
              ofPrecision.push(scored.examples.map(({ loss }) => loss));
              if (!composition || index < cases.length - 1) continue;
              for (const part of ["lora-b", "scales"] as const) {
                const call = loom.tune({ examples, composition, options: { part, steps: 3 } });
                const scored = await loom.score({
                  examples,
                  composition: (await call).composition,
                });
                tunedPrecision[part] = scored.examples.map(({ loss }) => loss);
              }
            }
            tunedModel[precision] = tunedPrecision;
            ofModel[precision] = ofPrecision;
            loom.dispose();
          }
          losses[baseId] = ofModel;
          tuned[baseId] = tunedModel;
        }
        return { losses, tuned };
      },
      [models, PRECISIONS, options] as const,
    );
    const { losses, tuned } = found;
    expect(Object.keys(losses).sort()).toEqual(Object.keys(bits).sort());
    for (const [model, precisions] of Object.entries(bits)) {
      for (const [precision, cases] of Object.entries(precisions)) {
        const rounded = cases.map((losses) => losses.map(Math.fround));
        expect(losses[model]?.[precision], `${model} in ${precision}`).toEqual(rounded);
      }
    }
    for (const [model, precisions] of Object.entries(tunedBits)) {
      for (const [precision, parts] of Object.entries(precisions)) {
        for (const [part, losses] of Object.entries(parts)) {
          const where = `${model} in ${precision}, ${part} tuned`;
          expect(tuned[model]?.[precision]?.[part], where).toEqual(losses.map(Math.fround));
        }
      }
    }
  });
}
