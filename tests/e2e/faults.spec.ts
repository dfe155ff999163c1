// The fault matrix of docs/reliability.md: every call under every fault ends in its right result or in an error that
// says what happened, and the same call after it gives the right result.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import {
  CALLS,
  type Call,
  type Cell,
  type Injected,
  installCells,
  type Moment,
} from "./fault-cells.js";
import { expect, openPackage, test } from "./support.js";

// The engine reports its panics, and the browser missing scripts and lost devices.
test.use({ expectErrors: /./ });

/** Seconds in which a call ends, on a busy machine: its own waits take up to 20. */
const BOUND = 90;

interface Fault {
  /** When it begins. */
  moment: Moment;
  /** What is injected, by the call. */
  inject: (call: Call) => Injected;
  /** Whether the call's results may differ from those without a fault: what a GPU computes in f32 does. */
  device?: "webgpu";
}

/** The exports within which each call traps, and the calls of them before. */
const TRAPS: Record<Call, [within: string, calls: number]> = {
  inspect: ["^parseRegistry$", 0],
  open: ["^baseload_push$", 0],
  add: ["^session_addModule$", 0],
  // The calls that go on in later turns of the worker trap where no promise carries the error.
  learn: ["invoke", 0],
  generate: ["invoke", 0],
  test: ["invoke", 0],
  suggest: ["session_suggest", 0],
  restore: ["^session_finishBase$", 0],
};

const always = (kind: string) => () => ({ kind });

const FAULTS: Record<string, Fault> = {
  trap: {
    moment: "call",
    inject: (call) => ({ kind: "trap", within: TRAPS[call][0], calls: TRAPS[call][1] }),
  },
  "out of memory": { moment: "call", inject: always("out of memory") },
  "worker script gone": { moment: "call", inject: always("script gone") },
  "helper thread dies": { moment: "call", inject: always("helper thread dies") },
  offline: { moment: "call", inject: always("offline") },
  quota: { moment: "start", inject: always("quota") },
  "torn write": { moment: "visit before", inject: always("torn write") },
  abort: { moment: "call", inject: always("abort") },
};

/** The results without a fault, once for each process of the tests. */
const EXPECTED = new Map<Call, string>();

/** The result without a fault. */
async function expected(page: Page, call: Call): Promise<string> {
  const known = EXPECTED.get(call);
  if (known !== undefined) return known;
  const cell: Cell = {
    ...{ call, moment: "call", fault: null, bound: BOUND, device: "wasm" },
    folder: `none ${call}`,
  };
  const { faulty, after } = await page.evaluate((cell) => window.runCell(cell), cell);
  expect(faulty.message, call).toEqual([]);
  expect(after.result, call).toBe(faulty.result);
  EXPECTED.set(call, faulty.result as string);
  return faulty.result as string;
}

async function openCells(page: Page): Promise<void> {
  await openPackage(page);
  const worker = join(test.info().project.testDir, "faulty-worker.mjs");
  await page.evaluate(installCells, readFileSync(worker, "utf8"));
}

for (const [name, { moment, inject }] of Object.entries(FAULTS)) {
  test(`fault: ${name}`, async ({ page }) => {
    await openCells(page);
    const row: string[] = [];
    for (const call of CALLS) {
      const right = await expected(page, call);
      const cell: Cell = {
        ...{ call, moment, fault: inject(call), bound: BOUND, device: "wasm" },
        folder: `${name} ${call}`,
      };
      const { faulty, after } = await page.evaluate((cell) => window.runCell(cell), cell);
      console.log(
        name,
        call,
        JSON.stringify({
          ...faulty,
          result: faulty.result?.slice(0, 80),
          same: faulty.result === right,
        }),
        after.code ?? after.result === right,
        after.message.join(" "),
        after.seconds.toFixed(1),
      );
      row.push(faulty.code ?? (faulty.result === right ? "answer" : "wrong"));
    }
    console.log(name, row.join(" | "));
  });
}
