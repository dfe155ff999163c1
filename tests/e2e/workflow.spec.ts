// The workflow from examples to a link in a fresh profile, and runs that are stopped.

import {
  answers,
  copyLink,
  expect,
  learn,
  learnButton,
  openSite,
  pasteExamples,
  setBudget,
  setting,
  stopButton,
  tableInputs,
  test,
  watchErrors,
} from "./support.js";

/** Texts in place of an answer. */
const PLACEHOLDER = /Learn first|Type an input/;

test("shows which build runs and why", async ({ page }, { project }) => {
  await openSite(page);
  const device = page.getByTestId("device");
  if (project.name === "isolated") {
    await expect(device).toContainText("relaxed SIMD (build “threads”): the page is isolated");
  } else {
    await expect(device).toContainText("1 thread, relaxed SIMD");
    await expect(device).toContainText("the server does not isolate the page");
  }
});

test("shows why a selected GPU is not used, and learns on the CPU", async ({ page }) => {
  await openSite(page, "./?device=webgpu");
  const gpu = page.getByTestId("gpu");
  await expect(gpu).toContainText("No usable GPU; using the CPU.");
  await expect(gpu).toContainText("found no GPU that pages may use");
  await learn(page);
  await page.reload();
  // The choice is saved for the tab until it is changed.
  await expect(gpu).toContainText("No usable GPU");
  await page.locator("summary", { hasText: "Change" }).first().click();
  await page.getByRole("combobox", { name: "Runs on" }).selectOption("wasm");
  await expect(gpu).toHaveCount(0);
  await page.reload();
  await expect(page.getByTestId("device")).toContainText("thread");
  await expect(gpu).toHaveCount(0);
});

test("the demo shows its download in bytes, learns, and answers a new input", async ({ page }) => {
  await page.addInitScript(() => {
    const shown = new Set<string>();
    Object.assign(window, { shown });
    new MutationObserver(() => {
      shown.add(document.querySelector(".loading p")?.textContent ?? "");
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await openSite(page);
  await page.getByRole("button", { name: "Learn a task now" }).click();
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  await expect(page.getByTestId("answer-composed")).not.toContainText(PLACEHOLDER);
  await expect(page.locator(".sides")).toHaveAttribute("aria-busy", "false");

  const shown = await page.evaluate(() => [...(window as unknown as { shown: Set<string> }).shown]);
  expect(shown.filter((text) => /[kM]B of \d/.test(text)).length).toBeGreaterThan(3);
  expect(await page.locator(".chart circle").count()).toBeGreaterThan(40);
  expect(await page.locator(".weights li").count()).toBeGreaterThan(3);
});

test("the workflow: an unseen task, learning, answers, its test set, and a link for others", async ({
  page,
  context,
  browser,
}, { project }) => {
  await openSite(page);
  const tasks = page.getByRole("combobox", { name: "Task", exact: true });
  await tasks.selectOption({ index: 1 });
  expect(await tableInputs(page)).toHaveLength(10);

  await learn(page);
  await expect(page.getByTestId("chosen")).toContainText("selected");
  const table = page.getByRole("region", { name: "Evaluations" });
  await page.locator("summary", { hasText: "Show as tables" }).click();
  expect(await table.locator("tbody tr").count()).toBe(await page.locator(".chart circle").count());

  await page.getByRole("button", { name: "Another from the test set" }).click();
  await expect(page.getByTestId("input")).not.toBeEmpty();
  const input = await page.getByTestId("input").inputValue();
  const first = await answers(page, input);
  expect(first.composed).not.toMatch(PLACEHOLDER);

  await page.getByRole("button", { name: /^Run the test/ }).click();
  const score = /^\d+(\.\d)? % \(\d+ of \d{2,}\)$/;
  await expect(page.getByTestId("score-composed")).toHaveText(score);
  await expect(page.getByTestId("score-base")).toHaveText(score);
  const right = async (side: string) =>
    Number.parseFloat((await page.getByTestId(`score-${side}`).textContent()) ?? "");
  expect(await right("composed")).toBeGreaterThan(await right("base"));

  const link = await copyLink(page, context);
  expect(link.length).toBeLessThan(2000);
  const example = (await tableInputs(page))[0] as string;
  expect(decodeURIComponent(link)).not.toContain(example);

  const fresh = await browser.newContext({ baseURL: project.use.baseURL ?? "" });
  try {
    const other = await fresh.newPage();
    const errors: string[] = [];
    watchErrors(other, errors);
    await other.goto(link);
    await expect(other.getByTestId("learn-status")).toContainText("Opened from a shared link");
    expect(await answers(other, input)).toEqual(first);
    expect(await other.locator(".chart circle").count()).toBe(0);
    expect(errors).toEqual([]);

    // The web component takes the same recipe.
    await other.goto(`./embed.html${new URL(link).hash}`);
    await other.getByLabel("Input").fill(input);
    await other.getByRole("button", { name: "Load and answer" }).click();
    await expect(
      other.locator("lora-loom").getByText(first.composed, { exact: true }),
    ).toBeVisible();
    expect(errors).toEqual([]);
  } finally {
    await fresh.close();
  }
});

test("learning twice with one seed gives the same link", async ({ page, context }) => {
  await openSite(page);
  await learn(page);
  const first = await copyLink(page, context);
  await learn(page);
  expect(await copyLink(page, context)).toBe(first);
});

test("examples go into the link only when included", async ({ page, context, browser }) => {
  await openSite(page);
  await setBudget(page, 3);
  const edited = page.getByLabel("Output 1", { exact: true });
  await edited.fill("quelque chose");
  await learn(page);
  const without = await copyLink(page, context);
  await page.getByLabel(/Include my \d+ examples/).check();
  await expect(page.getByLabel("Link", { exact: true })).not.toHaveValue(without);
  const link = await copyLink(page, context);
  expect(link.length).toBeGreaterThan(without.length);
  const fresh = await browser.newContext();
  try {
    const other = await fresh.newPage();
    await other.goto(link);
    await expect(other.getByLabel("Output 1", { exact: true })).toHaveValue("quelque chose");
    await expect(other.getByTestId("learn-status")).toContainText("Opened from a shared link");
  } finally {
    await fresh.close();
  }
});

test("a stopped run ends at once and keeps the best point", async ({ page }) => {
  await openSite(page);
  // Long inputs: an evaluation takes longer than the page takes to draw the one before.
  const words = "one , two , three , ".repeat(20);
  await pasteExamples(
    page,
    ["dog\tchien", "cat\tchat", "horse\tcheval", "bird\toiseau"].flatMap((pair) =>
      ["a", "b", "c", "d"].map((letter) => `input : ${words}${letter} ${pair}`),
    ),
  );
  await setting(page, "selection").selectOption("random");
  await setBudget(page, 2000);
  await learnButton(page).click();
  await expect(page.getByTestId("learn-status")).toContainText(/^Trying mixes: ([5-9]|[1-9]\d) of/);
  const dots = page.locator(".chart circle");
  // Counted and stopped in one turn, so that no evaluation comes between.
  const before = await stopButton(page).evaluate((button: HTMLButtonElement) => {
    button.click();
    return document.querySelectorAll(".chart circle").length;
  });
  await expect(page.getByTestId("learn-status")).toContainText("Stopped after");
  // The evaluation in progress, and one whose message was already posted.
  expect(await dots.count()).toBeLessThanOrEqual(before + 2);
  await expect(page.getByRole("button", { name: "Copy the link" })).toBeEnabled();
  expect((await answers(page, "input : one , two")).composed).not.toMatch(PLACEHOLDER);
});

test("a second run is rejected while one is in progress, and the first continues", async ({
  page,
}) => {
  await openSite(page);
  await setBudget(page, 2000);
  await learnButton(page).click();
  await expect(page.getByTestId("learn-status")).toContainText("Trying mixes");
  await page.getByRole("button", { name: "Learn a task now" }).click();
  const alert = page.locator("#learn").getByRole("alert");
  await expect(alert).toContainText("Learning did not start.");
  await expect(alert).toContainText("still running");
  await expect(stopButton(page)).toBeVisible();
  await stopButton(page).click();
  await expect(page.getByTestId("learn-status")).toContainText("Stopped after");
});

test("pasted examples are learned from and survive a reload", async ({ page }) => {
  await openSite(page);
  await setBudget(page, 5);
  const pairs = ["dog\tchien", "cat\tchat", "horse\tcheval", "bird\toiseau", "fish\tpoisson"];
  await pasteExamples(
    page,
    pairs.map((pair) => `input : ${pair}`),
  );
  await expect(page.getByLabel("Output 5", { exact: true })).toHaveValue("poisson");
  await learn(page);
  await page.reload();
  await expect(page.getByLabel("Output 5", { exact: true })).toHaveValue("poisson");
  await expect(page.getByTestId("device")).toContainText("thread");
});

test("the error without each module is shown beside its weight", async ({ page }) => {
  await openSite(page);
  await learn(page);
  await page.getByRole("button", { name: "Which modules matter?" }).click();
  await expect(page.locator("#learn")).toContainText("Error added if removed");
  await expect(page.locator(".weights .rise").first()).toHaveText(/^[+−]\d/);
});
