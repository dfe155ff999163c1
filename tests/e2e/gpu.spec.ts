// The engine on WebGPU, with Chromium's software GPU: Hugging Face's losses and outputs in f32, the
// CPU's bits in int8, and devices that are lost or reject a call.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import type { GpuStatus, LearnResult } from "../../www/package/src/index.js";
import {
  answers,
  copyLink,
  expect,
  learn,
  openDetails,
  openPackage,
  openSite,
  setBudget,
  setting,
  test,
} from "./support.js";

// Chromium logs the faults that the tests inject, and that its GPU is a software one.
test.use({ expectErrors: /404|WebGPU|GPU|Vulkan|adapter|createBuffer|Device/i });

interface Case {
  merge: "lorahub" | "delta" | null;
  adapters: string[];
  weights: number[];
  examples: { input: string; output: string; loss: number; tokens: number; text: string }[];
}

interface Golden {
  max_new_tokens: number;
  models: Record<string, Case[]>;
}

const golden = <T>(name: string): T =>
  JSON.parse(readFileSync(join(test.info().project.testDir, "golden", name), "utf8"));

for (const precision of ["f32", "int8"] as const) {
  test(`losses and answers in ${precision} are those of the CPU's tests`, async ({ page }) => {
    const { models, max_new_tokens } = golden<Golden>("texts.json");
    const bits = golden<Record<string, { int8: number[][] }>>("bits.json");
    await openPackage(page);
    // A software GPU takes a minute for each model. The native tests compare all of them.
    for (const model of ["narrow-tied"]) {
      const cases = models[model] as Case[];
      const found = await page.evaluate(
        async ([model, precision, cases, maxNewTokens]) => {
          const loom = await window.loraloom.LoraLoom.open({
            registryUrl: "/golden/registry.json",
            baseId: model,
            precision,
            device: "webgpu",
          });
          await loom.loadModules(loom.fittingModules());
          const scored = [];
          const answered = [];
          for (const { merge, adapters, weights, examples } of cases) {
            const modules = adapters.map((adapter, index) => ({
              id: `${model}-${adapter}`,
              weight: weights[index] as number,
            }));
            const composition = merge && { modules, merge };
            const { examples: scores } = await loom.score({ examples, composition });
            scored.push(scores.map(({ loss }) => loss));
            const input = examples[0]?.input ?? "";
            const { text, tokens } = await loom.generate({ input, composition, maxNewTokens });
            answered.push({ text, tokens });
          }
          const { gpu } = loom.device;
          loom.dispose();
          return { scored, answered, gpu };
        },
        [model, precision, cases, max_new_tokens] as const,
      );
      // The GPU was used from the first call to the last.
      expect(found.gpu, model).toMatchObject({ active: true, reason: "" });
      expect(found.gpu?.name).not.toBe("");
      if (precision === "int8") {
        const expected = bits[model]?.int8.map((losses) => losses.map(Math.fround));
        expect(found.scored, model).toEqual(expected);
        continue;
      }
      for (const [number, { examples, merge }] of cases.entries()) {
        const where = `${model}, ${merge ?? "base"} ${number}`;
        for (const [index, { loss }] of examples.entries()) {
          const ratio = (found.scored[number]?.[index] as number) / loss;
          expect(Math.abs(ratio - 1), `${where}, example ${index}`).toBeLessThan(1e-4);
        }
        const { text, tokens } = examples[0] as Case["examples"][number];
        expect(found.answered[number], where).toEqual({ text, tokens });
      }
    }
  });
}

/** Code that breaks the GPU device in the worker, at one evaluation of a run. */
const FAULTS = {
  none: "",
  lost: "devices.at(-1).destroy();",
  "lost for good": "devices.at(-1).destroy(); GPU.prototype.requestAdapter = async () => null;",
  "refuses a buffer": "devices.at(-1).createBuffer({ size: 16, usage: 0 });",
} as const;

/** Learns in a worker whose GPU has that fault at the third evaluation. */
function learnWith(page: Page, fault: keyof typeof FAULTS, device: "webgpu" | "wasm") {
  return page.evaluate(
    async ([fault, device]) => {
      const file = (text: string) =>
        URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      const faults = file(`
        const devices = [];
        const request = GPUAdapter.prototype.requestDevice;
        GPUAdapter.prototype.requestDevice = async function (...values) {
          devices.push(await request.apply(this, values));
          return devices.at(-1);
        };
        new BroadcastChannel("faults").onmessage = () => { ${fault} };
      `);
      const worker = file(
        `import "${faults}"; import "${new URL("/package/worker.js", location.href)}";`,
      );
      const statuses: GpuStatus[] = [];
      const loom = await window.loraloom.LoraLoom.open({
        registryUrl: "/golden/registry.json",
        baseId: "narrow-tied",
        device,
        createWorker: () => new Worker(worker, { type: "module" }) as never,
        onGpu: (status) => statuses.push(status),
      });
      const channel = new BroadcastChannel("faults");
      const learned = await loom.learn({
        examples: [
          { input: "Answer the question: is the river green or cold?", output: "cold river" },
          { input: "one", output: "two" },
        ],
        modules: ["narrow-tied-first", "narrow-tied-second"],
        options: { optimizer: "cobyla", budget: 5, selection: "all" },
        onEvaluation: ({ number }) => {
          if (number === 3) channel.postMessage(null);
        },
      });
      channel.close();
      const { text } = await loom.generate({ input: "one", composition: learned, maxNewTokens: 8 });
      loom.dispose();
      return { learned, text, statuses };
    },
    [FAULTS[fault], device] as const,
  );
}

/** A result without its durations. */
const withoutTimes = ({ learned, text }: { learned: LearnResult; text: string }) => ({
  ...learned,
  text,
  seconds: 0,
  history: learned.history.map((one) => ({ ...one, seconds: 0 })),
});

test("learning gives the same result after a lost device and after a rejected call", async ({
  page,
}) => {
  await openPackage(page);
  const expected = withoutTimes(await learnWith(page, "none", "wasm"));
  expect(expected.history).toHaveLength(5);
  for (const [fault, last] of [
    ["none", { active: true, reason: "" }],
    ["lost", { active: true, reason: "The GPU was lost and reopened (1)." }],
    ["lost for good", { active: false, reason: expect.stringMatching(/no GPU/i) }],
    ["refuses a buffer", { active: false, reason: expect.stringContaining("usage") }],
  ] as const) {
    const found = await learnWith(page, fault, "webgpu");
    expect(found.statuses[0], fault).toMatchObject({ active: true });
    expect(found.statuses.at(-1), fault).toMatchObject(last);
    expect(withoutTimes(found), fault).toEqual(expected);
  }
});

test("a GPU whose limits are too small is not used, and the reason names what does not fit", async ({
  page,
}) => {
  await openPackage(page);
  const { gpu, text } = await page.evaluate(async () => {
    const file = (text: string) =>
      URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const small = file(`
      const limits = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "limits");
      Object.defineProperty(GPUAdapter.prototype, "limits", {
        get() {
          return new Proxy(limits.get.call(this), {
            get: (all, name) => (name === "maxStorageBufferBindingSize" ? 4096 : all[name]),
          });
        },
      });
    `);
    const worker = file(
      `import "${small}"; import "${new URL("/package/worker.js", location.href)}";`,
    );
    const loom = await window.loraloom.LoraLoom.open({
      registryUrl: "/golden/registry.json",
      baseId: "narrow-tied",
      device: "webgpu",
      createWorker: () => new Worker(worker, { type: "module" }) as never,
    });
    const { text } = await loom.generate({ input: "one", maxNewTokens: 8 });
    const { gpu } = loom.device;
    loom.dispose();
    return { gpu, text };
  });
  expect(gpu).toMatchObject({
    active: false,
    memory: { weightsBytes: 0, workBytes: 0 },
    reason: expect.stringMatching(/needs \d+ bytes on the GPU, which allows 4096/),
  });
  expect(text).not.toBe("");
});

test("the workflow on the GPU: learning, answers, a test set, and a link opened on a CPU", async ({
  page,
  context,
  browser,
}) => {
  // A software GPU is a thousand times slower than a real one: few test items and few evaluations.
  await openSite(page, "./?device=webgpu&registry=./short/library/registry.json");
  await setting(page, "selection").selectOption("random");
  await setBudget(page, 8);
  await setting(page, "optimizer").selectOption("cobyla");
  await setting(page, "modules").fill("3");
  await setting(page, "modules").blur();
  await learn(page);
  await openDetails(page);
  const gpu = page.getByTestId("gpu");
  await expect(gpu).toContainText("gives the same results as the CPU");
  const size = String.raw`[\d.]+ [kM]B`;
  await expect(gpu).toContainText(
    new RegExp(
      `uses ${size} of GPU memory: ${size} weights, ${size} embedding, ` +
        `${size} modules, ${size} buffers`,
    ),
  );
  await page.getByRole("button", { name: "Another input" }).click();
  await expect(page.getByTestId("input")).not.toBeEmpty();
  const input = await page.getByTestId("input").inputValue();
  const first = await answers(page, input);
  await page.getByRole("button", { name: /^Run the test/ }).click();
  const score = /^\d+(\.\d)? % \(\d+ of 12\)$/;
  await expect(page.getByTestId("score-composed")).toHaveText(score);
  await expect(page.getByTestId("score-base")).toHaveText(score);
  const scores = await page.getByTestId("score-composed").textContent();
  await expect(gpu).toContainText("gives the same results as the CPU");

  const link = await copyLink(page, context);
  const fresh = await browser.newContext();
  try {
    const other = await fresh.newPage();
    await other.goto(link);
    await expect(other.getByTestId("learn-status")).toContainText("Opened from a shared link");
    await openDetails(other);
    await expect(other.getByTestId("gpu")).toHaveCount(0);
    expect(await answers(other, input)).toEqual(first);
    await other.getByRole("button", { name: /^Run the test/ }).click();
    await expect(other.getByTestId("score-composed")).toHaveText(scores ?? "");
  } finally {
    await fresh.close();
  }
});
