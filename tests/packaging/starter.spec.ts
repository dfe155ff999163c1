// pkg-scripts/new-site: the three commands that make a page with a library from PEFT folders, with the headers of a
// host and without them.

import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { githubPages, isInstalled, nginx, readyFile, underPath } from "./hosts";
import type { Host } from "./servers";
import { errorsOf, library, run, work, www } from "./workspace";

const newSite = join(__dirname, "../../pkg-scripts/new-site");
/** The command line, built by the tests' script. */
const loraloom = process.env.LORALOOM;

/** Makes a site with three modules and returns its folder. */
async function makeSite(host: string, title: string): Promise<string> {
  const site = join(work, `site-${host}`);
  await run(newSite, [site, "--host", host, "--title", title]);
  const models = join(work, `models-${host}`);
  cpSync(join(library, "base"), join(models, "base"), { recursive: true });
  for (const name of ["french", "pick-job", "smile"]) {
    cpSync(join(library, "modules", name), join(models, "loras", name), { recursive: true });
  }
  const folders = [join(models, "base"), join(models, "loras")];
  await run(String(loraloom), ["registry", "build", "--out", join(site, "library"), ...folders]);
  return site;
}

const examples = readFileSync(join(library, "tasks/pick-job-french.jsonl"), "utf8")
  .split("\n")
  .slice(0, 6)
  .map((line) => JSON.parse(line) as { input: string; output: string });

/** Learns on the site's page, answers, and opens the link. */
async function learns(page: Page, url: string): Promise<void> {
  const errors = errorsOf(page);
  await page.goto(url);
  await page.waitForFunction(() => crossOriginIsolated);
  const element = page.locator("lora-loom");
  for (const [row, { input, output }] of examples.slice(0, 5).entries()) {
    await element.getByLabel(`Input of example ${row + 1}`).fill(input);
    await element.getByLabel(`Output of example ${row + 1}`).fill(output);
  }
  await element.getByRole("button", { name: "Learn" }).click();
  await expect(element.locator("[part=verdict]")).toContainText("Works: about");
  await expect(element.locator("[part=mix]")).toContainText(/french \d/);

  const answer = async () => {
    await element.getByLabel("Input", { exact: true }).fill(examples[5]?.input ?? "");
    const button = element.getByRole("button", { name: "answer" });
    await button.click();
    await expect(element.locator("[part=composed]")).not.toBeEmpty();
    await expect(button).toHaveText("Answer");
    await expect(button).toBeEnabled();
    return element.locator("[part=composed]").textContent();
  };
  const answered = await answer();
  await page.reload();
  expect(await answer()).toBe(answered);
  expect(errors).toEqual([]);
}

const HOSTS: Record<string, (site: string) => Promise<Host>> = {
  "github-pages": async (site) => {
    const { url, close } = await githubPages(underPath(work, "name", site));
    return { url: `${url}name/`, close };
  },
  nginx: (site) => nginx(site, readFileSync(join(site, "nginx.conf"), "utf8")),
};

for (const [name, start] of Object.entries(HOSTS)) {
  test(`a new site for ${name} learns with the modules of PEFT folders`, async ({ page }) => {
    test.skip(!loraloom, "LORALOOM names no command line");
    test.skip(name === "nginx" && !isInstalled(name), `${name} is not installed`);
    const site = await makeSite(name, "Jobs & <French>");
    const { url, close } = await start(site);
    try {
      await learns(page, url);
      await expect(page).toHaveTitle("Jobs & <French>");
    } finally {
      await close();
    }
  });
}

test("a new site has the ready file of its host", async () => {
  const headers = readFileSync(join(www, "site/public/_headers"), "utf8");
  for (const [host, name, text] of [
    ["netlify", "_headers", headers],
    ["cloudflare", "_headers", headers],
    ["caddy", "Caddyfile", readyFile("Caddyfile")],
  ] as const) {
    const site = join(work, `site-${host}`);
    await run(newSite, [site, "--host", host]);
    expect(readFileSync(join(site, name), "utf8")).toBe(text);
  }
});

test("a new site needs a folder of its own and a known host", async () => {
  await expect(run(newSite, [work])).rejects.toThrow("is there already");
  const unknown = run(newSite, [join(work, "site-unknown"), "--host", "attic"]);
  await expect(unknown).rejects.toThrow("There are: github-pages");
});
