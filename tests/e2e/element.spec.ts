// The web component <lora-loom> on the page that has nothing else: it learns, answers, and is styled and listened to
// from outside.

import { expect, type Page, test } from "@playwright/test";
import { watchErrors } from "./support";

const element = (page: Page) => page.locator("lora-loom");

/** Answers an input, and returns both answers. */
async function answers(page: Page, input: string): Promise<(string | null)[]> {
  const button = element(page).getByRole("button", { name: "answer" });
  await element(page).getByLabel("Input", { exact: true }).fill(input);
  await button.click();
  await expect(button).toHaveText("Answer");
  await expect(button).toBeEnabled();
  const parts = ["base", "composed"].map((part) => element(page).locator(`[part=${part}]`));
  return Promise.all(parts.map((part) => part.textContent()));
}

test("it learns a task of the library, answers, and the address opens what it learned", async ({
  page,
}) => {
  const errors: string[] = [];
  watchErrors(page, errors);
  await page.goto("./embed.html");
  const names = ["loaded", "learned", "answered", "failed"];
  await page.evaluate((names) => {
    const seen: string[] = [];
    Object.assign(window, { seen });
    for (const name of names) addEventListener(name, () => seen.push(name));
  }, names);
  await expect(element(page).getByLabel("Input", { exact: true })).toBeHidden();
  const tasks = element(page).getByLabel("Task");
  await tasks.selectOption({ index: 1 });
  const learn = element(page).getByRole("button", { name: "Learn" });
  await learn.click();
  await expect(element(page).locator("[part=verdict]")).toContainText("in 10 new inputs right.");
  await expect(element(page).locator("[part=mix]")).toContainText(/\w \d\.\d\d, /);
  const input = await element(page).getByLabel("Input of example 1").inputValue();
  const output = await element(page).getByLabel("Output of example 1").inputValue();
  const first = await answers(page, input);
  expect(first[1]).toBe(output);
  expect(first[0]).not.toBe(output);
  expect(await page.evaluate("seen")).toEqual(["loaded", "learned", "answered"]);

  await page.reload();
  await expect(element(page).getByLabel("Task")).toBeHidden();
  expect(await answers(page, input)).toEqual(first);
  await expect(element(page).locator("[part=title]")).not.toBeEmpty();
  expect(errors).toEqual([]);
});

test("pasted rows become a task of one's own, and learning can be stopped", async ({ page }) => {
  await page.goto("./embed.html");
  const cell = element(page).getByLabel("Input of example 2");
  await expect(cell).toBeVisible();
  await cell.evaluate((cell) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", "question\tanswer\nred\tcolor\ndog\tanimal\n");
    cell.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData, bubbles: true, composed: true }),
    );
  });
  await expect(element(page).getByLabel("Output of example 1")).toHaveValue("color");
  await expect(element(page).getByLabel("Input of example 3")).toHaveValue("");
  await expect(element(page).getByLabel("Task")).toHaveValue("");
  await element(page).getByRole("button", { name: "Learn" }).click();
  await element(page).getByRole("button", { name: "Stop" }).click();
  await expect(element(page).getByRole("button", { name: "Learn" })).toBeEnabled();
});

test("a title is shown before anything is loaded, and colors come from outside", async ({
  page,
}) => {
  await page.goto("./embed.html?title=Jobs%20%26%20French#none");
  await expect(page.getByRole("heading", { name: "Jobs & French" })).toBeVisible();
  await page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
      "lora-loom { --loom-composed: rgb(1, 2, 3); } lora-loom::part(input) { color: rgb(4, 5, 6); }",
    );
    document.adoptedStyleSheets.push(sheet);
  });
  const color = (part: string) =>
    element(page)
      .locator(`[part=${part}]`)
      .evaluate((found) => getComputedStyle(found).color);
  expect(await color("composed")).toBe("rgb(1, 2, 3)");
  expect(await color("input")).toBe("rgb(4, 5, 6)");
  // A damaged recipe is said where it is read.
  await element(page).getByRole("button", { name: "Load and answer" }).click();
  await expect(element(page).getByRole("status")).toContainText("link");
});
