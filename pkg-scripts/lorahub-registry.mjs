// Makes the registry of the LoRA modules published with LoraHub for google/flan-t5-large, by their
// addresses on the hub, from a list of their names:
//
//   node pkg-scripts/lorahub-registry.mjs NAMES [--hub URL] >www/site/public/lorahub/registry.json
//
// NAMES holds one repository a line, such as lorahub/flan_t5_large-glue_mrpc. With the address of a hub, as
// https://huggingface.co, each repository is asked once for its newest commit, and the registry names that commit
// with the length and SHA-256 of each file. Without one, neither is known: the page asks the hub for the newest commit
// and its list of files, which gives the hashes. About how long the weights are follows from their shapes.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";

const BASE = "google/flan-t5-large";
const PREFIX = "lorahub/flan_t5_large-";
/** The branch whose newest commit is taken. */
const BRANCH = "main";
/** Weights in the order of preference. */
const MODULE_WEIGHTS = ["adapter_model.safetensors", "adapter_model.bin"];
/** Attempts, and seconds between them where the hub names none, after too many requests. */
const ATTEMPTS = 5;
const WAIT_SECONDS = 10;
const PARAMETERS = 783150080;
/** A and B of rank 16 at q and v of the encoder's 24 attentions and the decoder's 48, in f32. */
const MODULE_BYTES = (24 + 48) * 2 * (16 * 1024 + 1024 * 16) * 4;
const UNKNOWN_LICENCE = "see the model\u2019s page on the hub";

/** The names that begin one dataset's modules, longest first, so that each finds its own. */
const DATASETS = [
  "adversarial_qa",
  "ag_news",
  "amazon_polarity",
  "anli",
  "app_reviews",
  "bool_q",
  "cnn_dailymail",
  "coqa",
  "cos_e",
  "cosmos_qa",
  "cot",
  "dbpedia_14",
  "definite_pronoun_resolution",
  "dream",
  "drop",
  "duorc",
  "fix_punct",
  "gem",
  "gigaword",
  "glue",
  "huggingface",
  "imdb_reviews",
  "kilt_tasks_hotpotqa",
  "lambada",
  "math_dataset",
  "natural_questions",
  "newsroom",
  "opinion_abstracts",
  "paws_wiki",
  "para_crawl",
  "piqa",
  "qasc",
  "quac",
  "quail",
  "quarel",
  "quartz",
  "quora_question_pairs",
  "quoref",
  "race_high",
  "race_middle",
  "ropes",
  "samsum",
  "sciq",
  "sentiment140",
  "snli",
  "social_i_qa",
  "squad",
  "stsb",
  "super_glue",
  "trec",
  "trivia_qa",
  "true_case",
  "unified_qa_science_inst",
  "web_questions",
  "wiki_bio",
  "wiki_hop",
  "wiki_qa",
  "wiqa",
  "wmt14",
  "wmt16",
  "word_segment",
  "yelp_polarity",
  "yelp_review",
].sort((a, b) => b.length - a.length);

const { values, positionals } = parseArgs({
  options: { hub: { type: "string" } },
  allowPositionals: true,
});
const hub = values.hub?.replace(/\/+$/, "");
const names = (await readFile(positionals[0], "utf8")).split("\n").filter(Boolean);

/** A response of the hub, again where it had too many requests. */
async function ask(path) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${hub}/${path}`);
    if (response.ok) return response;
    if (response.status !== 429 || attempt === ATTEMPTS) {
      throw new Error(`${hub}/${path} answers ${response.status} ${response.statusText}`);
    }
    const seconds = Number(response.headers.get("Retry-After") ?? WAIT_SECONDS);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

/** The newest commit of a repository, and its files by name. */
async function newest(repo) {
  const { sha: commit } = await (await ask(`api/models/${repo}/revision/${BRANCH}`)).json();
  if (!/^[0-9a-f]{40}$/.test(commit)) throw new Error(`${repo} has no commit, but ${commit}`);
  const listed = await (await ask(`api/models/${repo}/tree/${commit}?recursive=1`)).json();
  return { commit, files: new Map(listed.map((one) => [one.path, one])) };
}

/** SHA-256 of a listed file: the hub's own of a large one; of a small one, which has Git's hash alone, from its bytes. */
async function sha256Of(repo, commit, { path, size, oid, lfs }) {
  if (lfs) return lfs.oid;
  const bytes = new Uint8Array(
    await (await ask(`${repo}/resolve/${commit}/${path}`)).arrayBuffer(),
  );
  const git = createHash("sha1").update(`blob ${size}\0`).update(bytes).digest("hex");
  if (git !== oid) throw new Error(`${repo}/${path} is not the file of ${commit}`);
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * The files of a repository as a registry has them: of each list of names the first that the hub has, or the last one
 * where no hub is asked. `about` are the bytes of weights, where no hub says them.
 */
async function filesOf(repo, wanted, about) {
  const { commit, files } = hub ? await newest(repo) : {};
  const entries = Object.entries(wanted).map(async ([kind, names]) => {
    if (!hub) {
      const size = kind === "weights" ? { about_bytes: about } : {};
      return [kind, { path: `hub:${repo}@${BRANCH}/${names.at(-1)}`, ...size }];
    }
    const listed = names.map((name) => files.get(name)).find(Boolean);
    if (!listed) throw new Error(`${repo} has none of ${names.join(", ")}`);
    const sha256 = await sha256Of(repo, commit, listed);
    return [kind, { path: `hub:${repo}@${commit}/${listed.path}`, bytes: listed.size, sha256 }];
  });
  return Object.fromEntries(await Promise.all(entries));
}

const modules = [];
for (const repo of names) {
  if (!repo.startsWith(PREFIX)) throw new Error(`${repo} should start with ${PREFIX}`);
  const name = repo.slice(PREFIX.length);
  const lower = name.toLowerCase();
  const dataset = DATASETS.find((one) => lower.startsWith(one)) ?? lower.split("_")[0];
  const words = (text) => text.replaceAll("_", " ").trim();
  const prompt = words(name.slice(dataset.length));
  modules.push({
    id: repo,
    title: words(name),
    task: prompt
      ? `${words(dataset)}, with the prompt \u201c${prompt}\u201d.`
      : `${words(dataset)}.`,
    base: BASE,
    rank: 16,
    targets: ["q", "v"],
    files: await filesOf(
      repo,
      { config: ["adapter_config.json"], weights: MODULE_WEIGHTS },
      MODULE_BYTES,
    ),
    license: UNKNOWN_LICENCE,
    tags: [dataset],
  });
}

const registry = {
  version: 1,
  title: "LoraHub\u2019s published modules",
  bases: [
    {
      id: BASE,
      title: "Flan-T5 large",
      description: "The instruction-tuned T5 1.1 that LoraHub\u2019s modules were trained on.",
      license: "Apache-2.0",
      parameters: PARAMETERS,
      files: await filesOf(
        BASE,
        {
          config: ["config.json"],
          tokenizer: ["tokenizer.json"],
          weights: ["model.safetensors"],
        },
        4 * PARAMETERS,
      ),
    },
  ],
  modules,
  tasks: [],
};
process.stdout.write(`${JSON.stringify(registry, null, 1)}\n`);
