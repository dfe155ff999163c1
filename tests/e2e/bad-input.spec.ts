// Bad input of every kind: the error has three parts, the page keeps working, nothing typed is lost.

import type { Page } from "@playwright/test";
import {
  editExamples,
  expect,
  learn,
  learnButton,
  openSite,
  setBudget,
  setting,
  stopButton,
  test,
} from "./support.js";

// The browser logs a missing file too.
test.use({ expectErrors: /404|Failed to load resource/ });

/** Expects an error with all three parts. */
async function expectProblem(
  page: Page,
  within: string,
  what: RegExp | string,
  why: RegExp | string,
) {
  const parts = page.locator(within).locator(".problem").first().locator("p");
  await expect(parts.nth(0)).toContainText(what);
  await expect(parts.nth(1)).toContainText(why);
  await expect(parts.nth(2)).not.toBeEmpty();
}

/** Types into the table; {@link expectTypedKept} then finds it. */
async function typeSomething(page: Page) {
  await editExamples(page);
  await page.getByLabel("Output 2", { exact: true }).fill("typed by hand");
}

const expectTypedKept = (page: Page) =>
  expect(page.getByLabel("Output 2", { exact: true })).toHaveValue("typed by hand");

const withFault = (kind: string) => `./?registry=./faults/${kind}/library/registry.json`;

test("addresses of a library and of a hub that are none", async ({ page }) => {
  for (const [query, what, why] of [
    ["registry=https://", "library cannot be opened", "starts with https://"],
    ["hub=nowhere", "hub cannot be used", "nowhere"],
  ] as const) {
    await page.goto(`./?${query}`);
    await expectProblem(page, ".hero", what, why);
  }
  // Without an address, the default.
  await openSite(page, "./?hub=");
});

test("a module file that is missing (404)", async ({ page }) => {
  await openSite(page, withFault("missing-module"));
  await typeSomething(page);
  await learnButton(page).click();
  await expectProblem(page, ".hero", "could not be fetched", "404");
  await expectTypedKept(page);
  await expect(learnButton(page)).toBeEnabled();
});

test("a module file with another hash, and learning without that module", async ({ page }) => {
  await openSite(page, withFault("changed-module"));
  await typeSomething(page);
  await learnButton(page).click();
  await expectProblem(
    page,
    ".hero",
    "is not the file that the registry names",
    /Expected SHA-256 .* found/,
  );
  await expectTypedKept(page);

  // Modules selected by hand, without the changed one, still work.
  await setting(page, "selection").selectOption("by-hand");
  await page.locator(".card input[type=checkbox]").nth(1).check();
  await page.locator(".card input[type=checkbox]").nth(2).check();
  await setBudget(page, 16);
  await learnButton(page).click();
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
});

test("weights that are cut short", async ({ page }) => {
  await openSite(page, withFault("truncated-module"));
  await typeSomething(page);
  await learnButton(page).click();
  await expectProblem(page, ".hero", /./, /\d/);
  await expectTypedKept(page);
});

test("a server that stalls", async ({ page }) => {
  await openSite(page, withFault("stalled-base"));
  await typeSomething(page);
  await learnButton(page).click();
  await expectProblem(
    page,
    ".hero",
    "stopped loading",
    /No byte came for \d+ seconds; 1000 of \d+ bytes/,
  );
  await expectTypedKept(page);
});

test("a stalled download can be stopped at once", async ({ page }) => {
  await openSite(page, withFault("stalled-base"));
  await learnButton(page).click();
  await stopButton(page).click();
  await expect(learnButton(page)).toBeEnabled();
  await expect(page.locator(".problem")).toHaveCount(0);
});

test("a registry that is missing or broken", async ({ page }) => {
  await page.goto(withFault("missing-registry"));
  await expectProblem(page, ".hero", "could not be fetched", "404");
  await page.goto(withFault("broken-registry"));
  await expectProblem(page, ".hero", /./, /./);
  await expect(page.getByRole("button", { name: "Try again" })).toBeVisible();
});

test("a broken link, and learning after it", async ({ page }) => {
  await openSite(page, "./#this-is-no-recipe");
  await expectProblem(page, ".hero", /link/i, /./);
  await page.evaluate(() => {
    location.hash = "AAAAAAAAAAAAAAAAAAAAAAAA";
  });
  await expectProblem(page, ".hero", /link/i, /./);
  await setBudget(page, 16);
  await learnButton(page).click();
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
});

/** Makes the engine of a page trap, as a fault of its own does. */
async function crashEngine(page: Page): Promise<void> {
  const workers = page.workers().filter((worker) => worker.url().includes("/worker-"));
  for (const worker of workers) {
    // One that was replaced in the meantime is gone.
    const trapped = worker.evaluate(() => {
      const text = "AGFzbQEAAAABBAFgAAADAgEABwUBAWYAAAoFAQMAAAs=";
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const { f } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
      setTimeout(f as () => void);
    });
    await trapped.catch(() => undefined);
  }
}

test("an engine that crashes again and again ends, and starts again by a button", async ({
  page,
}) => {
  await openSite(page);
  await setBudget(page, 16);
  await learn(page);
  const weights = await page.getByTestId("weights").textContent();
  const problem = page.locator(".hero .problem");
  await expect(async () => {
    await crashEngine(page);
    await expect(problem).toContainText("The engine stays ended.", { timeout: 500 });
  }).toPass();
  await problem.getByRole("button", { name: "Start again" }).click();
  await expect(problem).toHaveCount(0);
  await learn(page);
  await expect(page.getByTestId("weights")).toHaveText(weights ?? "");
  // Once more, with a budget of its own: one crash does not end it.
  await crashEngine(page);
  await expect(problem).toContainText("It is started again with what was loaded.");
  await expect(problem.getByRole("button")).toHaveCount(0);
  await learn(page);
});

test("malformed examples name the line, and the table stays", async ({ page }) => {
  await openSite(page);
  await typeSomething(page);
  await page.locator("summary", { hasText: "Paste CSV" }).click();
  await page.getByTestId("paste").fill('{"input": "a", "output": "b"}\n{"input": "c"}');
  await page.getByRole("button", { name: "Use these examples" }).click();
  await expectProblem(page, "#task", /./, /2/);
  await expect(page.getByTestId("paste")).toHaveValue(/"c"/);
  await expectTypedKept(page);
});

test("an example without an output is named by its row", async ({ page }) => {
  await openSite(page);
  await editExamples(page);
  await page.getByLabel("Output 3", { exact: true }).fill("");
  await learnButton(page).click();
  await expectProblem(page, "#task", "incomplete", "Row 3 has no output");
});

test("a budget outside the limits becomes the nearest that the engine takes", async ({ page }) => {
  await openSite(page);
  await setBudget(page, 1_000_000);
  const budget = setting(page, "budget");
  await expect(budget).toHaveValue((await budget.getAttribute("max")) ?? "");
  await budget.fill("1");
  await budget.blur();
  await expect(budget).toHaveValue((await budget.getAttribute("min")) ?? "");
  await budget.fill("16");
  await budget.blur();
  await learn(page);
});

test("an input longer than the limit", async ({ page }) => {
  await openSite(page);
  await setBudget(page, 16);
  await page.getByTestId("input").fill("one two three ".repeat(20_000));
  await page.locator("#result").getByRole("button", { name: "Answer", exact: true }).click();
  await expectProblem(page, "#result", /./, /\d/);
});

/** Opens the panel for one's own modules, and chooses an adapter of one layer. */
async function addAdapter(page: Page, config: object, weights: Buffer): Promise<void> {
  const common = {
    peft_type: "LORA",
    task_type: "SEQ_2_SEQ_LM",
    r: 4,
    lora_alpha: 8,
    target_modules: ["q"],
    bias: "none",
    fan_in_fan_out: false,
  };
  await page.getByTestId("add-module").locator("summary").click();
  await page.getByTestId("local-files").setInputFiles([
    {
      name: "adapter_config.json",
      mimeType: "application/json",
      buffer: Buffer.from(JSON.stringify({ ...common, ...config })),
    },
    { name: "adapter_model.safetensors", mimeType: "", buffer: weights },
  ]);
}

test("an adapter of another base names the shapes", async ({ page }) => {
  await openSite(page);
  await addAdapter(page, {}, adapterOf(7, 7, 4));
  await expectProblem(page, "#modules", /./, /7/);
});

test("an adapter that fits in part says what is left out, and of which base it is", async ({
  page,
}) => {
  await openSite(page);
  const { d_model, d_kv, num_heads, num_layers, num_decoder_layers } = await page.evaluate(
    async () => (await fetch("./library/base/config.json")).json(),
  );
  const weights = adapterOf(d_model, d_kv * num_heads, 4);
  await addAdapter(page, { base_model_name_or_path: "another/base" }, weights);
  const card = page.locator("#modules .card", { hasText: "added by you" });
  await expect(card).toContainText("Trained for another/base");
  // One of all attentions' q has weights: the encoder has one a layer, the decoder two.
  const missing = num_layers + 2 * num_decoder_layers - 1;
  await expect(card).toContainText(`${missing} layers without weights, left as they are`);
});

test("a folder that is no PEFT folder", async ({ page }) => {
  await openSite(page);
  await page.getByTestId("add-module").locator("summary").click();
  await page
    .getByTestId("local-files")
    .setInputFiles([{ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("x") }]);
  await expectProblem(page, "#modules", "lacks a file", "notes.txt");
});

/** A safetensors file with one LoRA pair, for a layer with these widths. */
function adapterOf(dIn: number, dOut: number, rank: number): Buffer {
  const name = (part: string) =>
    `base_model.model.encoder.block.0.layer.0.SelfAttention.q.lora_${part}.weight`;
  const [a, b] = [dIn * rank * 4, dOut * rank * 4];
  const header = JSON.stringify({
    [name("A")]: { dtype: "F32", shape: [rank, dIn], data_offsets: [0, a] },
    [name("B")]: { dtype: "F32", shape: [dOut, rank], data_offsets: [a, a + b] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const values = Buffer.alloc(a + b);
  for (let at = 0; at < values.length; at += 4) values.writeFloatLE(0.01 * (at % 7), at);
  return Buffer.concat([length, Buffer.from(header), values]);
}
