// The web component <lora-loom>: a composition from a link, base and composed answers side by side.

import type { Composition } from "./index.js";
import { LoraLoom, LoraLoomError } from "./index.js";

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

const MARKUP = `
<form part="form">
  <label>Input<textarea name="input" rows="3" part="input"></textarea></label>
  <button part="button">Load and answer</button>
</form>
<p class="state" part="state" role="status" aria-live="polite"></p>
<dl>
  <div class="base"><dt>Base</dt><dd part="base"></dd></div>
  <div class="composed"><dt>Composed</dt><dd part="composed"></dd></div>
</dl>`;

/**
 * Shows a composition that someone shared.
 *
 * `registry` is the address of the module library, `recipe` the fragment of a link (with or
 * without its `#`, or the whole link). The model is fetched when the reader first asks for an
 * answer, or at once with the attribute `eager`.
 */
export class LoraLoomElement extends HTMLElement {
  /** Attributes that start over when they change. */
  static readonly observedAttributes = ["registry", "recipe"];

  readonly #root = this.attachShadow({ mode: "open" });
  #loom: LoraLoom | null = null;
  #composition: Composition | null = null;
  #abort: AbortController | null = null;

  /** Draws the form, and loads at once where `eager` is set. */
  connectedCallback(): void {
    this.#root.innerHTML = `<style>${STYLE}</style>${MARKUP}`;
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

  /** Forgets what was loaded for the old address or recipe. */
  attributeChangedCallback(_name: string, before: string | null): void {
    if (before !== null) this.#close();
  }

  #close(): void {
    this.#abort?.abort();
    this.#loom?.dispose();
    this.#loom = null;
    this.#composition = null;
  }

  #say(text: string): void {
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
      if (!this.#abort?.signal.aborted) {
        this.#say(error instanceof LoraLoomError ? error.message : String(error));
      }
    } finally {
      button.disabled = false;
    }
  }

  async #open(): Promise<LoraLoom> {
    if (this.#loom && this.#composition) return this.#loom;
    const registryUrl = this.getAttribute("registry");
    const recipe = this.getAttribute("recipe");
    if (!registryUrl || !recipe) {
      throw new LoraLoomError({
        what: "There is nothing to load.",
        why: `<lora-loom> needs the attributes registry and recipe; ${registryUrl ? "recipe" : "registry"} is missing.`,
        next: "Copy the recipe from a link: it is what follows the #.",
      });
    }
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const options = {
      signal,
      onStage: (text: string) => this.#say(`${text}…`),
      onProgress: ({
        overallLoaded,
        overallTotal,
      }: {
        overallLoaded: number;
        overallTotal: number;
      }) => this.#say(`${megabytes(overallLoaded)} of ${megabytes(overallTotal)} MB`),
    };
    this.#loom ??= await LoraLoom.inspect({ registryUrl, ...options });
    const restored = await this.#loom.restore(recipe.slice(recipe.indexOf("#") + 1), options);
    this.#composition = restored.composition;
    this.#say(restored.recipe.title);
    return this.#loom;
  }

  async #answer(input: string): Promise<void> {
    const loom = await this.#open();
    if (!input.trim()) {
      this.#say("Type an input first.");
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

if (!customElements.get("lora-loom")) customElements.define("lora-loom", LoraLoomElement);
