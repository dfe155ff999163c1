// The built site on the hosts of docs/hosting.md, with their ready files, under a sub-path where the host allows one:
// types, compression, parts of files, the headers, and a learning run in the browser.

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import {
  CLOUDFLARE_FILE,
  caddy,
  githubPages,
  headersFile,
  isInstalled,
  nginx,
  readyFile,
  underPath,
  withoutIsolation,
} from "./hosts";
import type { Host } from "./servers";
import { errorsOf, work, www } from "./workspace";

const site = join(www, "dist");
const asset = (ending: string) =>
  `assets/${readdirSync(join(site, "assets")).find((name) => name.endsWith(ending))}`;

/** What a host has to send of the site at an address. */
async function checkFiles(url: string): Promise<void> {
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(url + path, { headers: { "Accept-Encoding": "gzip", ...headers } });

  const wasm = await get(asset(".wasm"));
  expect(wasm.headers.get("content-type")).toBe("application/wasm");
  expect(wasm.headers.get("content-encoding")).toBe("gzip");
  expect(wasm.headers.get("vary")).toContain("Accept-Encoding");
  expect(new Uint8Array(await wasm.arrayBuffer()).subarray(0, 4)).toEqual(
    new TextEncoder().encode("\0asm"),
  );

  const script = await get(asset(".js"));
  expect(script.headers.get("content-type")).toMatch(/^(text|application)\/javascript\b/);
  expect(script.headers.get("content-encoding")).toBe("gzip");
  const registry = await get("library/registry.json");
  expect(registry.headers.get("content-encoding")).toBe("gzip");
  const manifest = await get("manifest.webmanifest");
  expect(manifest.headers.get("content-type")).toContain("application/manifest+json");

  const whole = new Uint8Array(await (await get("library/base/model.gguf")).arrayBuffer());
  const part = await get("library/base/model.gguf", { Range: "bytes=1000-1999" });
  expect(part.status).toBe(206);
  expect(part.headers.get("content-range")).toBe(`bytes 1000-1999/${whole.length}`);
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(whole.subarray(1000, 2000));

  expect((await get("library/none")).status).toBe(404);
}

/** What a ready file has to add. */
async function checkHeaders(url: string): Promise<void> {
  for (const path of ["", asset(".js"), "library/registry.json"]) {
    const { headers } = await fetch(url + path);
    expect(headers.get("x-content-type-options"), path).toBe("nosniff");
    expect(headers.get("cross-origin-resource-policy"), path).toBe("cross-origin");
    expect(headers.get("content-security-policy"), path).toContain("default-src 'none'");
    const isHashed = path.startsWith("assets/");
    expect(headers.get("cache-control")?.includes("immutable"), path).toBe(isHashed);
  }
}

/** Learns the site's first task, with threads: by the host's headers, or by those that the service worker adds. */
async function learns(page: Page, url: string, isolated: boolean): Promise<void> {
  const errors = errorsOf(page);
  let loads = 0;
  page.on("domcontentloaded", () => loads++);
  await page.goto(url);
  // The page reloads itself once, if nothing was done there, which the test's calls count as.
  if (!isolated) await expect.poll(() => loads).toBe(2);
  await page.waitForFunction(() => crossOriginIsolated);
  await page.locator("#task").getByRole("button", { name: "Learn this task" }).click();
  await expect(page.getByTestId("learn-status")).toContainText("Learned in");
  await page.locator(".facts > summary").click();
  await expect(page.getByTestId("device")).toContainText(/\b([2-9]|\d\d) threads/);
  expect(errors).toEqual([]);
}

/** Checks something at the address of a host, and closes it. */
async function withHost(start: Promise<Host>, check: (url: string) => Promise<void>) {
  const { url, close } = await start;
  try {
    await check(url);
  } finally {
    await close();
  }
}

const servers = { nginx: [nginx, "nginx.conf"], Caddy: [caddy, "Caddyfile"] } as const;
for (const [name, [start, file]] of Object.entries(servers)) {
  test(`${name} serves it under a sub-path with the ready file`, async ({ page }) => {
    test.skip(!isInstalled(name.toLowerCase()), `${name} is not installed`);
    await withHost(start(underPath(work, "loom", site), readyFile(file)), async (url) => {
      await checkFiles(`${url}loom/`);
      await checkHeaders(`${url}loom/`);
      const { headers } = await fetch(`${url}loom/`);
      expect(headers.get("cross-origin-embedder-policy")).toBe("require-corp");
      await learns(page, `${url}loom/`, true);
    });
  });

  test(`${name} serves it without the headers that isolate`, async ({ page }) => {
    test.skip(!isInstalled(name.toLowerCase()), `${name} is not installed`);
    const text = withoutIsolation(readyFile(file));
    await withHost(start(underPath(work, "loom", site), text), async (url) => {
      const { headers } = await fetch(`${url}loom/`);
      expect(headers.get("cross-origin-embedder-policy")).toBeNull();
      await learns(page, `${url}loom/`, false);
    });
  });
}

test("a host with the behaviour of GitHub Pages serves it under a sub-path", async ({ page }) => {
  await withHost(githubPages(underPath(work, "loom", site)), async (url) => {
    await checkFiles(`${url}loom/`);
    await learns(page, `${url}loom/`, false);
  });
});

test("a host that reads _headers, as Netlify and Cloudflare Pages, serves it", async ({ page }) => {
  for (const file of readdirSync(site, { recursive: true, encoding: "utf8" })) {
    expect(statSync(join(site, file)).size, file).toBeLessThanOrEqual(CLOUDFLARE_FILE);
  }
  await withHost(headersFile(site), async (url) => {
    await checkFiles(url);
    await checkHeaders(url);
    const { headers } = await fetch(url);
    expect(headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    await learns(page, url, true);
  });
});
