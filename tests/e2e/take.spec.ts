// What leaves the page with a mix: its verdict beside the link, and a PEFT adapter that gives the same
// answers.

import { readFile } from "node:fs/promises";
import { unzipSync } from "../../www/node_modules/fflate/esm/index.mjs";
import { copyLink, expect, learn, openPackage, openSite, settled, test } from "./support.js";

// The package is opened on a page that is missing.
test.use({ expectErrors: /404/ });

test("the verdict stands beside the link, and on the page that the link opens", async ({
  page,
  context,
  browser,
}) => {
  await openSite(page);
  await expect(page.getByTestId("shared-verdict")).toHaveCount(0);
  await learn(page);
  const verdict = await page.getByTestId("verdict").locator("b").textContent();
  expect(verdict).toMatch(/^(Works|Partly|No module here comes close): /);
  await expect(page.getByTestId("shared-verdict")).toHaveText(`${verdict}.`);
  const fresh = await browser.newContext();
  const opened = await fresh.newPage();
  await opened.goto(await copyLink(page, context));
  await settled(opened);
  await expect(opened.getByTestId("verdict").locator("b")).toHaveText(verdict ?? "");
  await expect(opened.getByTestId("shared-verdict")).toHaveText(`${verdict}.`);
  await fresh.close();
});

test("the saved adapter gives the mix's answers with weight 1", async ({ page }) => {
  await openSite(page);
  await learn(page);
  const input = await page.getByTestId("input").inputValue();
  const composed = await page.getByTestId("answer-composed").textContent();
  const take = page.getByTestId("take");
  await take.locator("summary").click();
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    take.getByRole("button", { name: "Save as a PEFT adapter (ZIP)" }).click(),
  ]);
  expect(file.suggestedFilename()).toMatch(/^[a-z-]+\.zip$/);
  const archive = await readFile(await file.path());

  const files = unzipSync(archive);
  const folder = file.suggestedFilename().replace(/\.zip$/, "");
  expect(Object.keys(files).sort()).toEqual([
    `${folder}/adapter_config.json`,
    `${folder}/adapter_model.safetensors`,
  ]);
  const config = JSON.parse(Buffer.from(files[`${folder}/adapter_config.json`] ?? []).toString());
  expect(config).toMatchObject({
    peft_type: "LORA",
    base_model_name_or_path: "loraloom-demo",
    lora_alpha: config.r,
  });

  await openPackage(page);
  const answer = await page.evaluate(
    async ([base64, asked]) => {
      const { LoraLoom, filesSource } = window.loraloom;
      const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
      const loom = await LoraLoom.open({ registryUrl: "/library/registry.json" });
      const contents = new Blob([bytes]);
      await loom.addModule("mix", filesSource([{ path: "mix.zip", contents }]));
      const composition = { modules: [{ id: "mix", weight: 1 }], merge: "delta" as const };
      const { text } = await loom.generate({ input: asked, composition });
      loom.dispose();
      return text;
    },
    [archive.toString("base64"), input] as const,
  );
  expect(answer).toBe(composed);
});

test("a mix without any weight says why it is no adapter", async ({ page }) => {
  await openSite(page);
  await learn(page);
  const take = page.getByTestId("take");
  await take.locator("summary").click();
  const add = page.getByRole("combobox", { name: "Add a module" });
  const name = (await add.locator("option").nth(1).textContent()) ?? "";
  await add.selectOption({ index: 1 });
  // A module that is added has weight 0; alone, it leaves nothing. What is open stays open.
  await page.getByRole("button", { name: `Only ${name}` }).click();
  const save = take.getByRole("button", { name: "Save as a PEFT adapter (ZIP)" });
  await save.click();
  await expect(take.locator(".problem")).toContainText("Every weight is 0");
  await page.locator("#mix").getByRole("button", { name: "Undo", exact: true }).click();
  await Promise.all([page.waitForEvent("download"), save.click()]);
  await expect(take.locator(".problem")).toHaveCount(0);
});
