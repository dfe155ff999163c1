// One engine for several elements of a page.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LoraLoom } from "../src/client.js";
import type { WorkerLike } from "../src/link.js";
import { SharedLoom } from "../src/shared-loom.js";
import { FakeSession } from "./fake-session.js";
import { localWorker, workers } from "./local-worker.js";
import { ORIGIN, serveLibrary } from "./server.js";

const registry = `${ORIGIN}registry.json`;
const options = () => ({ createWorker: localWorker, signal: new AbortController().signal });

beforeEach(() => {
  workers.length = 0;
  FakeSession.steps = 5;
  serveLibrary();
});
afterEach(() => vi.unstubAllGlobals());

test("two users have one worker, which ends after the last of them", async () => {
  const [one, two] = [SharedLoom.acquire(registry), SharedLoom.acquire(registry)];
  const looms = await Promise.all([one, two].map((each) => each.run(options(), async (it) => it)));
  expect(looms[0]).toBe(looms[1]);
  expect(workers).toHaveLength(1);
  one.release();
  expect(workers[0]?.ended).toBe(false);
  two.release();
  expect(workers[0]?.ended).toBe(true);
});

test("two answers at once run one after another, and none is refused as busy", async () => {
  const [one, two] = [SharedLoom.acquire(registry), SharedLoom.acquire(registry)];
  const order: string[] = [];
  const answer = (user: SharedLoom, name: string) =>
    user.run(options(), async (loom) => {
      order.push(`${name} begins`);
      await loom.load();
      await loom.generate({ input: name });
      order.push(`${name} ends`);
    });
  await Promise.all([answer(one, "one"), answer(two, "two")]);
  expect(order).toEqual(["one begins", "one ends", "two begins", "two ends"]);
  one.release();
  two.release();
});

test("another library has another engine, and a failed start is tried again", async () => {
  const other = SharedLoom.acquire(`${ORIGIN}missing/registry.json`);
  for (const _ of [1, 2]) {
    const failed = other.run(options(), async () => undefined);
    await expect(failed).rejects.toMatchObject({ code: "not-found" });
  }
  const one = SharedLoom.acquire(registry);
  await one.run(options(), async (loom) => expect(loom.registry.bases).not.toEqual([]));
  expect(workers.map(({ ended }) => ended)).toEqual([true, true, false]);
  one.release();
  other.release();
});

test("a user that left runs nothing, and the next one starts anew", async () => {
  const left = new AbortController();
  const one = SharedLoom.acquire(registry);
  left.abort();
  const run = one.run({ ...options(), signal: left.signal }, async () => "ran");
  await expect(run).rejects.toMatchObject({ name: "AbortError" });
  one.release();
  const two = SharedLoom.acquire(registry);
  expect(await two.run(options(), async () => "ran")).toBe("ran");
  two.release();
});

test("an engine that ended is started again by the next user", async () => {
  const one = SharedLoom.acquire(registry);
  const made: WorkerLike[] = [];
  const createWorker = () => made[made.push(localWorker()) - 1] as WorkerLike;
  const run = (work: (loom: LoraLoom) => Promise<unknown>) =>
    one.run({ ...options(), createWorker }, work);
  await run(async (loom) => {
    await loom.load();
    const crashed = { code: "internal", what: "It stopped.", why: "", next: "", details: {} };
    for (let time = 1; time <= 5; time++) {
      made.at(-1)?.onmessage?.({ data: { crashed } } as MessageEvent);
      if (time < 5) await loom.memoryBytes();
    }
    expect(loom.ended).not.toBeNull();
  });
  const { text } = (await run((loom) => loom.generate({ input: "a" }).then())) as { text: string };
  expect(text).not.toBe("");
  one.release();
});
