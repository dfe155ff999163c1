// After a trap the engine's memory is in an unknown state: nothing calls it again, and the first error is the one that
// is reported.

import { describe, expect, test, vi } from "vitest";
import { keepFirstTrap } from "../src/worker/first-trap.js";
import { startWorker } from "../src/worker/serve.js";
import type { WorkerSession } from "../src/worker/session.js";

const trap = new WebAssembly.RuntimeError("unreachable");

/** Exports of an engine, each of which notes that it was called. */
function engine() {
  const called: string[] = [];
  class Load {
    static ofGguf() {
      called.push("ofGguf");
      return new Load();
    }
    free() {
      called.push("free");
      throw new Error("attempted to take ownership of Rust value while it was borrowed");
    }
    push(fails: boolean) {
      called.push("push");
      if (fails) throw trap;
    }
    async learn(error: Error | null) {
      called.push("learn");
      if (error) throw error;
      return 7;
    }
  }
  const version = () => {
    called.push("version");
    return 1;
  };
  const memoryBytes = () => 65536;
  return { called, exports: { Load, version, memoryBytes, text: "as it is" } };
}

describe("keepFirstTrap", () => {
  test("before a trap, exports do what they do", async () => {
    const { exports, called } = engine();
    const { module } = keepFirstTrap(exports);
    const load = module.Load.ofGguf();
    load.push(false);
    expect(await load.learn(null)).toBe(7);
    expect([module.version(), module.text]).toEqual([1, "as it is"]);
    expect(() => new module.Load().free()).toThrow("take ownership");
    await expect(load.learn(new Error("refused"))).rejects.toThrow("refused");
    expect(module.version()).toBe(1);
    expect(called).toEqual(["ofGguf", "push", "learn", "version", "free", "learn", "version"]);
  });

  test("after one, no export is called, and a clean-up does not take its place", async () => {
    const { exports, called } = engine();
    const { module } = keepFirstTrap(exports, (name) => name === "memoryBytes");
    const load = new module.Load();
    const failing = () => {
      try {
        load.push(true);
      } catch (error) {
        load.free();
        throw error;
      }
    };
    expect(failing).toThrow(trap);
    expect(() => load.push(false)).toThrow(trap);
    expect(() => load.learn(null)).toThrow(trap);
    expect(() => module.version()).toThrow(trap);
    expect(() => new module.Load()).toThrow(trap);
    expect(module.memoryBytes()).toBe(65536);
    expect(called).toEqual(["push"]);
  });

  test("a trap that comes later than its call, or that no call could catch, counts too", async () => {
    const late = engine();
    const first = keepFirstTrap(late.exports).module;
    await expect(new first.Load().learn(trap)).rejects.toBe(trap);
    expect(() => first.version()).toThrow(trap);

    const uncaught = engine();
    const { module, onTrap } = keepFirstTrap(uncaught.exports);
    const load = new module.Load();
    onTrap(trap);
    onTrap(new WebAssembly.RuntimeError("a later one"));
    expect(() => load.push(false)).toThrow(trap);
    expect(uncaught.called).toEqual([]);
  });
});

test("a trap in memory that is full is reported as out of memory", () => {
  const post = vi.fn();
  const session = { memoryBytes: () => 2 ** 29, isFull: () => true, onTrap: () => undefined };
  startWorker(session as unknown as WorkerSession, post).onUncaught(trap);
  expect(post.mock.calls[0]?.[0]).toMatchObject({
    crashed: {
      code: "out-of-memory",
      why: "It held 537 MB of memory, and the browser did not give it another 68 MB (unreachable).",
      details: { bytes: 2 ** 29 },
    },
  });
});

test("a worker reports its first trap alone, and takes no request after it", async () => {
  const post = vi.fn();
  const onTrap = vi.fn();
  const session = {
    memoryBytes: () => 65536,
    isFull: () => false,
    onTrap,
  } as unknown as WorkerSession;
  const { onUncaught, receive } = startWorker(session, post);
  expect(onUncaught(new Error("no trap"))).toBe(false);
  expect(onUncaught(trap)).toBe(true);
  expect(onUncaught(new WebAssembly.RuntimeError("null pointer"))).toBe(true);
  await receive({ id: 1, request: { kind: "memoryBytes" } });
  expect(post).toHaveBeenCalledOnce();
  expect(post.mock.calls[0]?.[0]).toMatchObject({
    crashed: { code: "internal", details: { reason: "unreachable" } },
  });
  expect(onTrap).toHaveBeenCalledExactlyOnceWith(trap);
});
