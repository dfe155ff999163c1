// The page in pictures, compared with those in screens/. The tolerance is for text drawn by another machine: a
// panel that moves by a line, or an answer in another size, is more; a missing tick is less. A mix with fixed
// weights is opened from a link, so that what learning finds changes no picture. After an intended change:
//
//   npm run test:e2e -- --project=isolated --update-snapshots=all screens.spec.ts     (and look at them)

import type { Page } from "@playwright/test";
import { expect, openPackage, openSite, settled, test } from "./support.js";

const DESKTOP = { width: 1280, height: 720 };
const PHONE = { width: 390, height: 844 };

// The package is opened on a page that is missing.
test.use({ expectErrors: /404/ });

/** The fragment of a link to a mix of two modules. */
async function fixedLink(page: Page): Promise<string> {
  await openPackage(page);
  return page.evaluate(async () => {
    const registryUrl = "/library/registry.json";
    const loom = await window.loraloom.LoraLoom.open({ registryUrl });
    const modules = [
      { id: "pick-job", weight: 1 },
      { id: "french", weight: 1.5 },
    ];
    await loom.loadModules(modules.map(({ id }) => id));
    const { title, examples } = loom.registry.tasks[0] ?? { title: "", examples: [] };
    const link = await loom.share({ composition: { modules, merge: "delta" }, title, examples });
    loom.dispose();
    return link;
  });
}

async function compare(page: Page, name: string): Promise<void> {
  await page.evaluate(async () => {
    await document.fonts.ready;
    (document.activeElement as HTMLElement | null)?.blur();
    scrollTo(0, 0);
  });
  await expect(page).toHaveScreenshot(`${name}.png`, {
    maxDiffPixelRatio: 0.01,
    threshold: 0.3,
  });
}

for (const [name, viewport, colorScheme] of [
  ["desktop", DESKTOP, "light"],
  ["desktop-dark", DESKTOP, "dark"],
  ["phone", PHONE, "light"],
  ["phone-dark", PHONE, "dark"],
] as const) {
  test(`as before: ${name}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    await openSite(page);
    await expect(page.locator(".sides.recorded")).toBeVisible();
    await compare(page, `first-${name}`);
    await page.goto(`./#${await fixedLink(page)}`);
    await settled(page);
    await expect(page.getByTestId("verdict")).toContainText("of 5 examples come out right");
    await expect(page.getByRole("button", { name: "Polish", exact: true })).toBeEnabled();
    await compare(page, `opened-${name}`);
  });
}
