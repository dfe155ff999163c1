// The mix as a PEFT adapter: its archive, and a mix that is none.

import { unzipSync } from "fflate";
import { afterEach, expect, test, vi } from "vitest";
import { toggleMute } from "../src/state/workbench/faders.js";
import { openPage, showComposition } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

const bytesOf = (text: string) => new TextEncoder().encode(text);

test("an archive holds the folder of the mix as it is heard, with its modules loaded", async () => {
  const page = await openPage();
  const { bench, client, take } = page;
  const exported = vi.fn(async () => ({ config: bytesOf("{}"), weights: bytesOf("weights") }));
  client.exportAdapter = exported;
  const modules = ["one", "two"].map((id) => ({ id, weight: 0.5 }));
  showComposition(page, { modules, merge: "delta" });
  bench.update((now) => toggleMute(now, "two"));
  const archive = await take.adapterArchive("Find the job, in Français");
  expect(client.calls).toContain("loadModules one,two");
  expect(exported).toHaveBeenCalledWith({
    modules: [
      { id: "one", weight: 0.5 },
      { id: "two", weight: 0 },
    ],
    merge: "delta",
  });
  const files = unzipSync(new Uint8Array((await archive?.arrayBuffer()) ?? new ArrayBuffer(0)));
  expect(files).toEqual({
    "find-the-job-in-francais/adapter_config.json": bytesOf("{}"),
    "find-the-job-in-francais/adapter_model.safetensors": bytesOf("weights"),
  });
});

test("a mix that is no adapter gives the engine's reason", async () => {
  const page = await openPage();
  page.client.exportAdapter = () => Promise.reject(new Error("every weight is 0"));
  showComposition(page, { modules: [], merge: "delta" });
  await expect(page.take.adapterArchive("")).rejects.toThrow("every weight is 0");
});

test("a folder has a name in any script, and one without letters too", async () => {
  const { take } = await openPage();
  expect(take.adapterName("“Größe” → 大小!")).toBe("große-大小");
  expect(take.adapterName("→")).toBe("mix");
});
