// How fast the page is on this machine: the time from opening it to a learned mix, the time from a dragged thread to
// its answer, and how long the main thread is blocked. The figures are printed and kept as annotations. No task may take more than 50 ms
// while a thread is dragged, while the page learns, and in a run of 2,000 evaluations (EVALUATIONS).

import type { Page, Response } from "@playwright/test";
import {
  expect,
  learn,
  learnButton,
  openSite,
  setEndless,
  settled,
  stopButton,
  test,
} from "./support.js";

const EVALUATIONS = Number(process.env.EVALUATIONS ?? 2000);
const DRAGS = 20;
/** Moves of a drag, at the rate of a display. */
const MOVES = 12;
const FRAME_MS = 16;
/** Rounds of which one has to be without long tasks: in the others, another program may have had the cores. */
const ROUNDS = 4;

// A trace takes pictures of the page on its main thread.
test.use({ trace: "off" });

function report(name: string, figures: string): void {
  test.info().annotations.push({ type: name, description: figures });
  console.log(`   ${name}: ${figures}`);
}

/** Begins to record the tasks that block the main thread for 50 ms or more. */
const watchLongTasks = (page: Page) =>
  page.addInitScript(() => {
    const longTasks: number[] = [];
    Object.assign(window, { longTasks });
    new PerformanceObserver((list) => {
      longTasks.push(...list.getEntries().map(({ duration }) => duration));
    }).observe({ type: "longtask" });
  });

/** The recorded tasks since the last call, in milliseconds. */
const takeLongTasks = (page: Page) =>
  page.evaluate(() => (window as unknown as { longTasks: number[] }).longTasks.splice(0));

const longTaskText = (tasks: number[]) =>
  `${tasks.length} over 50 ms${tasks.length ? `, the longest ${Math.round(Math.max(...tasks))} ms` : ""}`;

/** Repeats a round until nothing in it blocks the main thread; fails if something does in each. */
async function expectNoLongTasks(page: Page, name: string, round: () => Promise<void>) {
  const found: number[][] = [];
  do {
    await takeLongTasks(page);
    await round();
    const tasks = await takeLongTasks(page);
    report(`long tasks ${name}`, longTaskText(tasks));
    found.push(tasks);
  } while (found.at(-1)?.length && found.length < ROUNDS);
  expect(found).toContainEqual([]);
}

test("the times of a first visit and of the next", async ({ page }) => {
  for (const visit of ["first", "second"]) {
    let received = 0;
    const weights: string[] = [];
    const count = (response: Response) => {
      if (/\.(gguf|safetensors)$/.test(response.url())) weights.push(response.url());
      return response
        .request()
        .sizes()
        .then(({ responseBodySize }) => {
          received += responseBodySize;
        })
        .catch(() => undefined);
    };
    page.on("response", count);
    const started = performance.now();
    await openSite(page);
    const ready = performance.now();
    await learnButton(page).click();
    await expect(page.getByTestId("learn-status")).toContainText("Learned in");
    const learned = performance.now();
    await settled(page);
    page.off("response", count);
    // A file that the browser did not store in time is fetched again.
    expect(weights.length === 0, "all weights are kept after the first visit").toBe(
      visit === "second",
    );
    const seconds = (from: number, to: number) => ((to - from) / 1000).toFixed(1);
    report(
      `${visit} visit`,
      `${seconds(started, ready)} s to the button, ${seconds(ready, learned)} s from there to a learned mix, ` +
        `${(received / 1e6).toFixed(1)} MB received`,
    );
  }
});

test("the answer follows a dragged thread", async ({ page }) => {
  await watchLongTasks(page);
  await openSite(page);
  await learn(page);
  const thread = page.locator("#mix").getByRole("slider").first();
  await thread.evaluate((track) => {
    track.addEventListener("pointermove", ({ timeStamp }) =>
      Object.assign(window, { moved: timeStamp }),
    );
  });
  const box = await thread.boundingBox();
  if (!box) throw new Error("the thread is not drawn");
  const y = box.y + box.height / 2;
  const weights = new Set<string | null>();
  const times: number[] = [];
  const drags = async () => {
    for (let drag = 0; drag < DRAGS; drag++) {
      let x = box.x + box.width * 0.6;
      await page.mouse.move(x, y);
      await page.mouse.down();
      for (let move = 0; move < MOVES; move++) {
        x += (drag % 2 ? 1 : -1) * box.width * 0.03;
        await page.mouse.move(x, y);
        await page.waitForTimeout(FRAME_MS);
      }
      times.push(
        await page.evaluate(async () => {
          const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
          await frame();
          while (document.querySelector(".sides .stale")) await frame();
          return performance.now() - (window as unknown as { moved: number }).moved;
        }),
      );
      await page.mouse.up();
      weights.add(await thread.getAttribute("aria-valuenow"));
    }
  };
  await expectNoLongTasks(page, "while dragging", drags);
  expect(weights.size).toBeGreaterThan(1);
  times.sort((a, b) => a - b);
  const at = (share: number) => Math.round(times[Math.floor(share * (times.length - 1))] ?? 0);
  report("milliseconds to the new answer", `median ${at(0.5)}, 95 % within ${at(0.95)}`);
});

test("no task blocks the main thread while learning", async ({ page }) => {
  await watchLongTasks(page);
  await openSite(page);
  report("long tasks while starting", longTaskText(await takeLongTasks(page)));
  await expectNoLongTasks(page, "while learning", () => learn(page));
  await setEndless(page);
  await expectNoLongTasks(page, `of ${EVALUATIONS} evaluations`, async () => {
    await learnButton(page).click();
    await expect
      .poll(async () => Number(/\d+/.exec((await status(page)) ?? "")?.[0] ?? 0), { timeout: 0 })
      .toBeGreaterThanOrEqual(EVALUATIONS);
    await stopButton(page).click();
    await expect(page.getByTestId("learn-status")).toContainText("Stopped after");
    await settled(page);
  });
});

const status = (page: Page) => page.getByTestId("learn-status").textContent();
