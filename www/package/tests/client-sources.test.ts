// The client's bases and modules from hosts, from files of this computer, and from links.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { filesSource } from "../src/sources.js";
import { registry, sha256 } from "./fake-library.js";
import { FakeLoad } from "./fake-session.js";
import { open, resetWorkers, stored } from "./local-worker.js";
import { ORIGIN, serveLibrary } from "./server.js";

const examples = [{ input: "a", output: "b" }];

beforeEach(() => {
  resetWorkers();
  serveLibrary();
});
afterEach(() => vi.unstubAllGlobals());

describe("files that the engine refuses", () => {
  test("are not kept: the next try asks the server", async () => {
    let config = "broken";
    const asked = serveLibrary((path) => {
      if (path === "other/adapter_config.json") return new Response(config);
      return path === "other/adapter_model.safetensors" ? new Response("w".repeat(2000)) : null;
    });
    const loom = await open();
    const add = () => loom.addModule("other", `${ORIGIN}other`);
    await expect(add()).rejects.toMatchObject({ why: "Its config is broken." });
    config = "mended";
    expect(await add()).toMatchObject({ id: "other" });
    // A config that was read is kept.
    asked.length = 0;
    await add();
    expect(asked.filter((path) => path.endsWith("config.json"))).toHaveLength(1);
  });
});

describe("several modules at once", () => {
  const files = (...folders: string[]) =>
    filesSource(
      folders.flatMap((folder) => [
        { path: `${folder}adapter_config.json`, contents: new Blob(["{}"]) },
        { path: `${folder}adapter_model.safetensors`, contents: new Blob([folder]) },
      ]),
    );

  test("are all added, by the names of their folders", async () => {
    const loom = await open();
    const infos = await loom.addModules("mine", files("drop/one/", "drop/two/"));
    expect(infos.map(({ id }) => id)).toEqual(["one", "two"].map((name) => `drop/${name}`));
    expect(infos.map(({ sha256: hash }) => hash)).toEqual(
      ["drop/one/", "drop/two/"].map((text) => sha256(new TextEncoder().encode(text))),
    );
    const [alone] = await loom.addModules("mine", files(""));
    expect(alone).toMatchObject({ id: "mine" });
    await expect(loom.addModule("both", files("one/", "two/"))).rejects.toMatchObject({
      code: "invalid-input",
      why: "Expected one PEFT folder, found one, two.",
    });
  });
});

test("what the engine refuses among files of this computer is chosen again, not looked for on a host", async () => {
  const loom = await open();
  const contents = new Blob(["longt5"]);
  const load = loom.load({ source: filesSource([{ path: "config.json", contents }]) });
  await expect(load).rejects.toMatchObject({
    why: "LongT5 has local attention.",
    next: "Choose the files again, or export the model anew.",
  });
});

describe("addresses", () => {
  test("a registry's files are relative to where it was redirected", async () => {
    stored.files.clear();
    const asked = serveLibrary((path) => {
      if (path !== "old/registry.json") return null;
      const response = new Response(JSON.stringify(registry));
      Object.defineProperty(response, "url", { value: `${ORIGIN}registry.json` });
      return response;
    });
    const loom = await open({ registryUrl: `${ORIGIN}old/registry.json` });
    expect(loom.base?.id).toBe("small");
    expect(asked).toContain("base/model.gguf");
  });

  test("a registry that is a web page is named as one", async () => {
    serveLibrary(() => new Response("<!doctype html><title>Home</title>"));
    await expect(open()).rejects.toMatchObject({
      what: expect.stringContaining("registry.json is a web page, not the file."),
    });
  });

  test("what is no address is refused by the engine, with a message", async () => {
    const loom = await open();
    await expect(loom.load({ source: "no address" })).rejects.toMatchObject({
      code: "invalid-input",
      what: "This names no model or adapter.",
    });
    expect(loom.base?.id).toBe("small");
  });

  test("a link is read from its fragment or, where that was escaped, from the whole address", async () => {
    const loom = await open();
    const learned = await loom.learn({ examples });
    const fragment = await loom.share({ composition: learned, title: "Title" });
    for (const link of [fragment, `#${fragment}`, `https://site.test/?registry=a#${fragment}`]) {
      expect((await loom.decode(link)).title).toBe("Title");
    }
  });
});

test("the files beside a tokenizer and a configuration are read with them", async () => {
  const loom = await open();
  const contents = (text: string) => new Blob([text]);
  const model = [
    { path: "t5/config.json", contents: contents("{}") },
    { path: "t5/spiece.model", contents: contents("s") },
    { path: "t5/model.safetensors", contents: contents("w") },
  ];
  await loom.load({ source: filesSource(model) });
  expect(FakeLoad.filesBeside).toEqual(["", "", "", ""]);
  model.push({ path: "t5/added_tokens.json", contents: contents("added") });
  model.push({ path: "t5/special_tokens_map.json", contents: contents("map") });
  model.push({ path: "t5/tokenizer_config.json", contents: contents("config") });
  model.push({ path: "t5/generation_config.json", contents: contents("settings") });
  await loom.load({ source: filesSource(model) });
  expect(FakeLoad.filesBeside).toEqual(["added", "map", "config", "settings"]);
});
