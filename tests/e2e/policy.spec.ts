// The Content Security Policy: the whole workflow without a violation, by headers on the isolated host and by the
// page alone on the plain one. Violations in workers reach the console, which every test here watches.

import type { BrowserContext } from "@playwright/test";
import { answers, copyLink, expect, learn, openDetails, openSite, test } from "./support.js";

/** Collects the violations of every page of a context. */
async function watchViolations(context: BrowserContext): Promise<string[]> {
  const violations: string[] = [];
  await context.exposeBinding("onViolation", (_source, text: string) => violations.push(text));
  await context.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      (window as unknown as { onViolation(text: string): void }).onViolation(
        `${event.effectiveDirective} ${event.blockedURI} ${event.sample}`,
      ),
    ),
  );
  return violations;
}

test("the workflow runs under the policy without a violation", async ({ page, context }) => {
  const violations = await watchViolations(context);
  await openSite(page);
  await openDetails(page);
  await page.getByTestId("storage").locator("summary").click();
  await expect(page.getByTestId("offline")).toBeVisible();
  await page.locator("button.term").first().hover();
  await learn(page);
  await expect(page.getByTestId("input")).not.toBeEmpty();
  const input = await page.getByTestId("input").inputValue();
  const { composed } = await answers(page, input);
  await page.getByRole("button", { name: /^Run the test/ }).click();
  await expect(page.getByTestId("score-composed")).toContainText("%");
  const link = await copyLink(page, context);
  const take = page.getByTestId("take");
  await take.locator("summary").click();
  await Promise.all([
    page.waitForEvent("download"),
    take.getByRole("button", { name: "Save as a PEFT adapter (ZIP)" }).click(),
  ]);
  await page.goto(`./embed.html${new URL(link).hash}`);
  await page.getByLabel("Input").fill(input);
  await page.getByRole("button", { name: "Load and answer" }).click();
  await expect(page.locator("lora-loom").getByText(composed, { exact: true })).toBeVisible();
  expect(violations).toEqual([]);
});

test.describe("what the policy forbids", () => {
  test.use({ expectErrors: /Content Security Policy|Trusted|Failed to construct 'Worker'/ });

  test("scripts and styles in markup, evaluated text, workers and scripts of other origins", async ({
    page,
    context,
  }) => {
    const violations = await watchViolations(context);
    await openSite(page);
    const refused = await page.evaluate(async () => {
      const attempts: Record<string, () => unknown> = {
        // As code of the page would: what a test evaluates itself may do more.
        eval: () => new Worker(`data:text/javascript,eval("1")`),
        blob: () => new Worker(URL.createObjectURL(new Blob(["1"]))),
        script: () => {
          document.createElement("script").src = "https://example.org/a.js";
        },
        markup: () => {
          document.createElement("p").innerHTML = "<b>text</b>";
        },
        style: () => {
          const style = document.createElement("style");
          style.textContent = "h1 { color: red }";
          document.head.append(style);
          if (getComputedStyle(document.querySelector("h1") as Element).color !== "rgb(255, 0, 0)")
            throw new Error("no effect");
        },
      };
      return Object.keys(attempts).filter((name) => {
        try {
          attempts[name]?.();
          return false;
        } catch {
          return true;
        }
      });
    });
    expect(refused).toEqual(["eval", "blob", "script", "markup", "style"]);
    await expect.poll(() => violations.length).toBeGreaterThan(3);
  });
});
