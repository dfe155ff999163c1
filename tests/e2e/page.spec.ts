// The page itself: accessibility in light, dark and on a phone, no overflow, and a free main thread
// while learning.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "@playwright/test";
import {
  answers,
  dots,
  editExamples,
  expect,
  learn,
  learnButton,
  openSite,
  setBudget,
  setEndless,
  settled,
  stopButton,
  test,
} from "./support.js";

/** The violations that axe reports. */
async function violations(page: Page) {
  const { testDir } = test.info().project;
  // Evaluated, as the page's policy allows no script in its markup.
  await page.evaluate(
    await readFile(join(testDir, "../../www/node_modules/axe-core/axe.min.js"), "utf8"),
  );
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

test("accessible while a table is shown before it replaces another, and no wider than a small phone", async ({
  page,
}) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.setViewportSize({ width: 320, height: 740 });
  await openSite(page);
  await editExamples(page);
  await page.getByLabel("Output 2", { exact: true }).fill("typed");
  const word = "Donaudampfschifffahrtsgesellschaft".repeat(3);
  const table = `id\tquestion\tanswer\n1\t${word}\t${word}\n2\t\tb`;
  const file = { name: "pairs.tsv", mimeType: "", buffer: Buffer.from(table) };
  await page.locator("#task input[type=file]").setInputFiles(file);
  const shown = page.getByTestId("incoming");
  await expect(shown.getByRole("button", { name: "Replace" })).toBeInViewport();
  expect(await violations(page)).toEqual([]);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  await shown.getByRole("button", { name: "Replace" }).click();
  await expect(page.locator("#read-as")).toContainText("1 row left out: line 3 has no input.");
  expect(await violations(page)).toEqual([]);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
});

test("accessible in every state: typing, an error, learning, moved, compared, of another task", async ({
  page,
}) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await openSite(page);
  await editExamples(page);
  await page.getByLabel("Output 2", { exact: true }).fill("");
  await learnButton(page).click();
  await expect(page.locator("#task .problem")).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await page.locator("#task").getByRole("button", { name: "Undo", exact: true }).click();

  await setEndless(page);
  await learnButton(page).click();
  await expect(page.getByTestId("learn-status")).toContainText(/^Trying mixes: \d{2,} of/);
  expect(await violations(page)).toEqual([]);
  await stopButton(page).click();
  await settled(page);
  await page.locator("#mix").getByRole("button", { name: "Keep as A" }).click();
  await page
    .locator("#mix")
    .getByRole("button", { name: /^Hold / })
    .first()
    .click();
  await expect(page.getByRole("button", { name: "Learn the rest" })).toBeVisible();
  await page.getByRole("slider").first().focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  expect(await violations(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await settled(page);
  await page.locator("#tasks").getByRole("button").nth(4).click();
  await expect(page.getByTestId("verdict")).toContainText("learned for another task");
  expect(await violations(page)).toEqual([]);
});

test("accessible while a mix is polished and after, and no wider than a small phone", async ({
  page,
}) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.setViewportSize({ width: 320, height: 740 });
  await openSite(page);
  const task = page.getByRole("combobox", { name: "Task", exact: true });
  await task.selectOption({ label: "Find the fruit, in German, with thanks" });
  await learn(page);
  const polish = page.getByTestId("polish");
  await expect(polish.getByRole("button", { name: "Polish", exact: true })).toBeEnabled();
  expect(await violations(page)).toEqual([]);
  await polish.getByRole("button", { name: "Polish", exact: true }).click();
  // A run may be over before it is looked at.
  await expect(polish).toContainText(/of 20 · error|examples right/);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  await expect(polish).toContainText("of 5 examples right");
  await settled(page);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  expect(await violations(page)).toEqual([]);
});

test("the page's script is at most 45 kB, gzip", async ({ page }) => {
  const scripts = new Map<string, number>();
  page.on("response", async (response) => {
    const url = response.url();
    // The engine's worker is no script of the page's thread.
    if (!/assets\/.*\.js$/.test(url) || /worker-|loraloom-/.test(url)) return;
    scripts.set(url, gzipSync(await response.body(), { level: 9 }).length);
  });
  await openSite(page);
  await learn(page);
  const total = [...scripts.values()].reduce((sum, size) => sum + size, 0);
  expect(total).toBeGreaterThan(20_000);
  expect(total).toBeLessThanOrEqual(45_000);
});

test("nothing is wider than a small phone", async ({ page }) => {
  await page.setViewportSize({ width: 320, height: 740 });
  await openSite(page);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  await page.locator("details").evaluateAll((all) => {
    for (const one of all) (one as HTMLDetailsElement).open = true;
  });
  await learn(page);
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  const task = page.getByRole("combobox", { name: "Task", exact: true });
  await task.selectOption({ label: "Find the fruit, in German, with thanks" });
  await learn(page);
  await page
    .getByRole("button", { name: /^Groups of layers/ })
    .first()
    .click();
  await page
    .getByRole("button", { name: /^Hold / })
    .first()
    .click();
  await page.getByRole("button", { name: "Keep as A" }).click();
  expect(await overflow(page)).toBeLessThanOrEqual(0);
  // A thread is wide enough to be dragged.
  const track = await page.getByRole("slider").first().boundingBox();
  expect(track?.width).toBeGreaterThan(64);
});

test("a large library without tasks has no task list, and is no wider than a small phone", async ({
  page,
}) => {
  await page.setViewportSize({ width: 320, height: 740 });
  await page.goto("./?registry=./lorahub/registry.json");
  await expect(page.getByTestId("learn-status")).toContainText("Downloads the model first");
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
      .locator(".bench h2, .bench [data-testid=input], .sides")
      .evaluateAll((all) =>
        all.map((one) => Math.round(one.getBoundingClientRect().top + scrollY)),
      );
  const before = await places();
  await learn(page);
  const after = await places();
  // The verdict has one line more than what stood in its place; nothing else moves.
  for (const [index, top] of after.entries()) {
    expect(Math.abs(top - (before[index] as number))).toBeLessThanOrEqual(24);
  }
});

test("a press that began on Answer does not stop the answer that begins meanwhile", async ({
  page,
}) => {
  await openSite(page);
  await setBudget(page, 16);
  await learn(page);
  await page.getByTestId("input").fill("one two");
  // Pressed on Answer, and released as soon as the button reads Stop.
  await page.locator("#result form").evaluate(async (form) => {
    const button = form.querySelector("button[type=submit]") as HTMLButtonElement;
    const input = form.querySelector("textarea") as HTMLTextAreaElement;
    const stop = new Promise<void>((resolve) => {
      new MutationObserver(() => {
        if (button.textContent === "Stop") resolve();
      }).observe(button, { subtree: true, childList: true, characterData: true });
    });
    button.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
    input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    await stop;
    button.click();
  });
  await expect(page.getByRole("group", { name: "Answers to one two" })).toBeVisible();
  await settled(page);
  const spoken = await page.getByTestId("answer-composed").textContent();
  expect(spoken).not.toMatch(/^(…|Learn first.*|Type an input.*|)$/);
  expect(await answers(page, "one two")).toMatchObject({ composed: spoken });
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
      const buttons = [...document.querySelectorAll("#task button")];
      if (buttons.some(({ textContent }) => textContent === "Stop")) turns.learning++;
      port2.postMessage(null);
    };
    port2.postMessage(null);
  });
  await learn(page);
  const turns = await page.evaluate(
    () => (window as unknown as { turns: { learning: number } }).turns.learning,
  );
  expect(turns).toBeGreaterThan(10 * (await dots(page)));
});

test("the result is on the first screen, beside the base's, without scrolling", async ({
  page,
}) => {
  for (const viewport of [
    { width: 1280, height: 720 },
    { width: 390, height: 844 },
  ]) {
    await page.setViewportSize(viewport);
    await openSite(page);
    await learn(page);
    expect(await page.evaluate(() => scrollY)).toBe(0);
    for (const side of ["base", "composed"]) {
      const box = await page.getByTestId(`answer-${side}`).boundingBox();
      expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThanOrEqual(viewport.height);
    }
    await expect(page.locator(".side.base .mark")).toHaveText("✗");
    await expect(page.locator(".side.composed .mark")).toHaveText("✓");
  }
});

test("long examples and a mix that works partly leave the result on a phone's first screen", async ({
  page,
}) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await openSite(page);
  const task = page.getByRole("combobox", { name: "Task", exact: true });
  await task.selectOption({ label: "Find the fruit, in German, with thanks" });
  await learn(page);
  await expect(page.getByTestId("verdict")).toContainText("Partly");
  expect(await page.evaluate(() => scrollY)).toBe(0);
  for (const part of ["answer-base", "answer-composed"]) {
    const box = await page.getByTestId(part).boundingBox();
    expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThanOrEqual(844);
  }
  // The first line of the verdict is there too.
  const verdict = await page.getByTestId("verdict").locator("b").boundingBox();
  expect((verdict?.y ?? 0) + (verdict?.height ?? 0)).toBeLessThanOrEqual(844);
});

test("the workflow is usable by keyboard alone", async ({ page }) => {
  await openSite(page);
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the input" })).toBeFocused();
  for (let stops = 0; !(await learnButton(page).evaluate(isFocused)); stops++) {
    expect(stops).toBeLessThan(10);
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  // The focus stays on the button while it stops and learns.
  await expect(learnButton(page)).toBeFocused();
  for (let stops = 0; !(await page.getByTestId("input").evaluate(isFocused)); stops++) {
    expect(stops).toBeLessThan(15);
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await settled(page);
  const term = page.locator("#result .term").first();
  await term.focus();
  await expect(page.locator(".tip:visible")).toHaveCount(1);
  await page.keyboard.press("Escape");
  await expect(page.locator(".tip:visible")).toHaveCount(0);
});

const isFocused = (element: Element) => element === document.activeElement;
