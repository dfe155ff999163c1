// Polishing a mix that gets only some examples right: its verdict and answers, its link, undo, a fader that ends
// it, Stop, and a reload.

import { readFile } from "node:fs/promises";
import type { Page } from "@playwright/test";
import { unzipSync } from "../../www/node_modules/fflate/esm/index.mjs";
import { copyLink, expect, learn, learnButton, openSite, settled, test } from "./support.js";

/** A task that the search alone solves partly. */
const TASK = "Find the fruit, in German, with thanks";

const polishBox = (page: Page) => page.getByTestId("polish");
const polishButton = (page: Page) =>
  polishBox(page).getByRole("button", { name: "Polish", exact: true });
const desk = (page: Page, name: string) =>
  page.locator("#mix").getByRole("button", { name, exact: true });
const verdict = (page: Page) => page.getByTestId("verdict");
const answer = (page: Page) => page.getByTestId("answer-composed");
const loss = async (page: Page) =>
  Number((await page.getByTestId("loss").textContent())?.match(/[\d.]+$/)?.[0]);

/** Learns a task that then works partly. */
async function learnPartly(page: Page): Promise<void> {
  await openSite(page);
  const task = page.getByRole("combobox", { name: "Task", exact: true });
  await task.selectOption({ label: TASK });
  await learn(page);
  await expect(verdict(page)).toContainText("Partly");
}

/** Polishes, and waits for what follows it. */
async function polish(page: Page): Promise<void> {
  await polishButton(page).click();
  await expect(polishBox(page)).toContainText(/in [\d.]+ m?s: \d of 5 examples right, /);
  await settled(page);
}

test("a mix that works partly is polished; its link gives the same answer, and undo the mix before", async ({
  page,
  context,
  browser,
}) => {
  await learnPartly(page);
  const [before, link, error] = [
    await verdict(page).textContent(),
    await copyLink(page, context),
    await loss(page),
  ];
  const weights = await page.getByTestId("weights").textContent();
  await expect(polishBox(page)).toContainText(/, in about [\d.]+ m?s\.$/);
  await polish(page);
  await expect(polishBox(page)).toContainText("5 of 5 examples right");
  await expect(verdict(page)).toContainText("All 5 examples come out right");
  await expect(verdict(page)).not.toHaveText(before ?? "");
  expect(await loss(page)).toBeLessThan(error);
  // The threads stay as they were learned.
  await expect(page.getByTestId("weights")).toHaveText(weights ?? "");
  await expect(page.getByTestId("shared-verdict")).toContainText(/^(Works|Partly)/);

  // The link opens as polished, with the same answer, and nothing learned.
  const polished = await copyLink(page, context);
  expect(polished).not.toBe(link);
  const [text, said] = [await answer(page).textContent(), await verdict(page).textContent()];
  const fresh = await browser.newContext();
  const other = await fresh.newPage();
  await other.goto(polished);
  await expect(polishBox(other)).toContainText("Polished");
  await settled(other);
  await expect(verdict(other)).toHaveText(said ?? "");
  await other.getByTestId("input").fill(await page.getByTestId("input").inputValue());
  await other.getByRole("button", { name: "Answer", exact: true }).click();
  await expect(answer(other)).toHaveText(text ?? "");
  // A fader ends the polish there too, and undo brings it back.
  await other.locator("#mix").getByRole("slider").first().focus();
  await other.keyboard.press("ArrowLeft");
  await expect(polishBox(other).getByText("Polished")).toHaveCount(0);
  await desk(other, "Undo").click();
  await expect(polishBox(other)).toContainText("Polished");
  await settled(other);
  await expect(answer(other)).toHaveText(text ?? "");
  await fresh.close();

  await polishBox(page).getByRole("button", { name: "Undo", exact: true }).click();
  await settled(page);
  await expect(verdict(page)).toHaveText(before ?? "");
  await expect(polishButton(page)).toBeEnabled();
  expect(await copyLink(page, context)).toBe(link);
  await desk(page, "Redo").click();
  await settled(page);
  await expect(verdict(page)).toHaveText(said ?? "");
});

test("a moved fader ends the polish, and a reload keeps it", async ({ page }) => {
  await learnPartly(page);
  await polish(page);
  const [said, text] = [await verdict(page).textContent(), await answer(page).textContent()];
  const error = await loss(page);
  const fader = page.locator("#mix").getByRole("slider").first();
  await fader.focus();
  await page.keyboard.press("ArrowLeft");
  await expect(polishBox(page).getByText("Polished")).toHaveCount(0);
  await expect(verdict(page)).toContainText("The weights were changed by hand.");
  await settled(page);
  await page.keyboard.press("Control+z");
  await expect(polishBox(page)).toContainText("Polished");
  await settled(page);
  await expect(verdict(page)).toHaveText(said ?? "");
  await expect.poll(() => loss(page)).toBe(error);

  await expect(page.getByRole("button", { name: "Copy link" })).toBeEnabled();
  await page.reload();
  await expect(polishBox(page)).toContainText("5 of 5 examples right");
  await settled(page);
  await expect(verdict(page)).toHaveText(said ?? "");
  await expect(answer(page)).toHaveText(text ?? "");
  await polishBox(page).getByRole("button", { name: "Undo", exact: true }).click();
  await expect(polishButton(page)).toBeVisible();
  await settled(page);
  await desk(page, "Redo").click();
  await settled(page);
  await expect(verdict(page)).toHaveText(said ?? "");

  // It is among the kept mixes, beside the one that was learned.
  await page.getByTestId("runs").locator("summary").click();
  await expect(page.locator(".runs li")).toHaveCount(2);
  await expect(page.locator(".runs li").first()).toContainText("5 of 5 right");
  await expect(page.locator(".runs li").first()).toContainText("polished");
});

test("nothing else starts while it polishes, and Stop keeps the steps made so far", async ({
  page,
}) => {
  await learnPartly(page);
  await expect(polishButton(page)).toBeEnabled();
  await polishButton(page).focus();
  // A run may take less than half a second: at its first step, what is disabled is noted, and Enter pressed.
  const disabled = page.evaluate(
    () =>
      new Promise<boolean[]>((resolve) => {
        const observer = new MutationObserver(() => {
          const box = document.querySelector("[data-testid=polish]");
          if (!box?.textContent?.includes("of 20 · error")) return;
          observer.disconnect();
          const learn = document.querySelector<HTMLButtonElement>("#task .primary");
          const fader = document.querySelector("#mix [role=slider]");
          const stop = document.activeElement as HTMLElement;
          resolve([
            learn?.disabled ?? false,
            fader?.getAttribute("aria-disabled") === "true",
            stop.textContent === "Stop",
          ]);
          stop.click();
        });
        observer.observe(document.body, { subtree: true, childList: true, characterData: true });
      }),
  );
  await page.keyboard.press("Enter");
  expect(await disabled).toEqual([true, true, true]);
  await expect(polishBox(page)).toContainText(/stopped after \d+ steps?: \d of 5 examples right/);
  await expect(polishBox(page).getByRole("button", { name: "Undo", exact: true })).toBeFocused();
  await expect(learnButton(page)).toBeEnabled();
  await settled(page);
  await expect(page.locator("#result .problem")).toHaveCount(0);
});

test("the adapter, the recipe and the code of a polished mix are those of what answers", async ({
  page,
}) => {
  await learnPartly(page);
  await polish(page);
  const take = page.getByTestId("take");
  await take.locator("summary").click();
  const [archive] = await Promise.all([
    page.waitForEvent("download"),
    take.getByRole("button", { name: "Save as a PEFT adapter (ZIP)" }).click(),
  ]);
  const files = unzipSync(await readFile(await archive.path()));
  expect(Object.keys(files)).toHaveLength(2);
  const [recipe] = await Promise.all([
    page.waitForEvent("download"),
    take.getByRole("button", { name: "Save recipe.json" }).click(),
  ]);
  const { scales } = JSON.parse(await readFile(await recipe.path(), "utf8"));
  expect(scales.values.length).toBeGreaterThan(10);
  await take.getByRole("button", { name: "Command line" }).click();
  await expect(take.locator("pre")).toContainText(/^loraloom generate .*--adapter [\w-]+=1\.0 /);
});
