// The workflow in the page, and losses by the package alone.

/** Seconds in which any one step of the workflow ends. */
const STEP_SECONDS = 60;
/** Seconds in which the page's service worker starts and reloads the page. */
const UNTOUCHED_SECONDS = 5;
/** How often each input is repeated in the examples that are timed, which makes some 200 tokens of it. */
const LONG_INPUT_REPEATS = 32;
/** Turns of which the fastest counts, for the times. */
const TIMED_TURNS = 20;

/** Waits until `work` in the page returns something true, and resolves to it. */
async function until(browser, what, work, ...values) {
  const end = Date.now() + STEP_SECONDS * 1000;
  for (;;) {
    // A page that reloads ends the call.
    const found = await browser.evaluate(work, ...values).catch((error) => {
      if (Date.now() > end) throw error;
    });
    if (found) return found;
    if (Date.now() > end) {
      const shown = await browser.evaluate(() => document.body.textContent.slice(0, 2000));
      throw new Error(`no ${what} within ${STEP_SECONDS} s; the page shows:\n${shown}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Presses the button in `region` whose text begins with `text`, once it can be pressed. */
const press = (browser, region, text) =>
  until(
    browser,
    `button ${text}`,
    (region, text) => {
      const buttons = [...document.querySelectorAll(`${region} button`)];
      const button = buttons.find(
        (button) => button.textContent.trim().startsWith(text) && !button.disabled,
      );
      button?.click();
      return button !== undefined;
    },
    region,
    text,
  );

/** Waits until the element with a test id has a text that matches, and resolves to the text. */
const textOf = (browser, id, pattern) =>
  until(
    browser,
    `text like ${pattern} in ${id}`,
    (id, pattern) => {
      const text = document.querySelector(`[data-testid=${id}]`)?.textContent ?? "";
      return new RegExp(pattern).test(text) && text;
    },
    id,
    pattern,
  );

/** Waits until answers and ticks are those of the mix that is shown. */
const settled = (browser) =>
  until(
    browser,
    "end of what follows learning",
    () =>
      document.querySelector(".sides")?.getAttribute("aria-busy") === "false" &&
      !document.querySelector("[data-testid=verdict]")?.textContent.includes("Checking"),
  );

/** What the base and the mix answer to an input. */
async function answers(browser, input) {
  await browser.evaluate((input) => {
    const field = document.querySelector("[data-testid=input]");
    field.value = input;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }, input);
  await press(browser, "#result", "Answer");
  return until(
    browser,
    "answers",
    (label) => {
      const groups = [...document.querySelectorAll("#result [role=group]")];
      const group = groups.find((group) => group.getAttribute("aria-label") === label);
      return (
        group?.getAttribute("aria-busy") === "false" &&
        ["base", "composed"].map(
          (side) => document.querySelector(`[data-testid=answer-${side}]`)?.textContent,
        )
      );
    },
    `Answers to ${input}`,
  );
}

/**
 * Opens the page until its service worker has isolated it. It reloads the page only while nothing was done there, which
 * a driver's calls count as, so the page is left alone for a while.
 */
async function openIsolated(browser, url) {
  const end = Date.now() + STEP_SECONDS * 1000;
  for (;;) {
    // The page's own reload ends both calls.
    await browser.visit(url).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, UNTOUCHED_SECONDS * 1000));
    if (await browser.evaluate(() => crossOriginIsolated).catch(() => false)) return;
    if (Date.now() > end) throw new Error(`the page is not isolated within ${STEP_SECONDS} s`);
  }
}

/**
 * Opens the page, learns a task, answers, runs the test, and opens the link of what was learned.
 *
 * @param isolated whether the host isolates the page; otherwise its service worker does
 */
export async function runPage(browser, url, isolated) {
  if (isolated) await browser.visit(url);
  else await openIsolated(browser, url);
  await until(browser, "tasks", () => document.querySelectorAll("#tasks button").length > 1);
  await browser.evaluate(() => document.querySelectorAll("#tasks button")[1].click());
  await press(browser, "#task", "Learn");
  await textOf(browser, "learn-status", "Learned in");
  await settled(browser);
  await press(browser, "#result", "Another input");
  const input = await until(
    browser,
    "input",
    () => document.querySelector("[data-testid=input]").value,
  );
  const first = await answers(browser, input);
  await press(browser, "#result", "Run the test");
  const scores = [];
  for (const side of ["base", "composed"]) {
    scores.push(await textOf(browser, `score-${side}`, "^\\d+(\\.\\d)? % \\(\\d+ of \\d+\\)$"));
  }
  await browser.evaluate(() => {
    for (const summary of document.querySelectorAll("#share summary, .facts > summary")) {
      if (/What the link says/.test(summary.textContent) || summary.matches(".facts > *")) {
        summary.click();
      }
    }
  });
  const link = await until(browser, "link", () => {
    const fields = [...document.querySelectorAll("#share input, #share textarea")];
    return fields.map(({ value }) => value).find((value) => /^http/.test(value));
  });
  const device = await textOf(browser, "device", "thread");

  // As for someone else: a mix of one's own would be opened as that.
  await browser.evaluate(() => {
    localStorage.clear();
    sessionStorage.clear();
  });
  await browser.visit("about:blank");
  await browser.visit(link);
  await textOf(browser, "learn-status", "Opened from a shared link");
  await settled(browser);
  const again = await answers(browser, input);
  if (`${again}` !== `${first}`) {
    throw new Error(`the link answers ${again}, and what was learned ${first}`);
  }
  return { device, result: { link: new URL(link).hash, scores, answers: first } };
}

/**
 * Learns by the package alone, on a page that no service worker isolates.
 *
 * @param threads the numbers of threads to learn with, in this order; null for one per core
 * @returns for each number of threads the device, and what was learned with all losses
 */
export async function runPackage(browser, url, threads) {
  await browser.visit(`${url}library/none`);
  return browser.evaluate(async (threads) => {
    const { LoraLoom } = await import(new URL("/package/index.js", location.href).href);
    const runs = [];
    for (const number of threads) {
      const loom = await LoraLoom.open({
        registryUrl: "/library/registry.json",
        ...(number === null ? {} : { threads: number }),
      });
      const [{ examples }] = loom.registry.tasks;
      await loom.loadModules(loom.fittingModules());
      const losses = [];
      const learned = await loom.learn({
        examples,
        onEvaluation: ({ loss }) => losses.push(loss),
      });
      const { input } = examples[0];
      const scored = await loom.score({ examples, composition: learned });
      const { text } = await loom.generate({ input, composition: learned });
      const { build, threads: started, reason } = loom.device;
      runs.push({
        device: { build, threads: started, reason },
        isolated: crossOriginIsolated,
        cores: navigator.hardwareConcurrency,
        result: {
          loss: learned.loss,
          losses,
          examples: scored.examples.map(({ loss }) => loss),
          weights: learned.modules.map(({ weight }) => weight),
          text,
        },
      });
      loom.dispose();
    }
    return runs;
  }, threads);
}

/**
 * How many times as fast as one thread two are, on losses of five long examples: the fastest of turns of both. On the
 * demo's few words, threads wait for each other.
 */
export async function timeThreads(browser, url) {
  await browser.visit(`${url}library/none`);
  return browser.evaluate(
    async (turns, inputRepeats) => {
      const { LoraLoom } = await import(new URL("/package/index.js", location.href).href);
      const timed = [];
      for (const threads of [1, 2]) {
        const loom = await LoraLoom.open({ registryUrl: "/library/registry.json", threads });
        timed.push({ loom, milliseconds: Number.POSITIVE_INFINITY });
      }
      const [{ examples }] = timed[0].loom.registry.tasks;
      const long = examples.map((example) => ({
        ...example,
        input: Array(inputRepeats).fill(example.input).join(" "),
      }));
      for (let turn = 0; turn < turns; turn += 1) {
        for (const one of timed) {
          const started = performance.now();
          await one.loom.score({ examples: long, composition: null });
          one.milliseconds = Math.min(one.milliseconds, performance.now() - started);
        }
      }
      for (const { loom } of timed) loom.dispose();
      return timed[0].milliseconds / timed[1].milliseconds;
    },
    TIMED_TURNS,
    LONG_INPUT_REPEATS,
  );
}
