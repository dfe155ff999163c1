// The packed npm package in frameworks that render pages on a server and build them for browsers, each with the settings
// that it has from the start. Each page imports the package in both places, and learns in the browser.

import { spawn } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "@playwright/test";
import { learns, library, namesNoFolder, program, run, work, works } from "./workspace";

const QUIET = { NEXT_TELEMETRY_DISABLED: "1", ASTRO_TELEMETRY_DISABLED: "1" };

test("Next builds and serves it (app router)", async ({ page }) => {
  const root = join(work, "next");
  cpSync(library, join(root, "public/library"), { recursive: true });
  await run(program("next"), ["build"], { cwd: root, env: QUIET });
  namesNoFolder(join(root, ".next/static"));
  const server = spawn(program("next"), ["start", "--port", "0"], {
    cwd: root,
    env: { ...process.env, ...QUIET },
  });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let printed = "";
      const listen = (text: Buffer) => {
        printed += text;
        const [address] = /http:\/\/localhost:\d+/.exec(printed) ?? [];
        if (address && printed.includes("Ready")) resolve(address);
      };
      server.stdout.on("data", listen);
      server.stderr.on("data", listen);
      server.on("exit", () => reject(new Error(printed)));
    });
    await learns(page, url, true);
  } finally {
    server.kill();
  }
});

test("SvelteKit renders and builds it", async ({ page }) => {
  const root = join(work, "sveltekit");
  await run(program("vite"), ["build"], { cwd: root });
  namesNoFolder(join(root, "build"));
  await works(page, join(root, "build"), true);
});

test("Astro renders and builds it", async ({ page }) => {
  const root = join(work, "astro");
  await run(program("astro"), ["build"], { cwd: root, env: QUIET });
  namesNoFolder(join(root, "dist"));
  await works(page, join(root, "dist"), true);
});
