// Models and adapters from a hub, a folder of a static host, and this computer: the losses are Hugging
// Face's from each, after dropped connections, and offline.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Locator, Page } from "@playwright/test";
import { zipSync } from "../../www/node_modules/fflate/esm/index.mjs";
import { type Hub, startHub } from "./hub.js";
import { acceptOffer, expect, openDetails, openPackage, openSite, test } from "./support.js";

// A folder has no file list: the page tries the names that it may have.
test.use({ expectErrors: /40[14]|ERR_/ });

const MODEL = "deep-untied";
const REPO = `golden/${MODEL}`;
const golden = () => join(test.info().project.testDir, "..", "golden", "models", MODEL);

interface Case {
  merge: "lorahub" | "delta" | null;
  adapters: string[];
  weights: number[];
  examples: { input: string; output: string; loss: number }[];
}

/** A hub with the golden model, and each of its adapters as a repository. */
async function goldenHub(): Promise<Hub> {
  const repos: Record<string, string> = { [REPO]: golden() };
  for (const name of await readdir(join(golden(), "adapters"))) {
    repos[`golden/${name}`] = join(golden(), "adapters", name);
  }
  return startHub(repos);
}

/** Loads the model at an address by the page's choice of a model, which it returns. */
async function chooseBase(page: Page, address: string): Promise<Locator> {
  await page.getByText("Use another model").click();
  const choice = page.getByTestId("base-choice");
  await choice.getByRole("textbox").fill(address);
  await choice.getByRole("button", { name: "Load" }).click();
  return choice;
}

function goldenCases(): Case[] {
  const path = join(test.info().project.testDir, "golden", "texts.json");
  return JSON.parse(readFileSync(path, "utf8")).models[MODEL];
}

test("a hub's model and adapters give Hugging Face's losses, cut 20 times, then offline", async ({
  page,
}) => {
  const hub = await goldenHub();
  await openPackage(page);
  const run = () =>
    page.evaluate(
      async ([host, repo, cases]) => {
        const loom = await window.loraloom.LoraLoom.inspect({
          registryUrl: "/golden/registry.json",
        });
        let cachedBytes = 0;
        let fetchedBytes = 0;
        const onProgress = ({ cached, loaded }: { cached: boolean; loaded: number }) => {
          if (cached) cachedBytes = Math.max(cachedBytes, loaded);
          else fetchedBytes = Math.max(fetchedBytes, loaded);
        };
        const hub = { kind: "hub", host, revision: "main", file: null } as const;
        const base = await loom.load({ source: { ...hub, repo }, precision: "f32", onProgress });
        const losses = [];
        for (const name of new Set(cases.flatMap(({ adapters }) => adapters))) {
          await loom.addModule(name, { ...hub, repo: `golden/${name}` });
        }
        for (const { merge, adapters, weights, examples } of cases) {
          const modules = adapters.map((id, index) => ({ id, weight: weights[index] as number }));
          const { examples: scores } = await loom.score({
            examples,
            composition: merge && { modules, merge },
          });
          losses.push(scores.map(({ loss }) => loss));
        }
        const storage = await loom.storage();
        loom.dispose();
        return { base, losses, cachedBytes, fetchedBytes, storage };
      },
      [hub.url, REPO, goldenCases()] as const,
    );

  hub.faults.tooMany = 1;
  hub.faults.cuts = Array.from({ length: 20 }, (_, index) => 1 + ((index * 7919) % 1500));
  const first = await run();
  expect(hub.faults.cuts).toEqual([]);
  await hub.close();
  const offline = await run();

  for (const { losses, base } of [first, offline]) {
    expect(base.id).toBe(REPO);
    for (const [number, { examples }] of goldenCases().entries()) {
      for (const [index, { loss }] of examples.entries()) {
        const found = losses[number]?.[index] as number;
        expect(Math.abs(found / loss - 1), `case ${number}, example ${index}`).toBeLessThan(1e-4);
      }
    }
  }
  expect(first.base.commit).toMatch(/^[0-9a-f]{40}$/);
  expect(offline.base.commit).toBe(first.base.commit);
  expect(first.fetchedBytes).toBe(first.base.bytes);
  expect(offline).toMatchObject({ fetchedBytes: 0, cachedBytes: first.base.bytes });
  expect(first.storage.kind).toBe("file-system");
  expect(first.storage.files.every(({ complete }) => complete)).toBe(true);
});

test("an adapter is that of the folder and revision that its address names", async ({ page }) => {
  const adapter = (name: string, file: string) =>
    readFileSync(join(golden(), "adapters", name, file));
  const files = {
    "adapter_config.json": adapter("first", "adapter_config.json"),
    "adapter_model.safetensors": adapter("first", "adapter_model.safetensors"),
    "checkpoint-500/adapter_config.json": adapter("second", "adapter_config.json"),
    "checkpoint-500/adapter_model.bin": adapter("second", "adapter_model.bin"),
  };
  const hub = await startHub({ [REPO]: golden(), "golden/folders": files });
  await openPackage(page);
  const found = await page.evaluate(
    async ([hub, repo]) => {
      const loom = await window.loraloom.LoraLoom.inspect({
        registryUrl: "/golden/",
        hub: `${hub}/`,
      });
      await loom.load({ source: `${repo}@main`, precision: "f32" });
      const hashes = [];
      for (const address of [
        "golden/folders",
        "golden/folders/checkpoint-500",
        `${hub}/golden/folders/tree/main/checkpoint-500`,
        `${hub}/golden/folders/blob/main/checkpoint-500/adapter_model.bin`,
      ]) {
        hashes.push((await loom.addModule(address, address)).sha256);
      }
      const refused = await loom.addModule("none", "no address").catch((error) => error.what);
      const missing = await loom.load({ source: "golden/none" }).catch((error) => error.why);
      loom.dispose();
      return { hashes, refused, missing };
    },
    [hub.url, REPO] as const,
  );
  await hub.close();
  const hash = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  const root = hash(files["adapter_model.safetensors"]);
  const inside = hash(files["checkpoint-500/adapter_model.bin"]);
  expect(found.hashes).toEqual([root, inside, inside, inside]);
  expect(found.refused).toBe("“no address” names no model or adapter.");
  expect(found.missing).toContain("does not exist, or is private (401)");
});

test("packed weights are kept, load without the file and the hub, and are never used damaged", async ({
  page,
}) => {
  const hub = await goldenHub();
  await openPackage(page);
  const run = () =>
    page.evaluate(
      async ([host, repo, cases]) => {
        const loom = await window.loraloom.LoraLoom.inspect({
          registryUrl: "/golden/registry.json",
        });
        const source = { kind: "hub", host, repo, revision: "main", file: null } as const;
        const stages: string[] = [];
        const base = await loom.load({ source, onStage: (text) => stages.push(text) });
        const { examples } = await loom.score({
          examples: cases.flatMap(({ examples }) => examples),
        });
        const storage = await loom.storage();
        loom.dispose();
        return { base, losses: examples.map(({ loss }) => loss), stages, files: storage.files };
      },
      [hub.url, REPO, goldenCases()] as const,
    );
  /** Removes a kept file, or changes a byte in its middle. */
  const change = (key: string, how: "remove" | "damage") =>
    page.evaluate(
      async ([key, how]) => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle("loraloom");
        if (how === "remove") {
          for (const name of [key, `${key}.json`]) await folder.removeEntry(name);
          return;
        }
        const file = await folder.getFileHandle(key);
        const middle = (await file.getFile()).size >> 1;
        const [byte] = new Uint8Array(await (await file.getFile()).slice(middle).arrayBuffer());
        const writable = await file.createWritable({ keepExistingData: true });
        const data = Uint8Array.of((byte as number) ^ 1);
        await writable.write({ type: "write", position: middle, data });
        await writable.close();
      },
      [key, how] as const,
    );
  const weights = (path: string) => path.endsWith("model.safetensors");
  const storing = expect.stringContaining("Storing the packed weights");

  const first = await run();
  expect(first.stages).toContainEqual(storing);
  const copy = first.files.find(({ packed }) => packed);
  const source = first.files.find(({ packed, url }) => !packed && weights(url));
  expect(copy).toMatchObject({ complete: true, url: source?.url });

  // Only the packed copy is left.
  await change(source?.key ?? "", "remove");
  const requestsBefore = hub.requests.length;
  const again = await run();
  expect(again.stages).not.toContainEqual(storing);
  expect(hub.requests.slice(requestsBefore).filter(weights)).toEqual([]);

  await change(copy?.key ?? "", "damage");
  const repaired = await run();
  expect(repaired.stages).toContainEqual(storing);
  expect(
    hub.requests.slice(requestsBefore).some((request) => /model.safetensors/.test(request)),
  ).toBe(true);
  await hub.close();
  const offline = await run();
  expect(offline.stages).not.toContainEqual(storing);
  for (const { base, losses } of [again, repaired, offline]) {
    expect(base).toEqual(first.base);
    expect(losses).toEqual(first.losses);
  }
});

test("the page loads a folder's model, shows what it keeps, and deletes it", async ({ page }) => {
  const hub = await goldenHub();
  await openSite(page);
  await openDetails(page);
  const choice = await chooseBase(page, `${hub.url}/${REPO}/resolve/main`);
  await expect(choice).toContainText("Loaded: http");

  await page.getByText("Storage").click();
  const storage = page.getByTestId("storage");
  await expect(storage.getByRole("listitem").first()).toContainText(
    "unchanged since the first download",
  );
  await expect(storage.getByRole("listitem").filter({ hasText: "packed" })).toHaveCount(1);
  await storage.getByRole("button", { name: "Delete all" }).click();
  await storage.getByRole("button", { name: /^Delete \d+ files?$/ }).click();
  await expect(storage).toContainText("0 files");
  await expect(storage.getByRole("listitem")).toHaveCount(0);
  await hub.close();
});

/** A safetensors file with one more tensor, at its end. */
function withTensor(file: Buffer, name: string): Buffer {
  const end = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString("utf8", 8, end));
  const data = file.subarray(end);
  header[name] = { dtype: "F32", shape: [1], data_offsets: [data.length, data.length + 4] };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data, Buffer.alloc(4)]);
}

test("the page names the tensors of a model that are not used, from its file and from the packed copy", async ({
  page,
}) => {
  const file = (name: string) => readFileSync(join(golden(), name));
  const hub = await startHub({
    [REPO]: {
      "config.json": file("config.json"),
      "tokenizer.json": file("tokenizer.json"),
      "model.safetensors": withTensor(file("model.safetensors"), "classification_head.bias"),
    },
  });
  await openSite(page);
  const weights = () => hub.requests.filter((one) => /^GET .*model\.safetensors/.test(one)).length;
  let requested = 0;
  for (const visit of ["first", "second"]) {
    await openDetails(page);
    const choice = await chooseBase(page, `${hub.url}/${REPO}/resolve/main`);
    await expect(choice).toContainText("Loaded: http");
    await expect(page.getByTestId("base-notes"), visit).toHaveText(
      /1 tensor of its weights not used, as the model does not have it: classification_head\.bias\./,
    );
    if (visit === "second") expect(weights()).toBe(requested);
    requested = weights();
    await page.reload();
  }
  await hub.close();
});

test("the page reads a model's files and an adapter's ZIP archive from this computer", async ({
  page,
}) => {
  await openSite(page);
  await openDetails(page);
  await page.getByText("Use another model").click();
  const files = ["config.json", "tokenizer.json", "model.safetensors"];
  await page.getByTestId("base-files").setInputFiles(files.map((name) => join(golden(), name)));
  await expect(page.getByTestId("base-choice")).toContainText("Loaded: config.json");

  const adapter = (name: string) => readFileSync(join(golden(), "adapters", "second", name));
  const archive = zipSync({
    "mine/adapter_config.json": adapter("adapter_config.json"),
    "mine/adapter_model.bin": adapter("adapter_model.bin"),
  });
  await page.getByTestId("add-module").locator("summary").click();
  await page.getByTestId("local-files").setInputFiles({
    name: "mine.zip",
    mimeType: "application/zip",
    buffer: Buffer.from(archive),
  });
  await expect(page.locator("#modules")).toContainText("mine");
});

test("the page names the file that a folder lacks, and keeps the library's model", async ({
  page,
}) => {
  const hub = await startHub({ "owner/empty": { "config.json": Buffer.from("{}") } });
  await openSite(page);
  await openDetails(page);
  const choice = await chooseBase(page, `${hub.url}/owner/empty/resolve/main`);
  await expect(page.locator(".hero .problem")).toContainText("tokenizer.json or spiece.model");
  await choice.getByRole("textbox").fill("not a model");
  await choice.getByRole("button", { name: "Load" }).click();
  await expect(page.locator(".hero .problem")).toContainText("names no model");
  await expect(page.getByTestId("fetch-facts")).toContainText("MB");
  await hub.close();
});

test("the page warns of a model that fails the check against published outputs", async ({
  page,
}) => {
  const known = "google/flan-t5-small";
  const hub = await startHub({ [known]: golden() });
  await openSite(page, `./?hub=${encodeURIComponent(hub.url)}`);
  await acceptOffer(page);
  await openDetails(page);
  await chooseBase(page, known);
  await expect(page.getByTestId("verification")).toContainText(
    `does not give the output published for ${known}: for “translate English to German`,
  );
  await hub.close();
});
