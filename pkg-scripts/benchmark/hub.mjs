// Loading as in the page: the package's worker downloads a random model of full size from a hub on this
// machine, in Chromium with a profile on disk, packs it, and loads the packed copy the next time. With the
// safetensors file it then learns for a few evaluations, which shows whether the model fits in memory.
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "../serve.mjs";
import { LIBRARY, NativeRunner, ROOT } from "./runners.mjs";

/** Kinds of files: safetensors, and GGUF by the type of its matrices. */
const KINDS = ["safetensors", "f32", "f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0"];
/** Models measured without GGUF files. */
const EXACT_ONLY = ["flan-t5-large"];
const THREADS = 2;
const MODULES = 3;
const RANK = 16;
const EVALUATIONS = 5;
const EXAMPLES = { count: 5, inputTokens: 128, outputTokens: 8 };
/** Flan-T5's tokenizer has 28 tokens fewer than its models. */
const SPARE_TOKENS = 28;
const SPECIAL = ["<pad>", "</s>", "<unk>"];

/** The stand-in hub of the tests, which is written in TypeScript. */
async function hubModule() {
  const typescript = createRequire(join(ROOT, "www/package.json"))("typescript");
  const source = readFileSync(join(ROOT, "tests/e2e/hub.ts"), "utf8");
  const { ESNext } = typescript.ModuleKind;
  const options = { compilerOptions: { module: ESNext, target: typescript.ScriptTarget.ESNext } };
  const { outputText } = typescript.transpileModule(source, options);
  const file = join(process.env.LORALOOM_BENCH, "hub.mjs");
  writeFileSync(file, outputText);
  return import(file);
}

/** The word of a token, of letters alone. */
function word(token) {
  return [...token.toString(26).padStart(4, "0")]
    .map((digit) => String.fromCharCode(97 + Number.parseInt(digit, 26)))
    .join("");
}

/** A `tokenizer.json` with that many tokens, each a word. */
function tokenizer(tokens) {
  const words = Array.from({ length: tokens - SPECIAL.length }, (_, index) => [
    `▁${word(index + SPECIAL.length)}`,
    -10,
  ]);
  const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
  const end = { SpecialToken: { id: "</s>", type_id: 0 } };
  const sequence = (id) => ({ Sequence: { id, type_id: 0 } });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: metaspace,
    post_processor: {
      type: "TemplateProcessing",
      single: [sequence("A"), end],
      pair: [sequence("A"), end, sequence("B"), end],
      special_tokens: { "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] } },
    },
    decoder: metaspace,
    model: {
      type: "Unigram",
      unk_id: 2,
      vocab: [...SPECIAL.map((content) => [content, 0]), ...words],
      byte_fallback: false,
    },
  };
}

/** Examples of random words; every word and the end is a token. */
function examples(vocabulary) {
  let state = 1;
  const text = (tokens) =>
    Array.from({ length: tokens - 1 }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return word(SPECIAL.length + (state % (vocabulary - SPECIAL.length)));
    }).join(" ");
  return Array.from({ length: EXAMPLES.count }, () => ({
    input: text(EXAMPLES.inputTokens),
    output: text(EXAMPLES.outputTokens),
  }));
}

/** Runs in the page: loads the model, and learns if modules are given. */
async function visit({ hub, repo, threads, modules, examples, budget }) {
  const { LoraLoom } = await import(new URL("./package/index.js", location.href).href);
  const loom = await LoraLoom.inspect({ registryUrl: "./library/registry.json", hub, threads });
  const source = (repo) => ({ kind: "hub", host: hub, repo, revision: "main", file: null });
  let started = performance.now();
  const base = await loom.load({ source: source(repo) });
  const seconds = (performance.now() - started) / 1e3;
  const memory = await loom.memoryBytes();
  const { files } = await loom.storage();
  const packed = files.find((file) => file.packed)?.bytes ?? 0;
  let learned = null;
  if (modules.length > 0) {
    for (const module of modules) await loom.addModule(module, source(module));
    started = performance.now();
    const { evaluations, loss } = await loom.learn({ examples, modules, options: { budget } });
    const seconds = (performance.now() - started) / 1e3;
    learned = { seconds, evaluations, loss, memory: await loom.memoryBytes() };
  }
  loom.dispose();
  return { base, seconds, memory, packed, learned };
}

/** A site with the package, and the demo's library because a page needs one. */
function writeSite() {
  const site = mkdtempSync(join(tmpdir(), "loraloom-bench-site-"));
  symlinkSync(join(ROOT, "www/package/dist"), join(site, "package"));
  symlinkSync(LIBRARY, join(site, "library"));
  writeFileSync(join(site, "index.html"), '<!doctype html><link rel="icon" href="data:,">');
  return site;
}

async function withBrowser(url, work) {
  // A profile on the disk: one in memory would keep the gigabytes there.
  const profile = mkdtempSync(join(tmpdir(), "loraloom-bench-profile-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
  try {
    const page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") console.error(`   page: ${message.text()}`);
    });
    await page.goto(url);
    return await work(page);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

function row(name, shape, value, unit) {
  return {
    name,
    shape,
    threads: THREADS,
    value,
    best: value,
    unit,
    ceilingShare: null,
    versus: {},
  };
}

/** Measures one file of a model; returns its rows. */
async function measureFile(model, kind, folder, { startHub }, maker, site) {
  const repo = `random/${model}`;
  const file = join(folder, kind === "safetensors" ? "model.safetensors" : "model.gguf");
  const { config } = await maker.ask({ writeModel: { model, kind, to: file } });
  writeFileSync(join(folder, "config.json"), config);
  const vocabulary = JSON.parse(config).vocab_size - SPARE_TOKENS;
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizer(vocabulary)));
  const repos = { [repo]: folder };
  const modules = [];
  for (let seed = 0; kind === "safetensors" && seed < MODULES; seed += 1) {
    const module = `random/module-${seed}`;
    const to = join(folder, `module-${seed}`);
    await maker.ask({ writeAdapter: { model, rank: RANK, seed, to } });
    repos[module] = to;
    modules.push(module);
  }
  const { size } = statSync(file);
  const hub = await startHub(repos);
  try {
    const request = {
      hub: hub.url,
      repo,
      threads: THREADS,
      modules,
      examples: examples(vocabulary),
    };
    const [first, again] = await withBrowser(site.url, async (page) => [
      await page.evaluate(visit, { ...request, budget: EVALUATIONS }),
      await page.evaluate(visit, { ...request, modules: [] }),
    ]);
    const name = `${model} ${kind}`;
    const packed = `packed weights ${megabytes(first.base.memoryBytes)}`;
    const per100 = (seconds) => seconds / (size / 1e8);
    const rows = [
      row("load", `${name} from a hub, ${megabytes(size)}`, per100(first.seconds), "s/100 MB"),
      row(
        "load",
        `${name} again, from ${megabytes(again.packed)} packed`,
        per100(again.seconds),
        "s/100 MB",
      ),
      row("memory", `${name} from a hub; ${packed}`, first.memory / 1e6, "MB"),
      row("memory", `${name} again; ${packed}`, again.memory / 1e6, "MB"),
    ];
    if (first.learned) {
      const { count, inputTokens, outputTokens } = EXAMPLES;
      const { evaluations, seconds, memory, loss } = first.learned;
      if (!Number.isFinite(loss)) throw new Error(`the loss of ${name} is ${loss}`);
      const shape = `${name} ${count}×${inputTokens}+${outputTokens}, ${MODULES} modules, ${evaluations} evaluations`;
      rows.push(row("learn", shape, seconds, "s"));
      rows.push(row("memory", `${shape}; ${packed}`, memory / 1e6, "MB"));
    }
    return rows;
  } finally {
    await hub.close();
  }
}

/** Measures every kind of file of these models; calls `onRow` with each row. */
export async function measureHub(models, onRow) {
  const hub = await hubModule();
  const site = writeSite();
  const server = await serve(site, { port: 0 });
  const maker = new NativeRunner(1);
  try {
    for (const model of models) {
      for (const kind of EXACT_ONLY.includes(model) ? KINDS.slice(0, 1) : KINDS) {
        const folder = join(process.env.LORALOOM_BENCH, "hub-files");
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder, { recursive: true });
        try {
          for (const one of await measureFile(model, kind, folder, hub, maker, server)) onRow(one);
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      }
    }
  } finally {
    await maker.close();
    await server.close();
    rmSync(site, { recursive: true, force: true });
  }
}
