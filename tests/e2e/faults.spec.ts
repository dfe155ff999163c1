// The fault matrix of docs/reliability.md: every call under every fault ends in its right result or in an error that
// says what happened, and the same call after it gives the right result.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import type { LoraLoomError } from "../../www/package/src/index.js";
import {
  CALLS,
  type Call,
  type Cell,
  type Injected,
  installCells,
  type Moment,
  type Outcome,
} from "./fault-cells.js";
import { LAUNCH_OPTIONS, SOFTWARE_GPU } from "./launch.js";
import { expect, openPackage, test } from "./support.js";

// The engine reports its panics, and the browser scripts that are missing and devices that are lost.
test.use({
  expectErrors: /./,
  // For the one with a device.
  launchOptions: { ...LAUNCH_OPTIONS, args: [...LAUNCH_OPTIONS.args, ...SOFTWARE_GPU] },
});

interface Fault {
  /** When it begins. */
  moment: Moment;
  /** What is injected. */
  inject: (call: Call) => Injected;
  device?: "webgpu";
}

/** The exports within which each call traps, once they have done their work. */
const TRAPS: Record<Call, string> = {
  inspect: "^parseRegistry$",
  open: "^baseload_push$",
  add: "^session_addModule$",
  // These continue in later turns of the worker, where no promise carries the trap.
  learn: "invoke",
  generate: "invoke",
  test: "invoke",
  suggest: "^session_suggest$",
  restore: "^session_finishBase$",
};

const beforeCall = (kind: string): Fault => ({ moment: "call", inject: () => ({ kind }) });
const onVisitBefore = (kind: string): Fault => ({
  moment: "visit before",
  inject: () => ({ kind }),
});

/** Those of the page's own calls; "second tab" has two pages. */
const FAULTS: Record<string, Fault> = {
  trap: { moment: "call", inject: (call) => ({ kind: "trap", within: TRAPS[call] }) },
  "out of memory": beforeCall("out of memory"),
  "worker script gone": beforeCall("script gone"),
  "helper thread dies": beforeCall("helper thread dies"),
  offline: beforeCall("offline"),
  quota: { moment: "start", inject: () => ({ kind: "quota" }) },
  "torn write": onVisitBefore("torn write"),
  "torn description": onVisitBefore("torn description"),
  abort: beforeCall("abort"),
};

const fileOf = (path: string) => readFileSync(join(test.info().project.testDir, path), "utf8");

/** The row of a fault in the documentation: what each call ends in, and within how many seconds. */
function documented(name: string): { cells: string[]; bound: number } {
  const row = fileOf("../../docs/reliability.md")
    .split("\n")
    .find((line) => line.startsWith(`| ${name} |`));
  const [, , , ...cells] = (row ?? "").split("|").map((cell) => cell.trim());
  return {
    cells: cells.slice(0, CALLS.length),
    bound: Number.parseInt(cells[CALLS.length] ?? "", 10),
  };
}

async function openCells(page: Page): Promise<void> {
  await openPackage(page);
  await page.evaluate(installCells, fileOf("faulty-worker.mjs"));
}

const runCell = (page: Page, cell: Cell) => page.evaluate((cell) => window.runCell(cell), cell);

/** What a cell of the table says of a call; the same call after it must give the right result. */
function judged(
  { faulty, after }: { faulty: Outcome; after: Outcome },
  right: string,
  where: string,
): string {
  expect({ where, code: after.code, message: after.message, result: after.result }).toEqual({
    where,
    ...{ code: null, message: [], result: right },
  });
  if (faulty.code === null) {
    expect(faulty.result, where).toBe(right);
    return "answer";
  }
  // Three parts, none of them empty; an abort has the caller's own reason.
  expect(faulty.message.filter(Boolean), where).toHaveLength(faulty.code === "aborted" ? 0 : 3);
  return `\`${faulty.code}\``;
}

/** Runs the row of a fault, and compares it with the documentation. */
async function checkRow(
  name: string,
  page: Page,
  run: (cell: Pick<Cell, "call" | "folder" | "bound">, right: string) => Promise<string>,
): Promise<void> {
  await openCells(page);
  const right = await page.evaluate((calls) => window.runAll(calls), CALLS);
  const { cells, bound } = documented(name);
  const row: string[] = [];
  for (const [index, call] of CALLS.entries()) {
    const cell = { call, folder: `${name} ${call}`, bound };
    row.push(await run(cell, right[index] as string));
  }
  expect(row.join(" | "), `the row of “${name}” in docs/reliability.md`).toBe(cells.join(" | "));
}

for (const [name, { moment, inject }] of Object.entries(FAULTS)) {
  test(`fault: ${name}`, async ({ page }) => {
    await checkRow(name, page, async (cell, right) => {
      const fault = inject(cell.call);
      const found = await runCell(page, { ...cell, moment, fault, device: "wasm" });
      return judged(found, right, `${name}, ${cell.call}`);
    });
  });
}

test("fault: second tab", async ({ page, context }) => {
  const other = await context.newPage();
  await openCells(other);
  await checkRow("second tab", page, async (cell, right) => {
    const both = { ...cell, moment: "call", fault: null, device: "wasm" } as const;
    const found = await Promise.all([runCell(page, both), runCell(other, both)]);
    const cells = new Set(found.map((one) => judged(one, right, `second tab, ${cell.call}`)));
    return [...cells].join(" and ");
  });
});

test("fault: device lost", async ({ page }) => {
  // A lost device is opened again twice, and a software GPU takes a quarter of a minute for the first time.
  const engines: Partial<Record<Call, string>> = {
    ...{ add: "one", learn: "one", generate: "one" },
    ...{ test: "other", suggest: "other" },
  };
  await checkRow("device lost", page, async (cell, right) => {
    const fault = { kind: "device lost" };
    const engine = engines[cell.call];
    const found = await runCell(page, {
      ...{ ...cell, moment: "call", fault, device: "webgpu" },
      ...(engine && { engine }),
    });
    return judged(found, right, `device lost, ${cell.call}`);
  });
});

test("a helper thread that traps within its share of a product ends the call, and the next one answers", async ({
  page,
}) => {
  await openPackage(page);
  const found = await page.evaluate(async (text) => {
    const blob = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const script = new URL("/package/worker.js", location.href).href;
    const restarts: string[] = [];
    const faults = [{ kind: "helper thread traps" }];
    // The demo model: on smaller ones the helper comes too late for a share.
    const loom = await window.loraloom.LoraLoom.open({
      registryUrl: "/library/registry.json",
      threads: 2,
      createWorker: () => {
        const name = JSON.stringify({ script, folder: "traps", faults: faults.splice(0) });
        return new Worker(blob, { type: "module", name }) as never;
      },
      onRestart: ({ code }) => restarts.push(code),
    });
    const { threads } = loom.device;
    const [task] = loom.registry.tasks;
    const input = { examples: task?.examples ?? [], options: { budget: 20 } };
    const learning = loom.learn(input).then(() => null);
    const thrown = (await learning.catch((error) => error)) as LoraLoomError | null;
    const error = thrown && { code: thrown.code, why: thrown.why };
    const { complete } = await loom.learn(input);
    loom.dispose();
    return { threads, error, restarts, complete };
  }, fileOf("faulty-worker.mjs"));
  expect(found).toEqual({
    threads: 2,
    error: { code: "internal", why: expect.stringContaining("unreachable") },
    restarts: ["internal"],
    complete: true,
  });
});
