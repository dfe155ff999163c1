// The mix as an instrument: faders by pointer and by keyboard, undo, A against B, and what follows them;
// and a mix that is not the one of the task in the table.

import type { Page } from "@playwright/test";
import {
  copyLink,
  editExamples,
  expect,
  learn,
  learnButton,
  openSite,
  settled,
  test,
} from "./support.js";

const fader = (page: Page, row = 0) => page.locator("#mix").getByRole("slider").nth(row);
const desk = (page: Page, name: string) =>
  page.locator("#mix").getByRole("button", { name, exact: true });

async function weight(page: Page, row = 0): Promise<number> {
  return Number(await fader(page, row).getAttribute("aria-valuenow"));
}

test("a thread is dragged, and the answer, the ticks, the error and the link follow", async ({
  page,
  context,
  browser,
}) => {
  await openSite(page);
  await learn(page);
  const [first, link] = [await weight(page), await copyLink(page, context)];
  const answer = await page.getByTestId("answer-composed").textContent();
  const error = await page.getByTestId("loss").textContent();

  const box = await fader(page).boundingBox();
  if (!box) throw new Error("the thread is not drawn");
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 - box.width * 0.6, box.y + box.height / 2, {
    steps: 8,
  });
  await page.mouse.up();
  expect(await weight(page)).toBeLessThan(first - 1);
  await settled(page);
  await expect(page.getByTestId("answer-composed")).not.toHaveText(answer ?? "");
  await expect(page.getByTestId("loss")).not.toHaveText(error ?? "");
  await expect(page.getByTestId("verdict")).toContainText("The weights were changed by hand.");

  // The link is that of the threads now, and says so.
  const changed = await copyLink(page, context);
  expect(changed).not.toBe(link);
  const fresh = await browser.newContext();
  const other = await fresh.newPage();
  await other.goto(changed);
  await settled(other);
  expect(await weight(other)).not.toBe(first);
  await other.locator("#share summary", { hasText: "What the link says" }).click();
  await expect(other.getByLabel("How to write an input (optional)")).toHaveValue(
    "(Some weights set by hand.)",
  );
  await fresh.close();

  // A drag is one step of undo.
  await desk(page, "Undo").click();
  expect(await weight(page)).toBe(first);
  await settled(page);
  await expect(page.getByTestId("answer-composed")).toHaveText(answer ?? "");
  expect(await copyLink(page, context)).toBe(link);
  await desk(page, "Redo").click();
  expect(await weight(page)).toBeLessThan(first - 1);
  await fader(page).dblclick();
  expect(await weight(page)).toBe(first);
});

test("the faders are played by keyboard alone", async ({ page }) => {
  await openSite(page);
  await learn(page);
  const first = await weight(page);
  await fader(page).focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  expect(await weight(page)).toBeCloseTo(first + 0.1);
  await page.keyboard.press("ArrowDown");
  await expect(fader(page, 1)).toBeFocused();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.type("-0,5");
  await page.keyboard.press("Enter");
  await expect(fader(page)).toBeFocused();
  expect(await weight(page)).toBe(-0.5);
  await page.keyboard.press("Enter");
  await page.keyboard.type("1");
  await page.keyboard.press("Escape");
  expect(await weight(page)).toBe(-0.5);
  await page.keyboard.press("Backspace");
  expect(await weight(page)).toBe(first);

  const mute = page
    .locator("#mix")
    .getByRole("button", { name: /^Mute / })
    .first();
  await page.keyboard.press("m");
  await expect(mute).toHaveAttribute("aria-pressed", "true");
  await page.keyboard.press("s");
  await expect(mute).toHaveAttribute("aria-pressed", "false");
  await page.keyboard.press("s");
  await page.keyboard.press("m");
  await expect(mute).toHaveAttribute("aria-pressed", "false");
  await settled(page);
  await page.keyboard.press("Control+z");
  await expect(mute).toHaveAttribute("aria-pressed", "true");
  await page.keyboard.press("Control+y");
  await expect(mute).toHaveAttribute("aria-pressed", "false");
});

test("what is held stays while the rest is learned, and undo brings the mix before back", async ({
  page,
}) => {
  await openSite(page);
  await learn(page);
  const mix = page.locator("#mix");
  const hold = mix.getByRole("button", { name: /^Hold / });
  const learnRest = desk(page, "Learn the rest");
  await expect(learnRest).toHaveCount(0);
  const name = (await mix.locator("li .name").first().textContent()) ?? "";
  const rowOf = () => mix.locator("li", { hasText: name });
  const before = await mix.getByTestId("weights").textContent();

  // By keyboard: its weight, then its lock.
  await fader(page).focus();
  await page.keyboard.type("0.6");
  await page.keyboard.press("Enter");
  await page.keyboard.press("h");
  await expect(hold.first()).toHaveAttribute("aria-pressed", "true");
  await settled(page);
  const byHand = await mix.getByTestId("weights").textContent();
  expect(byHand).not.toBe(before);

  await learnRest.click();
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  await expect(learnButton(page)).toBeFocused();
  await settled(page);
  await expect(rowOf().getByRole("slider")).toHaveAttribute("aria-valuetext", "+0.60");
  await expect(rowOf().getByRole("button", { name: /^Hold / })).toHaveAttribute(
    "aria-pressed",
    "true",
  );
  expect(await mix.getByRole("slider").count()).toBeGreaterThan(1);
  const verdict = page.getByTestId("verdict");
  await expect(verdict).toContainText(`Held: ${name}.`);
  await expect(verdict).not.toContainText("changed by hand");
  await expect(page.getByTestId("loss")).toContainText("→");

  await desk(page, "Undo").click();
  expect(await mix.getByTestId("weights").textContent()).toBe(byHand);
  await expect(verdict).toContainText("changed by hand");
  await desk(page, "Redo").click();
  await expect(verdict).toContainText(`Held: ${name}.`);
  await rowOf()
    .getByRole("button", { name: /^Hold / })
    .click();
  await expect(learnRest).toHaveCount(0);
});

test("two mixes are kept and compared", async ({ page }) => {
  await openSite(page);
  await learn(page);
  const first = await weight(page);
  await desk(page, "Keep as A").click();
  await fader(page).focus();
  await page.keyboard.press("Home");
  await settled(page);
  await desk(page, "Keep as B").click();
  const compared = page.getByTestId("compared");
  const answers = compared.getByRole("row", { name: /^Answer/ }).getByRole("cell");
  const [a, b] = await answers.allTextContents();
  expect(a).not.toBe("");
  expect(b).not.toBe(a);
  await desk(page, "Back to A").click();
  expect(await weight(page)).toBe(first);
  await settled(page);
  await expect(answers.last()).toHaveText(a ?? "");
});

test("a mix says that it was learned for another task, and gives its examples back", async ({
  page,
  context,
}) => {
  await openSite(page);
  await learn(page);
  const title = await page.locator("#result h2 small").textContent();
  const link = await copyLink(page, context);
  await page.locator("#tasks").getByRole("button").nth(1).click();
  const verdict = page.getByTestId("verdict");
  await expect(verdict).toContainText(`learned for another task: ${title}`);
  await expect(page.locator("#task").getByRole("img")).toHaveCount(0);
  expect(await copyLink(page, context)).toBe(link);
  await verdict.getByRole("button").click();
  await expect(verdict).toContainText("examples come out right");
  await editExamples(page);
  await page.getByLabel("Output 1", { exact: true }).fill("another");
  await expect(verdict).toContainText("learned for another task");
  await page.locator("#task").getByRole("button", { name: "Undo", exact: true }).click();
  await expect(verdict).toContainText("examples come out right");
});
