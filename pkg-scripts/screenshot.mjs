// Takes the README's picture: the default task in Chromium, learned and tested.
//
//   node pkg-scripts/screenshot.mjs [FILE]      (www/site/screenshot.webp unless named)
//
// Build the site first. CHROMIUM names the browser where it is not /usr/bin/chromium.
import { writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

const SIZE = { width: 1280, height: 840 };
const QUALITY = 0.9;

const www = join(dirname(fileURLToPath(import.meta.url)), "../www");
const file = resolve(process.argv[2] ?? join(www, "site/screenshot.webp"));
const { url, close } = await serve(join(www, "dist"), { port: 0 });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage({
  viewport: SIZE,
  colorScheme: "light",
  reducedMotion: "reduce",
});
page.setDefaultTimeout(600_000);
await page.goto(url);
await page.getByRole("button", { name: "Learn this task" }).click();
await page.getByTestId("learn-status").getByText("Learned in").waitFor();
await page.locator('.sides[aria-busy="false"]').waitFor();
await page.getByRole("button", { name: /^Run the test/ }).click();
await page.getByTestId("score-composed").getByText("%").waitFor();
// Nothing is hovered or focused in the picture.
await page.mouse.move(0, 0);
await page.evaluate(() => {
  document.activeElement?.blur();
  scrollTo(0, 0);
});
const png = await page.screenshot();
const webp = await page.evaluate(
  async ([base64, quality]) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    canvas.getContext("2d").drawImage(picture, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/webp", quality });
    let text = "";
    for (const byte of new Uint8Array(await blob.arrayBuffer())) text += String.fromCharCode(byte);
    return btoa(text);
  },
  [png.toString("base64"), QUALITY],
);
const bytes = Buffer.from(webp, "base64");
writeFileSync(file, bytes);
console.log(`   ${file}: ${Math.round(bytes.length / 1000)} kB`);
await browser.close();
await close();
