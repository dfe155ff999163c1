// Starts the browsers of the test, each behind the same few functions: `visit(url)`, `evaluate(function, ...values)`,
// which runs a function in the page and resolves to what it returns, and `close()`.

import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";

const { launch } = createRequire(new URL("../../pkg-scripts/", import.meta.url))("puppeteer-core");

/** Seconds in which a browser starts, and in which a call within a page ends. */
const START_SECONDS = 30;
const CALL_SECONDS = 120;

/** The path of a program; null where there is none. */
function findProgram(name) {
  const paths = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name));
  return paths.find(existsSync) ?? null;
}

/** A port that is free. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "localhost", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Waits until `attempt` no longer throws. */
export async function retry(attempt, seconds = START_SECONDS) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** A browser that Puppeteer drives. */
async function startWithPuppeteer(options) {
  const browser = await launch({
    headless: true,
    protocolTimeout: CALL_SECONDS * 1000,
    ...options,
  });
  // Firefox opens an isolated page in another tab of the protocol, and closes the one before.
  const lastPage = async () => (await browser.pages()).at(-1);
  return {
    version: (await browser.version()).replace(/^[^/]*\//, ""),
    visit: async (url) => (await lastPage()).goto(url),
    evaluate: async (work, ...values) => (await lastPage()).evaluate(work, ...values),
    close: () => browser.close(),
  };
}

function startChromium() {
  return startWithPuppeteer({
    browser: "chrome",
    executablePath: process.env.CHROMIUM ?? findProgram("chromium"),
    args: ["--no-sandbox", "--disable-background-networking"],
  });
}

function startFirefox() {
  return startWithPuppeteer({ browser: "firefox", executablePath: findFirefox() });
}

const findFirefox = () =>
  process.env.FIREFOX ?? findProgram("firefox-esr") ?? findProgram("firefox");

/** WebKitGTK's small browser, which its driver starts. */
function findMiniBrowser() {
  const found = (folder) => {
    try {
      return readdirSync(folder).map((name) => join(folder, name));
    } catch {
      return [];
    }
  };
  return (
    found("/usr/lib")
      .flatMap(found)
      .filter((folder) => folder.includes("webkit2gtk-4."))
      .map((folder) => join(folder, "MiniBrowser"))
      .find(existsSync) ?? null
  );
}

/** WebKit, by the protocol of W3C WebDriver, on a display of its own. */
async function startWebKit(environment) {
  const display = spawn("Xvfb", ["-displayfd", "3", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const started = [display];
  const close = () => {
    for (const child of started.reverse()) child.kill();
  };
  try {
    const [number] = await new Promise((resolve, reject) => {
      display.stdio[3].once("data", (text) => resolve(String(text).trim().split("\n")));
      display.once("error", reject);
      display.once("exit", (code) => reject(new Error(`Xvfb ended with ${code}`)));
    });
    const port = await freePort();
    const driver = spawn("WebKitWebDriver", [`--port=${port}`], {
      stdio: "ignore",
      env: {
        ...process.env,
        ...environment,
        DISPLAY: `:${number}`,
        WEBKIT_DISABLE_COMPOSITING_MODE: "1",
        // Its sandbox does not start for root.
        ...(process.getuid?.() === 0 && { WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" }),
      },
    });
    started.push(driver);
    const call = async (method, path, body) => {
      const response = await fetch(`http://localhost:${port}${path}`, {
        method,
        ...(body && { body: JSON.stringify(body) }),
      });
      const { value } = await response.json();
      if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
      return value;
    };
    await retry(() => call("GET", "/status"));
    const { sessionId, capabilities } = await call("POST", "/session", {
      capabilities: {
        alwaysMatch: {
          "webkitgtk:browserOptions": { binary: findMiniBrowser(), args: ["--automation"] },
          timeouts: { script: CALL_SECONDS * 1000 },
        },
      },
    });
    const session = `/session/${sessionId}`;
    return {
      version: capabilities.browserVersion,
      visit: (url) => call("POST", `${session}/url`, { url }),
      async evaluate(work, ...values) {
        const script = `const done = arguments[arguments.length - 1];
          Promise.resolve((${work})(...arguments[0]))
            .then((value) => done({ value }), (error) => done({ error: String(error) }));`;
        const { value, error } = await call("POST", `${session}/execute/async`, {
          script,
          args: [values],
        });
        if (error) throw new Error(error);
        return value;
      },
      async close() {
        await call("DELETE", session).catch(() => undefined);
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

const NO_WEBKIT = "webkit2gtk-driver and xvfb are not installed";
const missingWebKit = () =>
  findProgram("WebKitWebDriver") && findProgram("Xvfb") && findMiniBrowser() ? null : NO_WEBKIT;

/**
 * The browsers, with what each has. `missing()` is why one cannot be started, or null. `shares` is whether its isolated
 * pages can share memory with threads.
 */
export const BROWSERS = [
  { name: "Chromium", shares: true, simd: "relaxed", missing: () => null, start: startChromium },
  {
    name: "Firefox",
    shares: true,
    simd: "relaxed",
    missing: () => (findFirefox() ? null : "firefox-esr is not installed"),
    start: startFirefox,
  },
  {
    name: "WebKitGTK",
    shares: true,
    simd: "simd128",
    missing: missingWebKit,
    start: () => startWebKit({ JSC_useSharedArrayBuffer: "1" }),
  },
  {
    name: "WebKitGTK without SharedArrayBuffer",
    shares: false,
    simd: "simd128",
    missing: missingWebKit,
    start: () => startWebKit({}),
  },
];
