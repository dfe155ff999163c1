// The service worker: the page without a network, from one release to the next, and with threads where the host
// sends no headers. The hosts are the tests' own.

import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Page } from "@playwright/test";
import { Host } from "./host.js";
import {
  answers,
  expect,
  learn,
  learnButton,
  openDetails,
  openSite,
  setBudget,
  settled,
  test,
  watchErrors,
} from "./support.js";

const TITLE = "Teach a small language model a task with five examples";
const NEXT_TITLE = "The next release";

// The browser writes a request that failed to the console.
test.use({ expectErrors: /Failed to load resource|ERR_/, serviceWorkers: "allow" });

let host: Host;
/** The folders of two releases. */
let dist: string;
let nextRelease: string;

test.beforeAll(async () => {
  const { testDir } = test.info().project;
  dist = join(testDir, "../../www/dist");
  nextRelease = await mkdtemp(join(tmpdir(), "loraloom-release-"));
  const script = join(testDir, "next-release.mjs");
  await promisify(execFile)("node", [script, nextRelease, TITLE, NEXT_TITLE]);
});
test.afterAll(() => rm(nextRelease, { recursive: true, force: true }));
test.afterEach(() => host.stop());

async function startHost(isolated: boolean): Promise<void> {
  host = new Host(dist, { isolated });
  await host.start();
}

/** Opens the page and waits until the service worker keeps it. */
async function visit(page: Page): Promise<void> {
  await openSite(page, host.url);
  await expect.poll(() => keptBuilds(page)).toBeGreaterThan(0);
}

/** The WebAssembly builds in the site's caches. */
const keptBuilds = (page: Page) =>
  page.evaluate(async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith("loraloom-site "));
    const kept = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
    return kept.flat().filter(({ url }) => url.endsWith(".wasm")).length;
  });

/** The releases that are kept. */
const keptReleases = (page: Page) =>
  page.evaluate(async () => {
    const names = await caches.keys();
    return names.filter((name) => name.startsWith("loraloom-site ")).length;
  });

const newVersion = (page: Page) => page.locator(".new-version");

/** Lets the browser look for a new release, as it does when a tab is shown again. */
const lookForUpdate = (page: Page) =>
  page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));

async function runTest(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^Run the test/ }).click();
  await expect(page.getByTestId("score-composed")).toHaveText(/% \(\d+ of \d{2,}\)$/);
}

test("without a network, a page that was learned on opens, learns, answers and tests", async ({
  page,
  context,
}) => {
  await startHost(true);
  await visit(page);
  await openDetails(page);
  await page.getByTestId("storage").locator("summary").click();
  await expect(page.getByTestId("offline")).toContainText("once you learn");
  await setBudget(page, 40);
  await learn(page);
  await expect(page.getByTestId("input")).not.toBeEmpty();
  const input = await page.getByTestId("input").inputValue();
  const online = await answers(page, input);
  await expect.poll(() => host.requests.filter((path) => path.includes("/tasks/")).length).toBe(28);

  await host.stop();
  await page.reload();
  await openDetails(page);
  await expect(page.getByTestId("device")).toContainText("build “threads”");
  await page.getByTestId("storage").locator("summary").click();
  await expect(page.getByTestId("offline")).toContainText("everything works with this library");
  expect(await answers(page, input)).toEqual(online);

  // The same where the browser knows that there is no network, in a new tab, with a task not learned before.
  await context.setOffline(true);
  const other = await context.newPage();
  const errors: string[] = [];
  watchErrors(other, errors);
  await openSite(other, host.url);
  await other.getByRole("combobox", { name: "Task", exact: true }).selectOption({ index: 3 });
  await setBudget(other, 40);
  await learn(other);
  await runTest(other);
  expect(errors.filter((text) => !/ERR_|Failed to load/.test(text))).toEqual([]);
});

test("a page of an earlier release keeps its files until it is reloaded", async ({ page }) => {
  await startHost(true);
  await visit(page);
  const own = await readdir(join(dist, "assets"));
  const requested = new Set<string>();
  page.on("request", (request) => requested.add(new URL(request.url()).pathname));

  host.folder = nextRelease;
  await lookForUpdate(page);
  await expect(newVersion(page)).toContainText("A new version of this page is ready.");
  // Its panels are no longer on the host.
  await openDetails(page);
  await setBudget(page, 40);
  await learn(page);
  await page.getByTestId("take").locator("summary").click();
  await expect(page.getByTestId("take")).toContainText("recipe.json");
  await expect(page.locator("h1")).toHaveText(TITLE);
  const assets = [...requested].flatMap((path) => /assets\/(.+)$/.exec(path)?.[1] ?? []);
  expect(assets.length).toBeGreaterThan(3);
  expect(assets.filter((name) => !own.includes(name))).toEqual([]);
  expect(await keptReleases(page)).toBe(2);

  await newVersion(page).getByRole("button", { name: "Reload" }).click();
  await expect(page.locator("h1")).toHaveText(NEXT_TITLE);
  await expect(learnButton(page)).toBeEnabled();
  await expect(newVersion(page)).toHaveCount(0);
  // Without a page of it, the earlier release is deleted.
  await page.reload();
  await expect.poll(() => keptReleases(page)).toBe(1);

  // The new one has its WebAssembly build too.
  await host.stop();
  await page.reload();
  await expect(page.locator("h1")).toHaveText(NEXT_TITLE);
  // What was learned before is restored.
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  await settled(page);
  await learn(page);
});

test("a release that is not uploaded whole is not shown", async ({ page }) => {
  await startHost(true);
  await visit(page);
  host.folder = nextRelease;
  const [lacking = ""] = (await readdir(join(nextRelease, "assets"))).filter((name) =>
    name.startsWith("qr-"),
  );
  host.missing.add(`assets/${lacking}`);
  host.requests = [];
  await lookForUpdate(page);
  await expect.poll(() => host.requests).toContain(`assets/${lacking}`);
  await page.reload();
  await expect(page.locator("h1")).toHaveText(TITLE);
  await learn(page);
  await expect(newVersion(page)).toHaveCount(0);

  host.missing.clear();
  await lookForUpdate(page);
  await expect(newVersion(page)).toBeVisible();
});

test("without the host's headers, the service worker isolates the page, and a switch turns that off", async ({
  page,
}) => {
  await startHost(false);
  let loads = 0;
  page.on("domcontentloaded", () => loads++);
  await page.goto(host.url);
  const device = page.getByTestId("device");
  // Nothing is evaluated before: to the browser, that would be a press.
  await expect.poll(() => loads).toBe(2);
  await expect(learnButton(page)).toBeEnabled();
  await openDetails(page);
  await expect(device).toContainText("build “threads”");
  await setBudget(page, 40);
  await learn(page);
  await runTest(page);

  // Parts of a file go on as the host sends them.
  const part = await page.evaluate(async () => {
    const headers = { Range: "bytes=0-9" };
    const response = await fetch("./library/base/model.gguf", { headers, cache: "no-store" });
    return [response.status, (await response.arrayBuffer()).byteLength];
  });
  expect(part).toEqual([206, 10]);

  for (const [address, isolated] of [
    [`${host.url}?isolation=off`, false],
    [host.url, false],
    [`${host.url}?isolation=on`, true],
    [host.url, true],
  ] as const) {
    await page.goto(address);
    await page.waitForFunction((wanted) => crossOriginIsolated === wanted, isolated);
    await expect(learnButton(page)).toBeEnabled();
    await expect(page).toHaveURL((url) => url.search === "");
    await openDetails(page);
    await expect(device).toContainText(isolated ? "build “threads”" : "1 thread");
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(isolated);
  }
});

test("where isolation has no effect, the page stops reloading, and learns on one thread", async ({
  page,
}) => {
  await startHost(false);
  let loads = 0;
  page.on("domcontentloaded", () => loads++);
  await page.addInitScript(() =>
    Object.defineProperty(window, "crossOriginIsolated", { get: () => false }),
  );
  await page.goto(host.url);
  await expect.poll(() => loads).toBe(3);
  await expect(learnButton(page)).toBeEnabled();
  await setBudget(page, 40);
  await learn(page);
  for (let visit = 1; visit <= 2; visit++) {
    await page.goto(host.url);
    await expect(learnButton(page)).toBeEnabled();
    await page.waitForTimeout(500);
  }
  expect(loads).toBe(5);
});

test("a visitor who has begun is not interrupted: the next visit has threads", async ({ page }) => {
  await startHost(false);
  let loads = 0;
  page.on("domcontentloaded", () => loads++);
  await page.goto(host.url);
  await page.locator("h1").click();
  await page.waitForFunction(async () => (await navigator.serviceWorker.ready).active !== null);
  await expect(learnButton(page)).toBeEnabled();
  await setBudget(page, 40);
  await learn(page);
  expect(loads).toBe(1);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
  await page.goto(host.url);
  await page.waitForFunction(() => crossOriginIsolated);
});

test("two tabs share a download", async ({ page, context }) => {
  await startHost(true);
  await visit(page);
  const other = await context.newPage();
  await openSite(other, host.url);
  host.requests = [];
  await Promise.all([learn(page), learn(other)]);
  const weights = host.requests.filter((path) => path.startsWith("library/modules/"));
  expect(weights.length).toBeGreaterThan(41);
  expect(weights.length).toBe(new Set(weights).size);
  expect(host.requests.filter((path) => path.endsWith("model.gguf"))).toHaveLength(1);
});

test("a page of one's own is isolated by isolate.js, and a switch turns that off", async ({
  page,
}) => {
  const folder = await mkdtemp(join(tmpdir(), "loraloom-own-"));
  const { testDir } = test.info().project;
  await copyFile(join(testDir, "../../docs/hosting/isolate.js"), join(folder, "isolate.js"));
  await symlink(join(testDir, "../../www/package/dist"), join(folder, "loraloom"));
  await symlink(join(dist, "library"), join(folder, "library"));
  await writeFile(
    join(folder, "index.html"),
    `<!doctype html><link rel="icon" href="data:,"><script src="isolate.js"></script><p></p><script type="module">
      import { LoraLoom } from "./loraloom/index.js";
      const { device } = await LoraLoom.inspect({ registryUrl: "library/registry.json" });
      document.querySelector("p").textContent = String(device.threads > 1);
    </script>`,
  );
  host = new Host(folder, { isolated: false });
  await host.start();
  const threaded = page.locator("p");
  for (const [search, expected] of [
    ["", "true"],
    ["?isolation=off", "false"],
    ["", "false"],
    ["?isolation=on", "true"],
    ["", "true"],
  ] as const) {
    await page.goto(host.url + search);
    await expect(threaded).toHaveText(expected);
  }
  await rm(folder, { recursive: true });
});

test("the page can be installed", async ({ page, context }) => {
  await startHost(true);
  await visit(page);
  const session = await context.newCDPSession(page);
  const { errors, manifest } = await session.send("Page.getAppManifest");
  expect(errors).toEqual([]);
  expect(manifest).toMatchObject({ startUrl: host.url, scope: host.url });
  const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
  // A test's context has no profile to install into.
  expect(installabilityErrors.map(({ errorId }) => errorId)).toEqual(["in-incognito"]);
});
