// The web component <lora-loom>: a composition from a link, base and composed answers side by side.

import { LoraLoom } from "./client.js";
import { loraLoomError, reasonOf } from "./errors.js";
import type { Composition, Progress } from "./protocol.js";

const STYLE = `
:host { display: block; font: inherit; color: inherit; --loom-composed: light-dark(#a8420f, #ffa26b); --loom-base: light-dark(#5b6470, #a5adb8); }
form { display: flex; gap: .5rem; flex-wrap: wrap; align-items: end; }
label { flex: 1 1 16rem; display: grid; gap: .25rem; }
textarea, button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--loom-base); border-radius: .3rem; padding: .5rem .7rem; }
textarea { resize: vertical; min-height: 4em; box-sizing: border-box; width: 100%; }
button:disabled { opacity: .6; }
dl { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin: 1rem 0 0; }
dt { font-weight: 600; }
dd { margin: .25rem 0 0; min-height: 1.5em; overflow-wrap: anywhere; white-space: pre-wrap; }
.base { color: var(--loom-base); }
.composed { color: var(--loom-composed); }
.state { min-height: 1.5em; margin: .5rem 0 0; }
`;

/** An element with attributes and children. */
function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** What the element shows. Made without markup, which Trusted Types forbid. */
function contents(): Node[] {
  const side = (part: string, title: string) =>
    make("div", { class: part }, make("dt", {}, title), make("dd", { part }));
  const input = make("textarea", { name: "input", rows: "3", part: "input" });
  const button = make("button", { part: "button" }, "Load and answer");
  return [
    make("form", { part: "form" }, make("label", {}, "Input", input), button),
    make("p", { class: "state", part: "state", role: "status", "aria-live": "polite" }),
    make("dl", {}, side("base", "Base"), side("composed", "Composed")),
  ];
}

declare global {
  interface HTMLElementTagNameMap {
    "lora-loom": LoraLoomElement;
  }
}

/** `HTMLElement`, or an empty class where there is no DOM: on a server, the module does nothing. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * The element `<lora-loom>`: a shared composition, with the base's and the composed answer side by side.
 *
 * `registry` is the address of the module library, `recipe` the fragment of a link (with or without its
 * `#`, or the whole link). The model is fetched for the first answer, or at once with the attribute
 * `eager`.
 *
 * @example
 * ```html
 * <script type="module">import "loraloom/element";</script>
 * <lora-loom registry="library/registry.json" recipe="…what follows the # of a link…"></lora-loom>
 * ```
 */
export class LoraLoomElement extends Base {
  /** Attributes whose change closes what was loaded. */
  static readonly observedAttributes = ["registry", "recipe"];

  readonly #root = this.attachShadow({ mode: "open" });
  #loom: LoraLoom | null = null;
  #composition: Composition | null = null;
  #abort: AbortController | null = null;

  /** Renders the form, and loads at once where `eager` is set. */
  connectedCallback(): void {
    // A style element would need `unsafe-inline`.
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [style];
    this.#root.replaceChildren(...contents());
    const form = this.#root.querySelector("form") as HTMLFormElement;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const input = new FormData(form).get("input");
      void this.#run(() => this.#answer(String(input ?? "")));
    });
    if (this.hasAttribute("eager")) void this.#run(async () => void (await this.#open()));
  }

  /** Ends the worker. */
  disconnectedCallback(): void {
    this.#close();
  }

  /** Closes what was loaded for the old address or recipe. */
  attributeChangedCallback(_name: string, before: string | null): void {
    if (before !== null) this.#close();
  }

  #close(): void {
    this.#abort?.abort();
    this.#loom?.dispose();
    this.#loom = null;
    this.#composition = null;
  }

  /** Shows a line of state. */
  #show(text: string): void {
    const state = this.#root.querySelector(".state");
    if (state) state.textContent = text;
  }

  async #run(work: () => Promise<void>): Promise<void> {
    const button = this.#root.querySelector("button") as HTMLButtonElement;
    if (button.disabled) return;
    button.disabled = true;
    try {
      await work();
      button.textContent = "Answer";
    } catch (error) {
      if (!this.#abort?.signal.aborted) this.#show(reasonOf(error));
    } finally {
      button.disabled = false;
    }
  }

  async #open(): Promise<LoraLoom> {
    if (this.#loom && this.#composition) return this.#loom;
    const registryUrl = this.getAttribute("registry");
    const recipe = this.getAttribute("recipe");
    if (!registryUrl || !recipe) {
      throw loraLoomError("element-attribute", { attribute: registryUrl ? "recipe" : "registry" });
    }
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const options = {
      signal,
      onStage: (text: string) => this.#show(`${text}…`),
      onProgress: ({ overallLoaded, overallTotal }: Progress) =>
        this.#show(`${megabytes(overallLoaded)} of ${megabytes(overallTotal)} MB`),
    };
    this.#loom ??= await LoraLoom.inspect({ registryUrl, ...options });
    const restored = await this.#loom.restore(recipe.slice(recipe.indexOf("#") + 1), options);
    this.#composition = restored.composition;
    this.#show(restored.recipe.title);
    return this.#loom;
  }

  async #answer(input: string): Promise<void> {
    const loom = await this.#open();
    if (!input.trim()) {
      this.#show("Type an input first.");
      return;
    }
    const show = (part: string) => (text: string) => {
      const place = this.#root.querySelector(`[part=${part}]`);
      if (place) place.textContent = text;
    };
    show("base")("");
    show("composed")("");
    const signal = this.#abort?.signal;
    for (const [part, composition] of [
      ["base", null],
      ["composed", this.#composition],
    ] as const) {
      const onToken = show(part);
      const { text } = await loom.generate({
        input,
        composition,
        onToken,
        ...(signal ? { signal } : {}),
      });
      onToken(text || "(nothing)");
    }
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

if (globalThis.customElements && !customElements.get("lora-loom")) {
  customElements.define("lora-loom", LoraLoomElement);
}
