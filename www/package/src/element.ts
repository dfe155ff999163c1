// The web component <lora-loom>: a composition from a link, base and composed answers side by side.

import type { LoraLoom } from "./client.js";
import { errorsOf, reasonOf, text } from "./errors.js";
import type { CallOptions } from "./link.js";
import type { InspectOptions } from "./options.js";
import type { Composition, Progress } from "./protocol.js";
import { SharedLoom } from "./shared-loom.js";

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

/** The error of a kind that the element throws. */
const elementError = errorsOf({
  attribute: ({ attribute }: { attribute: string }) =>
    text(
      "invalid-input",
      "There is nothing to load.",
      `<lora-loom> needs the attributes registry and recipe; ${attribute} is missing.`,
      "Copy the recipe from a link: it is what follows the #.",
    ),
});

/** The style of all elements: constructed, because a content security policy may forbid inline styles. */
let sheet: CSSStyleSheet | null = null;

function styleSheet(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  }
  return sheet;
}

/** An element with attributes and contents: a policy may also forbid parsing markup. */
function create<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string>,
  ...contents: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...contents);
  return element;
}

/** What an element shows. */
interface View {
  form: HTMLFormElement;
  input: HTMLTextAreaElement;
  button: HTMLButtonElement;
  state: HTMLElement;
  base: HTMLElement;
  composed: HTMLElement;
  /** The children of the shadow root. */
  all: HTMLElement[];
}

function createView(): View {
  const input = create("textarea", { name: "input", rows: "3", part: "input" });
  const button = create("button", { part: "button" }, "Load and answer");
  const label = create("label", {}, "Input", input);
  const form = create("form", { part: "form" }, label, button);
  const status = { class: "state", part: "state", role: "status", "aria-live": "polite" };
  const state = create("p", status);
  const base = create("dd", { part: "base" });
  const composed = create("dd", { part: "composed" });
  const answers = create(
    "dl",
    {},
    create("div", { class: "base" }, create("dt", {}, "Base"), base),
    create("div", { class: "composed" }, create("dt", {}, "Composed"), composed),
  );
  return { form, input, button, state, base, composed, all: [form, state, answers] };
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
 * `eager`. The elements of a page that name the same library share one engine, which answers for one
 * after another.
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
  /**
   * How the engine of every element is run, such as `createWorker` and `wasmUrl`. Set it before the
   * first answer.
   */
  static options: Omit<InspectOptions, "registryUrl" | keyof CallOptions> = {};

  readonly #root = this.attachShadow({ mode: "open" });
  #view: View | null = null;
  #shared: SharedLoom | null = null;
  #abort = new AbortController();

  /** Renders the form, and loads at once where `eager` is set. */
  connectedCallback(): void {
    this.#view = createView();
    const { form, input, all } = this.#view;
    this.#root.adoptedStyleSheets = [styleSheet()];
    this.#root.replaceChildren(...all);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#run(() => this.#answer(input.value));
    });
    if (this.hasAttribute("eager")) void this.#run(() => this.#load(async () => undefined));
  }

  /** Ends the worker, if no other element uses it. */
  disconnectedCallback(): void {
    this.#close();
  }

  /** Closes what was loaded for the old address or recipe. */
  attributeChangedCallback(_name: string, before: string | null): void {
    if (before !== null) this.#close();
  }

  #close(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#shared?.release();
    this.#shared = null;
  }

  /** Shows a line of state. */
  #show(text: string): void {
    if (this.#view) this.#view.state.textContent = text;
  }

  async #run(work: () => Promise<void>): Promise<void> {
    const button = this.#view?.button;
    if (!button || button.disabled) return;
    const { signal } = this.#abort;
    button.disabled = true;
    try {
      await work();
      button.textContent = "Answer";
    } catch (error) {
      if (!signal.aborted) this.#show(reasonOf(error));
    } finally {
      button.disabled = false;
    }
  }

  /** Restores the composition, and runs work with it before another element restores its own. */
  async #load(
    work: (loom: LoraLoom, composition: Composition, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const registryUrl = this.getAttribute("registry");
    const recipe = this.getAttribute("recipe");
    if (!registryUrl || !recipe) {
      throw elementError("attribute", { attribute: registryUrl ? "recipe" : "registry" });
    }
    const { signal } = this.#abort;
    const options = {
      signal,
      onStage: (text: string) => this.#show(`${text}…`),
      onProgress: ({ overallLoaded, overallTotal }: Progress) =>
        this.#show(`${megabytes(overallLoaded)} of ${megabytes(overallTotal)} MB`),
    };
    this.#shared ??= SharedLoom.acquire(new URL(registryUrl, document.baseURI).href);
    this.#show("Waiting for the engine…");
    await this.#shared.run({ ...LoraLoomElement.options, ...options }, async (loom) => {
      const fragment = recipe.slice(recipe.indexOf("#") + 1);
      const restored = await loom.restore(fragment, options);
      this.#show(restored.recipe.title);
      await work(loom, restored.composition, signal);
    });
  }

  async #answer(input: string): Promise<void> {
    const places = this.#view;
    if (!places) return;
    const isEmpty = !input.trim();
    await this.#load(async (loom, composition, signal) => {
      if (isEmpty) {
        this.#show("Type an input first.");
        return;
      }
      places.base.textContent = "";
      places.composed.textContent = "";
      for (const [place, composed] of [
        [places.base, null],
        [places.composed, composition],
      ] as const) {
        const onToken = (text: string) => {
          place.textContent = text;
        };
        const { text } = await loom.generate({ input, composition: composed, onToken, signal });
        onToken(text || "(nothing)");
      }
    });
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

if (globalThis.customElements && !customElements.get("lora-loom")) {
  customElements.define("lora-loom", LoraLoomElement);
}
