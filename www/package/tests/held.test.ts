// Learning beside modules that are held.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { WorkerRequest } from "../src/protocol.js";
import { localWorker, open } from "./local-worker.js";
import { serveLibrary } from "./server.js";

beforeEach(() => serveLibrary());
afterEach(() => vi.unstubAllGlobals());

test("modules that are held are loaded first, and passed to the engine with the other options", async () => {
  const requests: WorkerRequest[] = [];
  const createWorker = () => {
    const worker = localWorker();
    const post = worker.postMessage.bind(worker);
    worker.postMessage = (message) => {
      if ("request" in message) requests.push(message.request);
      post(message);
    };
    return worker;
  };
  const loom = await open({ createWorker });
  const held = [{ id: "two", weight: -0.5 }];
  await loom.learn({
    examples: [{ input: "a", output: "b" }],
    modules: ["one"],
    options: { held, budget: 9 },
  });
  const [load, learn] = requests.slice(-2);
  expect(load).toMatchObject({ kind: "loadModules", ids: ["one", "two"] });
  expect(learn).toMatchObject({ kind: "learn", modules: ["one"], options: { held, budget: 9 } });
  expect(loom.defaults.held).toEqual([]);
});
