// The page itself: accessibility in light, dark and on a phone, no overflow, and a free main thread
// while learning.

import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, learn, openSite, test } from "./support.js";

/** The violations that axe reports. */
async function violations(page: Page) {
  const { testDir } = test.info().project;
  await page.addScriptTag({ path: join(testDir, "../../www/node_modules/axe-core/axe.min.js") });
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
  });
}

const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

for (const [name, viewport, colorScheme] of [
  ["light", { width: 1280, height: 800 }, "light"],
  ["dark", { width: 1280, height: 800 }, "dark"],
  ["on a phone", { width: 390, height: 844 }, "light"],
  ["on a dark phone", { width: 390, height: 844 }, "dark"],
] as const) {
  test(`accessible, ${name}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    await openSite(page);
    expect(await violations(page)).toEqual([]);
    await learn(page);
    await page.locator("details").evaluateAll((all) => {
      for (const one of all) (one as HTMLDetailsElement).open = true;
    });
    expect(await violations(page)).toEqual([]);
  });
}

test("nothing is wider than a small phone", async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await openSite(page);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  await page.locator("details").evaluateAll((all) => {
    for (const one of all) (one as HTMLDetailsElement).open = true;
  });
  await learn(page);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
});

test("a large library without tasks has no task list, and is no wider than a small phone", async ({
  page,
}) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto("./?registry=./lorahub/registry.json");
  await expect(page.locator(".hero").getByText("Downloads the model first")).toBeVisible();
  await expect(page.getByRole("combobox", { name: "Task", exact: true })).toHaveCount(0);
  await page.getByText("The library: 196 modules").click();
  await expect(page.getByText("196 modules found")).toBeVisible();
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  expect(await violations(page)).toEqual([]);
});

test("learning moves nothing around on the page", async ({ page }) => {
  await page.setViewportSize({ width: 1280, height: 800 });
  await openSite(page);
  const places = () =>
    page
      .locator("h2")
      .evaluateAll((all) =>
        all.map((one) => Math.round(one.getBoundingClientRect().top + scrollY)),
      );
  const before = await places();
  await learn(page);
  await page.locator(".sides").waitFor();
  const after = await places();
  // The line on the selected modules may wrap differently; nothing else moves.
  for (const [index, top] of after.entries()) {
    expect(Math.abs(top - (before[index] as number))).toBeLessThanOrEqual(24);
  }
});

test("the main thread stays free while learning", async ({ page }) => {
  await openSite(page);
  await learn(page);
  await page.evaluate(() => {
    const turns = { learning: 0 };
    Object.assign(window, { turns });
    // Event loop turns while learning: a page that computes has about one per evaluation.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const buttons = [...document.querySelectorAll("#learn button")];
      if (buttons.some(({ textContent }) => textContent === "Stop")) turns.learning++;
      port2.postMessage(null);
    };
    port2.postMessage(null);
  });
  await learn(page);
  const turns = await page.evaluate(
    () => (window as unknown as { turns: { learning: number } }).turns.learning,
  );
  expect(turns).toBeGreaterThan(10 * (await page.locator(".chart circle").count()));
});

test("the workflow is usable by keyboard alone", async ({ page }) => {
  await openSite(page);
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Learn a task now" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  const term = page.locator("#learn .term").first();
  await term.focus();
  await expect(page.locator(".tip:visible")).toHaveCount(1);
  await page.keyboard.press("Escape");
  await expect(page.locator(".tip:visible")).toHaveCount(0);
});
