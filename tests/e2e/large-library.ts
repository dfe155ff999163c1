// A paged library of many modules for tests, written from the format's description instead of by the
// tested code.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const SHARD_BYTES = 12_000;
const LIST_PAGES = 32;
const LIST_SHARDS = 64;

const VERBS = ["translate", "summarise", "classify", "answer", "rewrite", "extract", "correct"];
const THINGS = ["news", "reviews", "tweets", "recipes", "questions", "dialogues", "laws", "poems"];
const WAYS = ["briefly", "formally", "in German", "in French", "step by step", "as a list"];

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
const words = (text: string) => text.toLowerCase().split(/[^\p{L}\p{N}]+/u);

/**
 * The files, by path, of a library of `count` modules for the model in the folder `model`: pages and
 * shards are listed in `registry.json`, or with `lists` in lists of their own, as it is done where there
 * are very many.
 */
export async function largeLibrary(
  count: number,
  model: string,
  lists = false,
): Promise<Record<string, Uint8Array>> {
  const pageModules = lists ? 8 : 32;
  const files: Record<string, Uint8Array> = {};
  const put = (path: string, bytes: Uint8Array) => {
    files[path] = bytes;
    return { path, bytes: bytes.length, sha256: sha256(bytes) };
  };
  const json = (path: string, value: unknown) => put(path, Buffer.from(JSON.stringify(value)));
  const base = async (name: string) => put(`base/${name}`, await readFile(join(model, name)));

  const modules = Array.from({ length: count }, (_, n) => {
    const [verb, thing, way] = [VERBS[n % 7], THINGS[((n / 7) % 8) | 0], WAYS[((n / 56) % 6) | 0]];
    const repo = `hub:golden/${n % 2 ? "first" : "second"}@main`;
    return {
      id: `owner/${verb}-${thing}-${n}`,
      title: `${verb} ${thing} ${way} (${n})`,
      task: `${verb} the ${thing} ${way}.`,
      example: { input: `${verb}: ${thing} of set${n % 997}x`, output: `${thing} ${way}` },
      base: "golden",
      rank: n % 10 ? 16 : 4,
      targets: ["q", "v"],
      files: {
        config: { path: `${repo}/adapter_config.json` },
        weights: { path: `${repo}/adapter_model.safetensors`, about_bytes: 18_900_000 },
      },
      license: "MIT OR Apache-2.0",
      tags: [verb as string, thing as string],
    };
  });

  // Similar modules share pages, as the command line sorts them.
  modules.sort((a, b) => (a.title < b.title ? -1 : 1));

  const numbers = new Map<string, number[]>();
  const tags = new Map<string, number>();
  const ranks = new Map<number, number>();
  for (const [number, { id, title, task, example, base, rank, tags: own }] of modules.entries()) {
    const texts = [id, title, task, example.input, example.output, ...own];
    const terms = new Set([
      ...texts.flatMap(words).filter(Boolean),
      ...own.map((tag) => `tag:${tag}`),
      `base:${base}`,
      `rank:${rank}`,
      `#${sha256(id).slice(0, 8)}`,
    ]);
    for (const term of terms) {
      const of = numbers.get(term);
      if (of) of.push(number);
      else numbers.set(term, [number]);
    }
    for (const tag of own) tags.set(tag, (tags.get(tag) ?? 0) + 1);
    ranks.set(rank, (ranks.get(rank) ?? 0) + 1);
  }

  // What most modules have is one bit for each module.
  const bits = (of: number[]) => {
    const bytes = new Uint8Array(Math.ceil(count / 8));
    for (const number of of)
      bytes[number >> 3] = (bytes[number >> 3] as number) | (1 << (number & 7));
    return Buffer.from(bytes).toString("base64");
  };
  const terms: { first: string; file: object }[] = [];
  let shard: [string, number[] | string][] = [];
  let bytes = 0;
  const close = () => {
    const [first] = shard[0] as [string, unknown];
    terms.push({ first, file: json(`terms/${terms.length}.json`, Object.fromEntries(shard)) });
    [shard, bytes] = [[], 0];
  };
  for (const term of [...numbers.keys()].sort()) {
    const of = numbers.get(term) as number[];
    const steps = of.map((number, index) => number - (of[index - 1] ?? 0));
    const stored = lists && 3 * of.length > count / 6 ? bits(of) : steps;
    const added = term.length + (typeof stored === "string" ? stored.length : 4 * stored.length);
    if (shard.length && bytes + added > SHARD_BYTES) close();
    shard.push([term, stored]);
    bytes += added;
  }
  if (shard.length) close();

  const pages = [];
  for (let first = 0; first < count; first += pageModules) {
    pages.push(json(`pages/${pages.length}.json`, modules.slice(first, first + pageModules)));
  }
  const listed = <T>(items: T[], size: number, put: (items: T[], number: number) => object) =>
    Array.from({ length: Math.ceil(items.length / size) }, (_, number) =>
      put(items.slice(number * size, (number + 1) * size), number),
    );
  const listsOfFiles = {
    list_pages: LIST_PAGES,
    page_lists: listed(pages, LIST_PAGES, (list, n) => json(`pages/list-${n}.json`, list)),
    term_lists: listed(terms, LIST_SHARDS, (list, n) => ({
      first: list[0]?.first,
      file: json(`terms/list-${n}.json`, list),
    })),
  };
  json("registry.json", {
    version: 1,
    title: "Many modules",
    bases: [
      {
        id: "golden",
        title: "Golden",
        description: "Random weights.",
        license: "MIT OR Apache-2.0",
        parameters: 1000,
        files: {
          config: await base("config.json"),
          tokenizer: await base("tokenizer.json"),
          weights: await base("model.safetensors"),
        },
      },
    ],
    modules: [],
    index: {
      modules: count,
      page_modules: pageModules,
      ...(lists ? { pages: [], terms: [], ...listsOfFiles } : { pages, terms }),
      tags: [...tags].map(([tag, modules]) => ({ tag, modules })),
      ranks: [...ranks].map(([rank, modules]) => ({ rank, modules })),
    },
    tasks: [],
  });
  return files;
}
