// What a mix can be taken away as: a PEFT adapter, its recipe, and code that opens it elsewhere.

import { useSignal } from "@preact/signals";
import { download } from "../components/files.js";
import { Problem } from "../components/problem.js";
import { details } from "../details-text.js";
import { composition, mix } from "../state/bench.js";
import { type ErrorText, toErrorText } from "../state/errors.js";
import { occupied } from "../state/learn.js";
import { base, busy, loom, registryUrl } from "../state/session.js";
import { link, made } from "../state/share.js";
import { adapterArchive, adapterName } from "../state/take.js";
import type { Mix } from "../state/workbench/types.js";

const KINDS = ["embed", "element", "javascript", "python", "shell"] as const;
type Kind = (typeof KINDS)[number];

/** Whether PEFT can find a model by this id: a hub has it, as `owner/name`. */
const isHubId = (id: string) => /^[\w.-]+\/[\w.-]+$/.test(id);

/** A text inside an element. */
const escaped = (value: string) => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
/** A text inside an attribute in quotes. */
const attribute = (value: string) => value.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

/** The page with the mix alone. */
function embedPage(address: string, title: string): string {
  const page = new URL("embed.html", document.baseURI);
  page.searchParams.set("registry", new URL(registryUrl, document.baseURI).href);
  page.searchParams.set("title", title);
  page.hash = new URL(address).hash;
  return page.href;
}

/** The code of each kind; `address` is the mix's link. */
function codeOf(
  kind: Kind,
  address: string,
  { title, desk }: Mix,
  input: string,
  model: string,
): string {
  const { hash } = new URL(address);
  const registry = new URL(registryUrl, document.baseURI).href;
  switch (kind) {
    case "embed":
      return `<iframe src="${attribute(embedPage(address, title))}" title="${attribute(title)}" width="100%" height="420" style="border: 0"></iframe>`;
    case "element":
      return `<script type="module">import "loraloom/element";</script>
<lora-loom registry="${attribute(registry)}" recipe="${attribute(hash.slice(1))}">
  <h3 slot="title">${escaped(title)}</h3>
</lora-loom>`;
    case "javascript":
      return `import { LoraLoom } from "loraloom";

const loom = await LoraLoom.open({ registryUrl: ${JSON.stringify(registry)} });
const { composition } = await loom.restore(${JSON.stringify(hash.slice(1))});
const { text } = await loom.generate({ input: ${JSON.stringify(input)}, composition });`;
    case "python":
      return `from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(${JSON.stringify(model)})
model = AutoModelForSeq2SeqLM.from_pretrained(${JSON.stringify(model)})
model = PeftModel.from_pretrained(model, ${JSON.stringify(adapterName(title))})
inputs = tokenizer(${JSON.stringify(input)}, return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))`;
    case "shell": {
      const quoted = `'${input.replaceAll("'", "'\\''")}'`;
      if (desk.tuned) {
        return `loraloom generate --model base --adapter ${adapterName(title)}=1.0 --input ${quoted}`;
      }
      return `loraloom export --recipe recipe.json --registry registry.json --out composed
loraloom generate --model base --adapter composed=1.0 --input ${quoted}`;
    }
  }
}

export function TakeAway() {
  const kind = useSignal<Kind>("embed");
  const copied = useSignal("");
  const making = useSignal(false);
  const error = useSignal<ErrorText | null>(null);
  // The one before stays for the moment in which a moved fader's is made.
  const address = made.value?.address;
  const current = mix.value;
  if (!address || !current || !composition.value) return null;
  const { take } = details;
  const input = current.task?.examples[0]?.input ?? "…";
  const model = base.value?.id ?? "";
  const kinds = KINDS.filter((one) => one !== "python" || isHubId(model));
  const code = codeOf(kind.value, address, current, input, model);
  const saveAdapter = async () => {
    making.value = true;
    error.value = null;
    try {
      const archive = await adapterArchive(current.title);
      if (archive) download(archive, `${adapterName(current.title)}.zip`);
    } catch (thrown) {
      error.value = toErrorText(thrown);
    } finally {
      making.value = false;
    }
  };
  const saveRecipe = async () => {
    const recipe = await loom.value?.decode(new URL(address).hash);
    if (!recipe) return;
    const json = JSON.stringify(recipe, null, 2);
    download(new Blob([json], { type: "application/json" }), "recipe.json");
  };
  return (
    <>
      <div class="row small">
        <button
          type="button"
          disabled={making.value || busy.value || occupied.value}
          onClick={() => void saveAdapter()}
        >
          {making.value ? take.makingAdapter : take.adapter}
        </button>
        <button type="button" disabled={!link.value} onClick={() => void saveRecipe()}>
          {take.recipe}
        </button>
      </div>
      <Problem error={error.value} />
      <div class="row small">
        {kinds.map((one) => (
          <button
            key={one}
            type="button"
            aria-pressed={kind.value === one}
            onClick={() => {
              kind.value = one;
            }}
          >
            {take.kinds[one]}
          </button>
        ))}
      </div>
      <p class="status">
        {take.about[kind.value === "shell" && current.desk.tuned ? "polished" : kind.value]}{" "}
        {kind.value === "embed" && <a href={embedPage(address, current.title)}>{take.openEmbed}</a>}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="code scroll" tabIndex={0} aria-label={take.kinds[kind.value]}>
        <pre>{code}</pre>
      </section>
      <div class="row small">
        <button
          type="button"
          disabled={!link.value}
          onClick={async () => {
            await navigator.clipboard.writeText(code);
            copied.value = code;
          }}
        >
          {take.copy}
        </button>
        <p class="status" role="status">
          {copied.value === code ? take.copied : ""}
        </p>
      </div>
    </>
  );
}
