// Draws the icons of the web app manifest from the page's mark, into www/site/public/icons.
//
//   node pkg-scripts/icons.mjs
//
// CHROMIUM names the browser where it is not /usr/bin/chromium.
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const folder = join(dirname(fileURLToPath(import.meta.url)), "../www/site/public/icons");
/** The page's ground: an icon may stand on any other. */
const GROUND = "#faf8f4";

/** The mark in a square, with the share of it that the mark fills, and rounded corners or none. */
const icon = (share, radius) => {
  const size = 16 * share;
  const at = (16 - size) / 2;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><title>LoraLoom</title><rect width="16" height="16" rx="${radius}" fill="${GROUND}"/>` +
    `<g transform="translate(${at} ${at}) scale(${share})" stroke-width="3" stroke-linecap="round">` +
    '<path d="M3 2v12M8 2v12M13 2v12" stroke="#838b96"/><path d="M2 6h7M7 10.5h7" stroke="#c2500f"/></g></svg>\n'
  );
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();
async function draw(name, svg, size) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(`<style>body{margin:0}svg{display:block;width:100vw}</style>${svg}`);
  await page.screenshot({ path: join(folder, name), omitBackground: true });
}
const framed = icon(0.72, 3);
writeFileSync(join(folder, "icon.svg"), framed);
await draw("icon-192.png", framed, 192);
await draw("icon-512.png", framed, 512);
// A launcher cuts off up to a fifth at each side.
await draw("maskable-512.png", icon(0.56, 0), 512);
await browser.close();
