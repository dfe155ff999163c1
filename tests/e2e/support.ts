// Shared by the end-to-end tests: a page that fails on unexpected errors, and the workflow's steps.

import { type BrowserContext, test as base, expect, type Page } from "@playwright/test";

/** A test that fails on console errors and warnings, except those that `expectErrors` matches. */
export const test = base.extend<{ expectErrors: RegExp | null; noConsoleErrors: undefined }>({
  expectErrors: [null, { option: true }],
  noConsoleErrors: [
    async ({ page, expectErrors }, use) => {
      const errors: string[] = [];
      watchErrors(page, errors);
      await use(undefined);
      expect(errors.filter((text) => !expectErrors?.test(text))).toEqual([]);
    },
    { auto: true },
  ],
});

/** What Playwright itself writes where a project blocks service workers. */
const BLOCKED = "Service Worker registration blocked by Playwright";

/** Collects the errors and warnings of a page. */
export function watchErrors(page: Page, errors: string[]): void {
  page.on("console", (message) => {
    if (message.text() === BLOCKED) return;
    if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
}

export { expect };

declare global {
  interface Window {
    /** The package, where {@link openPackage} loaded it. */
    loraloom: typeof import("../../www/package/src/index.js");
  }
}

/** Opens an empty page of the site's origin with the package in `window.loraloom`. */
export async function openPackage(page: Page): Promise<void> {
  // A missing file still has the origin and the headers.
  await page.goto("/library/none");
  await page.evaluate(async () => {
    const address = new URL("/package/index.js", location.href).href;
    window.loraloom = await import(/* @vite-ignore */ address);
  });
}

/** Opens the site and waits for the engine and the registry. */
export async function openSite(page: Page, path = "./"): Promise<void> {
  await page.goto(path);
  await expect(learnButton(page)).toBeEnabled();
}

/** Accepts the library or the hub of another site that the address names, and waits for its page. */
export async function acceptOffer(page: Page): Promise<void> {
  await page.locator(".landing").getByRole("button").first().click();
  await expect(page.locator(".landing")).toHaveCount(0);
  await expect(learnButton(page)).toBeEnabled();
}

/** The page's one button, by what it does now. */
export const learnButton = (page: Page) =>
  page.locator("#task").getByRole("button", { name: /^Learn (this task|again)$/ });
export const stopButton = (page: Page) =>
  page.locator("#task").getByRole("button", { name: "Stop", exact: true });

/** Opens the line of facts: the download, the device, other models, the storage. */
export async function openDetails(page: Page): Promise<void> {
  await page.locator(".facts > summary").click();
  await expect(page.getByTestId("device")).toContainText("thread");
}

/** Makes the examples' table one to type in. */
export async function editExamples(page: Page): Promise<void> {
  const edit = page.locator("#task").getByRole("button", { name: "Edit", exact: true });
  if (await edit.count()) await edit.click();
}

/** Replaces the examples by lines of an input, a tab and an output. */
export async function pasteExamples(page: Page, lines: string[]): Promise<void> {
  await page.getByRole("button", { name: "Use my own" }).click();
  await page.locator("summary", { hasText: "Paste CSV" }).click();
  await page.getByTestId("paste").fill(lines.join("\n"));
  await page.getByRole("button", { name: "Use these examples" }).click();
}

/** Presses the button and waits for the end of the run, and for what follows it. */
export async function learn(page: Page): Promise<void> {
  await learnButton(page).click();
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  await expect(learnButton(page)).toBeVisible();
  await settled(page);
}

/** Waits until answers and ticks are those of the mix that is shown. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator(".sides")).toHaveAttribute("aria-busy", "false");
  await expect(page.getByTestId("verdict")).not.toContainText("Checking");
}

/** The field of a learning setting. */
export const setting = (page: Page, name: string) => page.locator(`#setting-${name}`);

/** Opens the options and sets the budget. */
export async function setBudget(page: Page, budget: number): Promise<void> {
  await page.getByTestId("options").locator("summary").click();
  const field = setting(page, "budget");
  await field.fill(String(budget));
  await field.blur();
}

/** Sets a search that is not over before the test stops it: forward selection ends by itself. */
export async function setEndless(page: Page): Promise<void> {
  await setBudget(page, 10_000);
  await setting(page, "optimizer").selectOption("cma-es");
}

/** The answers of the base and of the composition to an input. */
export async function answers(
  page: Page,
  input: string,
): Promise<{ base: string; composed: string }> {
  await page.getByTestId("input").fill(input);
  await page.locator("#result").getByRole("button", { name: "Answer", exact: true }).click();
  // An answer may take less than a frame, so the test cannot wait for the busy state itself.
  await expect(page.getByRole("group", { name: `Answers to ${input}` })).toHaveAttribute(
    "aria-busy",
    "false",
  );
  return {
    base: (await page.getByTestId("answer-base").textContent()) ?? "",
    composed: (await page.getByTestId("answer-composed").textContent()) ?? "",
  };
}

/** Copies the link through the clipboard. */
export async function copyLink(page: Page, context: BrowserContext): Promise<string> {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy link" }).click();
  await expect(page.locator("#share").getByRole("status")).toContainText("Copied");
  return page.evaluate(() => navigator.clipboard.readText());
}

/** The mixes that the small chart shows. */
export const dots = async (page: Page) =>
  Number(await page.locator(".chart.small svg").getAttribute("data-dots"));

/** The texts of the table of examples, inputs and outputs. */
export function tableTexts(page: Page): Promise<string[]> {
  return page.locator("#task .read tbody td:not(:last-child)").allTextContents();
}
