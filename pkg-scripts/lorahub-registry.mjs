// Makes the registry of the LoRA modules published with LoraHub for google/flan-t5-large, by their
// addresses on the hub, from a list of their names:
//
//   node pkg-scripts/lorahub-registry.mjs NAMES >www/site/public/lorahub/registry.json
//
// NAMES holds one repository a line, such as lorahub/flan_t5_large-glue_mrpc. Neither lengths nor
// hashes are known: the hub's own list of files gives those of large files, and for the others the
// first download counts. About how long the weights are follows from their shapes.

import { readFile } from "node:fs/promises";

const BASE = "google/flan-t5-large";
const PREFIX = "lorahub/flan_t5_large-";
const REVISION = "main";
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

const names = (await readFile(process.argv[2], "utf8")).split("\n").filter(Boolean);
const file = (repo, name, bytes) => ({
  path: `hub:${repo}@${REVISION}/${name}`,
  ...(bytes ? { about_bytes: bytes } : {}),
});

const modules = names.map((repo) => {
  if (!repo.startsWith(PREFIX)) throw new Error(`${repo} should start with ${PREFIX}`);
  const name = repo.slice(PREFIX.length);
  const lower = name.toLowerCase();
  const dataset = DATASETS.find((one) => lower.startsWith(one)) ?? lower.split("_")[0];
  const words = (text) => text.replaceAll("_", " ").trim();
  const prompt = words(name.slice(dataset.length));
  return {
    id: repo,
    title: words(name),
    task: prompt
      ? `${words(dataset)}, with the prompt \u201c${prompt}\u201d.`
      : `${words(dataset)}.`,
    base: BASE,
    rank: 16,
    targets: ["q", "v"],
    files: {
      config: file(repo, "adapter_config.json"),
      weights: file(repo, "adapter_model.bin", MODULE_BYTES),
    },
    license: UNKNOWN_LICENCE,
    tags: [dataset],
  };
});

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
      files: {
        config: file(BASE, "config.json"),
        tokenizer: file(BASE, "tokenizer.json"),
        weights: file(BASE, "model.safetensors", 4 * PARAMETERS),
      },
    },
  ],
  modules,
  tasks: [],
};
process.stdout.write(`${JSON.stringify(registry, null, 1)}\n`);
