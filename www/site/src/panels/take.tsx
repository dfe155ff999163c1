// What a mix can be taken away as: its recipe, and code that opens it elsewhere.

import { useSignal } from "@preact/signals";
import { download } from "../components/files.js";
import { composition, mix } from "../state/bench.js";
import { loom, registryUrl } from "../state/session.js";
import { link } from "../state/share.js";
import { text } from "../text.js";

const KINDS = ["embed", "javascript", "shell"] as const;
type Kind = (typeof KINDS)[number];

/** A text inside an attribute in quotes. */
const attribute = (value: string) => value.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

/** The code of each kind; `address` is the mix's link. */
function codeOf(kind: Kind, address: string, title: string, input: string): string {
  const { hash } = new URL(address);
  const registry = new URL(registryUrl, document.baseURI).href;
  switch (kind) {
    case "embed": {
      const page = new URL("embed.html", document.baseURI);
      page.searchParams.set("registry", registry);
      page.hash = hash;
      return `<iframe src="${attribute(page.href)}" title="${attribute(title)}" width="100%" height="420" style="border: 0"></iframe>`;
    }
    case "javascript":
      return `import { LoraLoom } from "loraloom";

const loom = await LoraLoom.open({ registryUrl: ${JSON.stringify(registry)} });
const { composition } = await loom.restore(${JSON.stringify(hash.slice(1))});
const { text } = await loom.generate({ input: ${JSON.stringify(input)}, composition });`;
    case "shell":
      return `loraloom export --recipe recipe.json --registry registry.json --out composed
loraloom generate --model base --adapter composed=1.0 --input '${input.replaceAll("'", "'\\''")}'`;
  }
}

export function TakeAway() {
  const kind = useSignal<Kind>("embed");
  const copied = useSignal("");
  const address = link.value;
  const current = mix.value;
  if (!address || !current || !composition.value) return null;
  const { take } = text;
  const input = current.task?.examples[0]?.input ?? "…";
  const code = codeOf(kind.value, address, current.title, input);
  const saveRecipe = async () => {
    const recipe = await loom.value?.decode(new URL(address).hash);
    if (!recipe) return;
    const json = JSON.stringify(recipe, null, 2);
    download(new Blob([json], { type: "application/json" }), "recipe.json");
  };
  return (
    <>
      <div class="row small">
        <button type="button" onClick={() => void saveRecipe()}>
          {take.recipe}
        </button>
        {KINDS.map((one) => (
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
      <p class="status">{take.about[kind.value]}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section class="code scroll" tabIndex={0} aria-label={take.kinds[kind.value]}>
        <pre>{code}</pre>
      </section>
      <div class="row small">
        <button
          type="button"
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
