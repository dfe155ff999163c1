// What leaves the page: every request of the whole workflow is recorded. None goes to another origin before
// the visitor accepts it, and none has the text of an example, of an input or of an answer in it.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BrowserContext, Request } from "@playwright/test";
import { type Hub, startHub } from "./hub.js";
import {
  acceptOffer,
  answers,
  copyLink,
  expect,
  learn,
  learnButton,
  openSite,
  pasteExamples,
  setBudget,
  test,
} from "./support.js";

/** Words that are in no file of the site, so that a request that has one has it from the page. */
const WORDS = [
  "zubr",
  "quokka",
  "wombatte",
  "okapie",
  "tapirus",
  "ocelotte",
  "numbatte",
  "axolotle",
];
const EXAMPLES = WORDS.slice(0, 5).map((word) => `Find the ${word}: red, ${word}\t${word}`);
const TEST_FILE = WORDS.slice(5, 7).map((word) => `Find the ${word}: red, ${word}\t${word}`);
const INPUT = `Find the ${WORDS[7]}: red, ${WORDS[7]}`;

/** Records every request of a context's pages and of their workers. */
function recordRequests(context: BrowserContext): Request[] {
  const requests: Request[] = [];
  context.on("request", (request) => requests.push(request));
  return requests;
}

/** Those to other origins. What has no host, such as the icon in the page, is no request. */
const toOthers = (requests: Request[], origin: string) =>
  requests
    .map((request) => request.url())
    .filter((url) => /^(https?|wss?):/.test(url) && new URL(url).origin !== origin);

/** Those with a word of the examples, the inputs or the answers in their address, headers or body. */
const withWords = (requests: Request[], words: string[]) =>
  requests.filter((request) => {
    const sent = [
      decodeURIComponent(request.url().replace(/#.*$/, "")),
      JSON.stringify(request.headers()),
      request.postDataBuffer()?.toString() ?? "",
    ].join("\n");
    return words.some((word) => sent.includes(word));
  });

/** The page's own library on another origin. */
async function otherLibrary(): Promise<{ hub: Hub; registry: string; host: string }> {
  const root = join(test.info().project.testDir, "../../www/dist/library");
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const named = files.map((path) => [path.slice(root.length + 1), path]);
  const hub = await startHub({ "other/library": Object.fromEntries(named) });
  const registry = `${hub.url}/other/library/resolve/main/registry.json`;
  return { hub, registry, host: new URL(hub.url).host };
}

const landing = ".landing";

test("the workflow sends nothing to another origin, and no example, input or answer anywhere", async ({
  page,
  context,
  browser,
  baseURL,
}) => {
  const { origin } = new URL(baseURL ?? "");
  const requests = recordRequests(context);
  const sockets: string[] = [];
  page.on("websocket", (socket) => sockets.push(socket.url()));
  await openSite(page);
  await setBudget(page, 16);
  await pasteExamples(page, EXAMPLES);
  await learn(page);
  await answers(page, INPUT);
  await page.locator("#result input[type=file]").setInputFiles({
    name: "pairs.tsv",
    mimeType: "text/tab-separated-values",
    buffer: Buffer.from(TEST_FILE.join("\n")),
  });
  await page.getByRole("button", { name: /^Run the test/ }).click();
  await expect(page.getByTestId("score-composed")).toContainText("of 2)");
  await page.locator("#share summary", { hasText: "What the link says" }).click();
  const before = await copyLink(page, context);
  await page.getByLabel(/Include my \d+ examples/).check();
  await expect(page.getByLabel("Link", { exact: true })).not.toHaveValue(before);
  const link = await copyLink(page, context);

  const fresh = await browser.newContext();
  const opened = recordRequests(fresh);
  const other = await fresh.newPage();
  await other.goto(link);
  await expect(other.getByTestId("learn-status")).toContainText("Opened from a shared link");
  await expect(other.getByTestId("examples")).toContainText(WORDS[0] as string);
  await answers(other, INPUT);
  await fresh.close();

  for (const recorded of [requests, opened]) {
    // Those of the worker are among them.
    expect(recorded.some((one) => one.url().includes("/library/modules/"))).toBe(true);
    expect(toOthers(recorded, origin)).toEqual([]);
    expect(withWords(recorded, WORDS).map((one) => one.url())).toEqual([]);
    expect(recorded.filter((one) => one.method() !== "GET").map((one) => one.url())).toEqual([]);
  }
  expect(sockets).toEqual([]);
});

test("a library of another origin is requested after the click, and the page works without it", async ({
  page,
  context,
  baseURL,
}) => {
  const { origin } = new URL(baseURL ?? "");
  const { hub, registry, host } = await otherLibrary();
  await openSite(page);
  await setBudget(page, 16);
  await learn(page);
  const { hash } = new URL(await copyLink(page, context));

  const requests = recordRequests(context);
  const fresh = await context.newPage();
  await openSite(fresh, `./?${new URLSearchParams({ registry })}${hash}`);
  const accept = fresh.getByRole("button", { name: `Load the library from ${host}` });
  await expect(accept).toBeVisible();
  await expect(fresh.getByTestId("learn-status")).toContainText("Ready");
  // Unanswered, the page learns and shares with its own library.
  await setBudget(fresh, 16);
  await pasteExamples(fresh, EXAMPLES);
  await learn(fresh);
  expect(new URL(await copyLink(fresh, context)).search).toBe("");
  expect(hub.requests).toEqual([]);
  expect(toOthers(requests, origin)).toEqual([]);

  await acceptOffer(fresh);
  await expect(fresh.getByTestId("learn-status")).toContainText("Opened from a shared link");
  expect(new URL(fresh.url()).searchParams.get("registry")).toBe(registry);
  expect(hub.requests.some((line) => line.includes("registry.json"))).toBe(true);
  expect(withWords(requests, WORDS).map((one) => one.url())).toEqual([]);
  // What was typed is still there, and a reload does not ask again.
  await fresh.reload();
  await expect(fresh.getByTestId("learn-status")).toContainText("Opened from a shared link");
  await hub.close();
});

test("a library of another origin that is declined is never requested", async ({ page }) => {
  const { hub, registry, host } = await otherLibrary();
  await openSite(page, `./?${new URLSearchParams({ registry, hub: hub.url })}`);
  await expect(page.locator(landing)).toContainText(`Load the library from ${host}`);
  await page.getByRole("button", { name: "Not now" }).click();
  await expect(page.locator(landing)).toHaveCount(0);
  expect(new URL(page.url()).search).toBe("");
  await page.reload();
  await expect(learnButton(page)).toBeEnabled();
  await expect(page.locator(landing)).toHaveCount(0);
  expect(hub.requests).toEqual([]);

  // The page for frames names the host, and its button is the click.
  await page.goto(`./embed.html?${new URLSearchParams({ registry })}#none`);
  await expect(page.locator("main")).toContainText(`loads the library from ${host}`);
  expect(hub.requests).toEqual([]);
  await page.getByLabel("Input").fill("one");
  await page.goto(`./embed.html?${new URLSearchParams({ registry })}`);
  await expect(page.getByRole("button", { name: `Show tasks from ${host}` })).toBeEnabled();
  expect(hub.requests).toEqual([]);
  await page.goBack();
  await page.getByLabel("Input").fill("one");
  await page.getByRole("button", { name: "Load and answer" }).click();
  await expect.poll(() => hub.requests.length).toBeGreaterThan(0);
  await hub.close();
});
