// The workflow from examples to a link in a fresh profile, and runs that are stopped.

import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { Host } from "./host.js";
import {
  answers,
  copyLink,
  dots,
  editExamples,
  expect,
  learn,
  learnButton,
  openDetails,
  openSite,
  pasteExamples,
  setBudget,
  setEndless,
  settled,
  stopButton,
  tableTexts,
  test,
  watchErrors,
} from "./support.js";

/** Texts in place of an answer. */
const PLACEHOLDER = /Learn first|Type an input/;

test("shows which build runs and why", async ({ page }, { project }) => {
  await openSite(page);
  await openDetails(page);
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
  await openDetails(page);
  const gpu = page.getByTestId("gpu");
  await expect(gpu).toContainText("No usable GPU; using the CPU.");
  await expect(gpu).toContainText("found no GPU that pages may use");
  await learn(page);
  await page.reload();
  // The choice is saved for the tab until it is changed.
  await openDetails(page);
  await expect(gpu).toContainText("No usable GPU");
  await page.locator("summary", { hasText: "Change" }).first().click();
  await page.getByRole("combobox", { name: "Runs on" }).selectOption("wasm");
  await expect(gpu).toHaveCount(0);
  await page.reload();
  await openDetails(page);
  await expect(gpu).toHaveCount(0);
});

test("the demo shows its download in bytes, learns, and answers a new input", async ({ page }) => {
  await page.addInitScript(() => {
    const shown = new Set<string>();
    Object.assign(window, { shown });
    new MutationObserver(() => {
      shown.add(document.querySelector("[data-testid=learn-status]")?.textContent ?? "");
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await openSite(page);
  await learn(page);
  await expect(page.getByTestId("answer-composed")).not.toContainText(PLACEHOLDER);

  const shown = await page.evaluate(() => [...(window as unknown as { shown: Set<string> }).shown]);
  expect(shown.filter((text) => /[kM]B of \d/.test(text)).length).toBeGreaterThan(3);
  expect(await dots(page)).toBeGreaterThan(40);
  expect(await page.getByTestId("weights").locator("li").count()).toBeGreaterThan(1);
});

test("the workflow: an unseen task, learning, answers, its test set, and a link for others", async ({
  page,
  context,
  browser,
}, { project }) => {
  await openSite(page);
  const tasks = page.getByRole("combobox", { name: "Task", exact: true });
  await tasks.selectOption({ index: 1 });
  expect(await tableTexts(page)).toHaveLength(10);

  await learn(page);
  await expect(page.locator("#mix h2 small")).toHaveText(/^[1-9]\d* of 41 modules$/);
  const table = page.getByRole("region", { name: "Evaluations" });
  const shown = await dots(page);
  await page.getByTestId("numbers").locator("summary").click();
  await expect(table.locator("tbody tr")).toHaveCount(shown);
  await expect(page.getByTestId("numbers").locator("circle")).toHaveCount(shown);

  await page.getByRole("button", { name: "Another input" }).click();
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
  const examples = await tableTexts(page);

  const fresh = await browser.newContext({ baseURL: project.use.baseURL ?? "" });
  try {
    const other = await fresh.newPage();
    const errors: string[] = [];
    watchErrors(other, errors);
    await other.goto(link);
    await expect(other.getByTestId("learn-status")).toContainText("Opened from a shared link");
    // The library's task comes with its examples, and so with its ticks.
    expect(await tableTexts(other)).toEqual(examples);
    await settled(other);
    await expect(other.getByTestId("verdict")).toContainText("examples come out right");
    expect(await answers(other, input)).toEqual(first);
    await expect(other.locator(".chart")).toHaveCount(0);
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

test("one's own examples go into the link only when included", async ({
  page,
  context,
  browser,
}) => {
  await openSite(page);
  await setBudget(page, 16);
  await editExamples(page);
  await page.getByLabel("Output 1", { exact: true }).fill("quelque chose");
  await learn(page);
  const without = await copyLink(page, context);
  await page.locator("#share summary", { hasText: "What the link says" }).click();
  await page.getByLabel(/Include my \d+ examples/).check();
  await expect(page.getByLabel("Link", { exact: true })).not.toHaveValue(without);
  const link = await copyLink(page, context);
  expect(link.length).toBeGreaterThan(without.length);
  const fresh = await browser.newContext();
  try {
    const other = await fresh.newPage();
    await other.goto(without);
    const verdict = other.getByTestId("verdict");
    await expect(verdict).toContainText("Opened from a shared link without its examples");
    await expect(other.getByTestId("examples")).not.toContainText("quelque chose");
    await expect(other.getByTestId("learn-status")).toContainText("Ready");
    // A link in the same page is opened by its fragment.
    await other.goto(link);
    await expect(other.getByTestId("examples")).toContainText("quelque chose");
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
      ["a", "b"].map((letter) => `input : ${words}${letter} ${pair}`),
    ),
  );
  await setEndless(page);
  await learnButton(page).click();
  // Each module alone, and some mixes.
  await expect(page.getByTestId("learn-status")).toContainText(/^Trying mixes: [5-9]\d of/, {
    // Long inputs on one thread.
    timeout: 180_000,
  });
  // Counted and stopped in one turn, so that no evaluation comes between.
  const before = await stopButton(page).evaluate((button: HTMLButtonElement) => {
    button.click();
    return Number(document.querySelector<SVGElement>(".chart.small svg")?.dataset.dots);
  });
  await expect(page.getByTestId("learn-status")).toContainText("Stopped after");
  // The evaluation in progress, and one whose message was already posted.
  expect(await dots(page)).toBeLessThanOrEqual(before + 2);
  await expect(page.getByRole("button", { name: "Copy link" })).toBeEnabled();
  // What follows a run answers the input that is there then; typed before, the button would stop that.
  await settled(page);
  expect((await answers(page, "input : one , two")).composed).not.toMatch(PLACEHOLDER);
});

test("pasted examples are learned from and survive a reload", async ({ page }) => {
  await openSite(page);
  await setBudget(page, 16);
  const pairs = ["dog\tchien", "cat\tchat", "horse\tcheval", "bird\toiseau", "fish\tpoisson"];
  await pasteExamples(
    page,
    pairs.map((pair) => `input : ${pair}`),
  );
  await expect(page.getByLabel("Output 5", { exact: true })).toHaveValue("poisson");
  await learn(page);
  await page.reload();
  await expect(page.getByTestId("examples")).toContainText("poisson");
  // The mix too, with the examples that it was learned from.
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  await expect(page.getByTestId("verdict")).toContainText("examples come out right");
});

test("a paragraph pasted into a cell stays there, a row fills two, and a table can be undone", async ({
  page,
}) => {
  await openSite(page);
  await editExamples(page);
  const cell = (name: string) => page.getByLabel(name, { exact: true });
  const second = await cell("Input 2").inputValue();
  const paste = async (name: string, text: string) => {
    await cell(name).selectText();
    await cell(name).evaluate((element, text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", text);
      const options = { clipboardData, bubbles: true, cancelable: true };
      // The browser inserts what no handler takes.
      if (element.dispatchEvent(new ClipboardEvent("paste", options))) {
        document.execCommand("insertText", false, text);
      }
    }, text);
  };
  const paragraph = "Dear Ann,\nthe river is cold, wide and green.";
  await paste("Input 1", paragraph);
  await expect(cell("Input 1")).toHaveValue(paragraph);
  await expect(cell("Input 2")).toHaveValue(second);
  await paste("Input 2", "red\tblue\r\n");
  await expect(cell("Input 2")).toHaveValue("red");
  await expect(cell("Output 2")).toHaveValue("blue");
  // In the output, a row is text; a cell with a line break comes in quotation marks.
  await paste("Output 4", "green\tyellow");
  await expect(cell("Output 4")).toHaveValue("green yellow");
  await page.locator("#task").getByRole("button", { name: "Undo" }).click();
  await expect(cell("Output 4")).not.toHaveValue(/green/);
  await paste("Output 4", '"line one\nline ""two"""');
  await expect(cell("Output 4")).toHaveValue('line one\nline "two"');
  // A table would replace what was typed: that is asked, by keyboard as well.
  const asked = page.getByTestId("incoming");
  await paste("Input 3", "dog\tchien\ncat\tchat\n");
  await expect(
    asked.getByRole("heading", { name: "Replace your 5 examples with these 2?" }),
  ).toBeFocused();
  await expect(asked).toContainText("Read as tab-separated, without a header");
  await expect(asked.getByRole("cell", { name: "chien" })).toBeVisible();
  await expect(cell("Input 1")).toHaveValue(paragraph);
  await page.keyboard.press("Escape");
  await expect(asked).toHaveCount(0);
  await expect(cell("Input 3")).toBeFocused();
  await paste("Input 3", "dog\tchien\ncat\tchat\n");
  await expect(asked.getByRole("heading")).toBeFocused();
  await page.keyboard.press("Tab");
  await expect(asked.getByRole("button", { name: "Replace" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(cell("Input 1")).toHaveValue("dog");
  await expect(cell("Input 3")).toHaveCount(0);
  // Its cell is gone: the focus is on what was read.
  await expect(page.locator("#read-as")).toBeFocused();
  await page.locator("#task").getByRole("button", { name: "Undo" }).click();
  await expect(cell("Input 1")).toHaveValue(paragraph);
  await expect(cell("Output 2")).toHaveValue("blue");
});

test("a file is shown with its header, its unused columns and what is left out, and goes below the table", async ({
  page,
}) => {
  await openSite(page);
  await page.getByRole("button", { name: "Use my own" }).click();
  const cell = (name: string) => page.getByLabel(name, { exact: true });
  const open = async (text: string) => {
    const file = { name: "pairs.csv", mimeType: "", buffer: Buffer.from(text) };
    await page.locator("#task input[type=file]").setInputFiles(file);
  };
  // Nothing is lost by filling an empty table.
  await open("id,Question,answer\n1,dog,chien\n2,cat,\n3,horse,cheval\n");
  await expect(cell("Input 2")).toHaveValue("horse");
  const readAs =
    "Read as comma-separated, with a header: “Question” is the input, “answer” the output. Not used: “id”.";
  await expect(page.locator("#read-as")).toContainText(readAs);
  await expect(page.locator("#read-as")).toContainText("1 row left out: line 3 has no output.");
  await cell("Output 2").fill("cheval!");
  await expect(page.locator("#read-as")).toHaveText("");

  await open('[{"text": "bird", "label": "oiseau"}, {"text": "fish", "label": null}]');
  const asked = page.getByTestId("incoming");
  await expect(asked).toContainText("Replace your 2 examples with this one?");
  await expect(asked).toContainText("Read as JSON: “text” is the input, “label” the output.");
  await expect(asked).toContainText("1 row left out: item 2 has no output.");
  await asked.getByRole("button", { name: "Cancel" }).click();
  await expect(cell("Input 3")).toHaveCount(0);
  await open('[{"text": "bird", "label": "oiseau"}]');
  await asked.getByRole("button", { name: "Add below" }).click();
  await expect(cell("Output 2")).toHaveValue("cheval!");
  await expect(cell("Output 3")).toHaveValue("oiseau");
  await page.locator("#task").getByRole("button", { name: "Undo" }).click();
  await expect(cell("Output 3")).toHaveCount(0);
});

test("a table of 3,000 rows opens without a freeze, all of it", async ({ page }) => {
  await openSite(page);
  await editExamples(page);
  const lines = Array.from({ length: 3000 }, (_, row) => `input : word ${row}\tout ${row}`);
  const file = { name: "pairs.tsv", mimeType: "", buffer: Buffer.from(lines.join("\n")) };
  const started = Date.now();
  await page.locator("#task input[type=file]").setInputFiles(file);
  const cell = page.getByLabel("Output 7", { exact: true });
  await expect(cell).toHaveValue("out 6");
  await cell.fill("typed");
  await expect(cell).toHaveValue("typed");
  expect(Date.now() - started).toBeLessThan(10_000);
  await expect(page.locator("#task h2")).toContainText("3,000");
  await page.getByRole("button", { name: "Show more rows (2,900 left)" }).click();
  await expect(page.getByLabel("Output 200", { exact: true })).toHaveValue("out 199");
  await page.locator("#task").getByRole("button", { name: "Undo" }).click();
  await expect(cell).toHaveValue("out 6");
});

test("every file of BIG-Bench Hard opens in the table", async ({ page }) => {
  const folder = join(test.info().project.testDir, "../../../shared/data/bbh");
  test.skip(!existsSync(folder), `BIG-Bench Hard is not at ${folder}`);
  const files = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  expect(files).toHaveLength(27);
  await openSite(page);
  await editExamples(page);
  for (const name of files) {
    const path = join(folder, name);
    const { examples } = JSON.parse(await readFile(path, "utf8"));
    await page.locator("#task input[type=file]").setInputFiles(path);
    // The first takes the place of the library's task.
    if (name !== files[0]) {
      const asked = page.getByTestId("incoming");
      await expect(asked, name).toContainText("“input” is the input, “target” the output");
      await asked.getByRole("button", { name: "Replace" }).click();
    }
    const [{ input }] = examples;
    await expect(page.getByLabel("Input 1", { exact: true }), name).toHaveValue(input);
    await expect(page.locator("#task h2"), name).toContainText(String(examples.length));
  }
});

test("the error without each module is shown beside its weight", async ({ page }) => {
  await openSite(page);
  await learn(page);
  await page.getByTestId("numbers").locator("summary").click();
  await page.getByRole("button", { name: "Which modules matter?" }).click();
  await expect(page.getByTestId("weights").locator("li").first()).toContainText(
    /[+−]\d.* error without it/,
  );
});

test("a mix is taken away as its recipe, as code, and in a frame of another page", async ({
  page,
}) => {
  await openSite(page);
  await setBudget(page, 40);
  await learn(page);
  // The automatic answer may not have begun yet.
  await expect(page.locator(".side.composed .answer .placeholder")).toHaveCount(0);
  await settled(page);
  const composed = await page.getByTestId("answer-composed").textContent();
  const input = await page.getByTestId("input").inputValue();
  const take = page.getByTestId("take");
  await take.locator("summary").click();
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    take.getByRole("button", { name: "Save recipe.json" }).click(),
  ]);
  const recipe = JSON.parse(await readFile(await file.path(), "utf8"));
  expect(recipe.modules.length).toBe(await rowsOfMix(page));
  expect(recipe.examples).toHaveLength(5);

  const code = take.locator("pre");
  await take.getByRole("button", { name: "JavaScript" }).click();
  await expect(code).toContainText("await loom.restore(");
  await take.getByRole("button", { name: "Embed" }).click();
  const frame = (await code.textContent()) ?? "";
  // Another site: the policy of this one allows no frames.
  const folder = await mkdtemp(join(tmpdir(), "loraloom-frame-"));
  await writeFile(
    join(folder, "index.html"),
    `<!doctype html><link rel="icon" href="data:,">${frame}`,
  );
  const host = new Host(folder, { isolated: false });
  await host.start();
  await page.goto(host.url);
  const embedded = page.frameLocator("iframe");
  await embedded.getByLabel("Input").fill(input);
  await embedded.getByRole("button", { name: "Load and answer" }).click();
  await expect(embedded.getByText(composed ?? "", { exact: true })).toBeVisible();
  await host.stop();
  await rm(folder, { recursive: true });
});

test("learned mixes are kept, opened again, deleted, and moved as a file", async ({ page }) => {
  await openSite(page);
  await setBudget(page, 45);
  await learn(page);
  const title = (await page.locator("#result h2 small").textContent()) ?? "";
  const [ofFirst = ""] = await tableTexts(page);
  const verdict = (await page.getByTestId("verdict").textContent()) ?? "";
  const address = page.url();
  await page.locator("#tasks").getByRole("button").nth(1).click();
  await learn(page);
  await expect(page.locator("#result h2 small")).not.toHaveText(title);

  const kept = page.getByTestId("runs");
  await kept.locator("summary").click();
  await expect(kept.getByRole("listitem")).toHaveCount(2);
  // An input of each task is answered by the mix of that task.
  const other = (await page.locator("#result h2 small").textContent()) ?? "";
  const [ofOther = ""] = await tableTexts(page);
  for (const [input, mix] of [
    [ofOther, other],
    [ofFirst, title],
  ] as const) {
    await kept.getByLabel(/^An input for the one of your 2 mixes/).fill(input);
    await kept.getByRole("button", { name: "Answer with the mix that fits" }).click();
    await expect(kept.getByTestId("routed")).toContainText(`“${mix}” answers: `);
  }
  await kept.getByRole("button", { name: title, exact: true }).click();
  await expect(page.locator("#result h2 small")).toHaveText(title);
  await expect(page).toHaveURL(address);
  // The table has the task of the other mix.
  await expect(page.getByTestId("verdict")).toContainText("learned for another task");
  await page.getByTestId("verdict").getByRole("button").click();
  await settled(page);
  await expect(page.getByTestId("verdict")).toHaveText(verdict);
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");

  const [file] = await Promise.all([
    page.waitForEvent("download"),
    kept.getByRole("button", { name: "Save as a file" }).click(),
  ]);
  const saved = await readFile(await file.path());
  for (const left of [1, 0]) {
    await kept
      .getByRole("button", { name: /^Delete / })
      .first()
      .click();
    await expect(kept.getByRole("listitem")).toHaveCount(left);
  }
  const buffer = (text: string) => ({ name: "a.json", mimeType: "", buffer: Buffer.from(text) });
  const input = kept.locator("input[type=file]");
  await input.setInputFiles(buffer('[{"fragment": "<b>", "time": 1}, 7]'));
  await expect(kept).toContainText("No mixes found in that file.");
  await input.setInputFiles(buffer(saved.toString()));
  await expect(kept.getByRole("listitem")).toHaveCount(2);
});

/** The modules of the mix, those behind the button included. */
async function rowsOfMix(page: Page): Promise<number> {
  const more = page.locator("#mix").getByRole("button", { name: /more modules?$/ });
  if (await more.count()) await more.click();
  return page.locator("#mix").getByRole("slider").count();
}
