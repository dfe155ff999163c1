// The web component <lora-loom>: learns a composition from examples, or opens that of a link, and shows base and
// composed answers side by side.

import type { LoraLoom } from "./client.js";
import {
  createView,
  filledRows,
  fillRows,
  fillTasks,
  styleSheet,
  type View,
} from "./element-view.js";
import { errorsOf, reasonOf, text } from "./errors.js";
import type { CallOptions } from "./link.js";
import type { InspectOptions, LearnCall } from "./options.js";
import type { BaseInfo, Composition, Example, LearnResult, Progress } from "./protocol.js";
import { SharedLoom } from "./shared-loom.js";
import { meanWeight } from "./weights.js";

/** The error of a kind that the element throws. */
const elementError = errorsOf({
  registry: () =>
    text(
      "invalid-input",
      "There is nothing to load.",
      "<lora-loom> needs the attribute registry, the address of a module library.",
      "Add it to the element.",
    ),
  examples: () =>
    text("invalid-input", "There is nothing to learn from.", "No example is filled in.", ""),
});

const VERDICTS = {
  works: "Works",
  partly: "Works in part",
  unlikely: "Unlikely to work",
};

/** The events of an element, by their names, with their details. They bubble. */
export interface LoraLoomElementEvents {
  /** The model is loaded. */
  loaded: { base: BaseInfo };
  /** A composition was learned; `recipe` is the fragment of a link to it. */
  learned: { recipe: string; result: LearnResult };
  /** Both answers are complete. */
  answered: { input: string; base: string; composed: string };
  /** Something failed; the element shows the message. */
  failed: { error: unknown };
}

declare global {
  interface HTMLElementTagNameMap {
    "lora-loom": LoraLoomElement;
  }
}

/** `HTMLElement`, or an empty class where there is no DOM: on a server, the module does nothing. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * The element `<lora-loom>`: a composition of LoRA modules, with the base's and the composed answer side by side.
 *
 * `registry` is the address of the module library. With `recipe`, the fragment of a link (with or without its
 * `#`, or the whole link), it shows that composition; without, it shows the library's tasks and learns from their
 * examples or from one's own. The model is fetched on the first click, or at once with the attribute `eager`; the
 * list of tasks of another site's library is too. The elements of a page that name the same library share one
 * engine, which answers for one after another.
 *
 * The slots `title` and `note` are what is shown above, before anything is loaded. Events:
 * {@link LoraLoomElementEvents}. Style: the parts `title`, `note`, `form`, `learn-form`, `task`, `examples`, `cell`,
 * `input`, `button`, `learn`, `state`, `verdict`, `mix`, `answers`, `base` and `composed`, and the properties
 * `--loom-base`, `--loom-composed`, `--loom-border`, `--loom-radius` and `--loom-gap`.
 *
 * @example
 * ```html
 * <script type="module">import "loraloom/element";</script>
 * <lora-loom registry="library/registry.json"></lora-loom>
 * <lora-loom registry="library/registry.json" recipe="…what follows the # of a link…">
 *   <h2 slot="title">Find the job, in French</h2>
 * </lora-loom>
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
  /** Fragment of the composition that was learned here. */
  #learned: string | null = null;
  #learning: LearnCall | null = null;
  /** The library's examples of each task, once they are shown. */
  #tasks: Map<string, { title: string; examples: Example[] }> | null = null;

  /** Renders the forms, and loads at once where `eager` is set. */
  connectedCallback(): void {
    this.#view = createView();
    const { learn, answer, all } = this.#view;
    this.#root.adoptedStyleSheets = [styleSheet()];
    this.#root.replaceChildren(...all);
    answer.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#run(answer.button, () => this.#answer(answer.input.value), "Answer");
    });
    learn.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#learning) void this.#learning.stop();
      else void this.#run(learn.button, () => this.#next());
    });
    learn.tasks.addEventListener("change", () =>
      fillRows(learn, this.#tasks?.get(learn.tasks.value)?.examples ?? []),
    );
    learn.rows.addEventListener("paste", (event) => this.#paste(event));
    this.#arrange();
  }

  /** Ends the worker, if no other element uses it. */
  disconnectedCallback(): void {
    this.#close();
  }

  /** Closes what was loaded for the old address or recipe. */
  attributeChangedCallback(): void {
    if (!this.#view) return;
    this.#close();
    this.#arrange();
  }

  #close(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#shared?.release();
    this.#shared = null;
    this.#learned = null;
    this.#learning = null;
    this.#tasks = null;
  }

  /** Shows the form for what the attributes name. */
  #arrange(): void {
    const view = this.#view;
    if (!view) return;
    const learns = !this.getAttribute("recipe");
    for (const part of [view.learn.form, view.learn.verdict, view.learn.mix]) part.hidden = !learns;
    this.#showAnswers(!learns);
    for (const part of [view.heading, view.note, view.state, view.learn.verdict, view.learn.mix]) {
      part.textContent = "";
    }
    view.answer.base.textContent = view.answer.composed.textContent = "";
    view.answer.button.textContent = "Load and answer";
    view.answer.button.disabled = view.learn.button.disabled = false;
    const eager = this.hasAttribute("eager");
    if (!learns) {
      if (eager) void this.#run(view.answer.button, () => this.#restore(async () => undefined));
      return;
    }
    this.#showTasks(false);
    view.learn.button.textContent = `Show tasks${this.#isElsewhere() ? ` from ${this.#host()}` : ""}`;
    if (eager || !this.#isElsewhere()) void this.#run(view.learn.button, () => this.#next());
  }

  #showAnswers(shown: boolean): void {
    if (this.#view) this.#view.answer.form.hidden = this.#view.answer.answers.hidden = !shown;
  }

  #showTasks(shown: boolean): void {
    const learn = this.#view?.learn;
    if (learn?.tasks.parentElement) learn.tasks.parentElement.hidden = learn.rows.hidden = !shown;
  }

  #registryUrl(): string {
    const registry = this.getAttribute("registry");
    if (!registry) throw elementError("registry", undefined);
    return new URL(registry, document.baseURI).href;
  }

  #host(): string {
    const registry = this.getAttribute("registry") ?? "";
    return URL.canParse(registry, document.baseURI)
      ? new URL(registry, document.baseURI).host
      : registry;
  }

  /** Whether the library is another site's, which learns of the visit by a request. */
  #isElsewhere(): boolean {
    return this.#host() !== location.host;
  }

  /** Shows a line of state. */
  #show(text: string): void {
    if (this.#view) this.#view.state.textContent = text;
  }

  #emit<K extends keyof LoraLoomElementEvents>(name: K, detail: LoraLoomElementEvents[K]): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  /** Runs what a button starts, which is disabled meanwhile. */
  async #run(
    button: HTMLButtonElement,
    work: () => Promise<void>,
    afterwards?: string,
  ): Promise<void> {
    if (button.disabled) return;
    const { signal } = this.#abort;
    button.disabled = true;
    try {
      await work();
      if (afterwards && !signal.aborted) button.textContent = afterwards;
    } catch (error) {
      if (signal.aborted) return;
      this.#show(reasonOf(error));
      this.#emit("failed", { error });
    } finally {
      if (!signal.aborted) button.disabled = false;
    }
  }

  /** Runs work with the engine, one element after another. */
  async #withLoom(
    work: (loom: LoraLoom, options: CallOptions & { signal: AbortSignal }) => Promise<void>,
  ): Promise<void> {
    const { signal } = this.#abort;
    const options = {
      signal,
      onStage: (text: string) => this.#show(`${text}…`),
      onProgress: ({ overallLoaded, overallTotal }: Progress) =>
        this.#show(`${megabytes(overallLoaded)} of ${megabytes(overallTotal)} MB`),
    };
    this.#shared ??= SharedLoom.acquire(this.#registryUrl());
    this.#show("Waiting for the engine…");
    await this.#shared.run({ ...LoraLoomElement.options, ...options }, (loom) =>
      work(loom, options),
    );
  }

  /** Restores the composition, and runs work with it before another element restores its own. */
  #restore(
    work: (loom: LoraLoom, composition: Composition, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const recipe = this.#learned ?? this.getAttribute("recipe") ?? "";
    return this.#withLoom(async (loom, options) => {
      const before = loom.base;
      const restored = await loom.restore(recipe.slice(recipe.indexOf("#") + 1), options);
      if (this.#view && !this.#learned) {
        this.#view.heading.textContent = restored.recipe.title;
        this.#view.note.textContent = restored.recipe.instruction ?? "";
      }
      this.#show("");
      if (loom.base && loom.base !== before) this.#emit("loaded", { base: loom.base });
      await work(loom, restored.composition, options.signal);
    });
  }

  /** What the button of the first form does: shows the tasks, then learns. */
  #next(): Promise<void> {
    if (this.#tasks) return this.#learn();
    return this.#withLoom(async ({ registry }) => {
      const learn = this.#view?.learn;
      if (!learn) return;
      this.#tasks = new Map(
        registry.tasks.map(({ id, title, examples }) => [id, { title, examples }]),
      );
      fillTasks(learn, registry.tasks);
      fillRows(learn, registry.tasks[0]?.examples ?? []);
      learn.button.textContent = "Learn";
      this.#showTasks(true);
      this.#show("");
    });
  }

  async #learn(): Promise<void> {
    const view = this.#view;
    if (!view) return;
    const examples = filledRows(view.learn);
    if (!examples.length) throw elementError("examples", undefined);
    const title = this.#tasks?.get(view.learn.tasks.value)?.title ?? "Learned from examples";
    this.#learned = null;
    this.#showAnswers(false);
    view.learn.verdict.textContent = view.learn.mix.textContent = "";
    await this.#withLoom(async (loom, options) => {
      const first = loom.registry.bases[0]?.id;
      if (!loom.base || loom.base.id !== first) {
        const base = await loom.load({ ...options, ...(first ? { baseId: first } : {}) });
        this.#emit("loaded", { base });
      }
      const modules = loom.registry.index
        ? (await loom.suggest({ examples, ...options })).map(({ module }) => module.id)
        : loom.fittingModules();
      const result = await this.#learnFrom(loom, examples, modules, options);
      options.signal.throwIfAborted();
      if (!result.modules.length) {
        this.#show("No module makes these examples likelier: the base answers best.");
        return;
      }
      const recipe = await loom.share({ composition: result, title });
      this.#learned = recipe;
      this.#show("");
      this.#showResult(result);
      this.#emit("learned", { recipe, result });
    });
  }

  /** Learns; the button stops it meanwhile. */
  async #learnFrom(
    loom: LoraLoom,
    examples: Example[],
    modules: string[],
    options: CallOptions,
  ): Promise<LearnResult> {
    const button = this.#view?.learn.button;
    const call = loom.learn({ ...options, examples, modules });
    this.#learning = call;
    if (button) {
      button.textContent = "Stop";
      button.disabled = false;
    }
    try {
      for await (const { number } of call) this.#show(`Trying mixes: ${number}`);
      return await call;
    } finally {
      this.#learning = null;
      if (button) {
        button.textContent = "Learn";
        button.disabled = true;
      }
    }
  }

  #showResult({ modules, assessment }: LearnResult): void {
    const view = this.#view;
    if (!view) return;
    if (assessment) {
      const share = `about ${Math.round(10 * assessment.expected.mean)} in 10 new inputs right`;
      view.learn.verdict.textContent = `${VERDICTS[assessment.verdict]}: ${share}.`;
    }
    const mix = modules.map(({ id, weight }) => `${id} ${meanWeight(weight).toFixed(2)}`);
    view.learn.mix.textContent = mix.join(", ");
    view.answer.base.textContent = view.answer.composed.textContent = "";
    view.answer.button.textContent = "Answer";
    this.#showAnswers(true);
  }

  /** Puts a pasted table into the rows. */
  #paste(event: ClipboardEvent): void {
    const pasted = event.clipboardData?.getData("text/plain").trim() ?? "";
    const learn = this.#view?.learn;
    if (!learn || !/[\n\t]/.test(pasted)) return;
    event.preventDefault();
    const read = () =>
      this.#withLoom(async (loom) => {
        const { examples } = await loom.readExamples(pasted);
        learn.tasks.value = "";
        fillRows(learn, examples);
        this.#show("");
      });
    void this.#run(learn.button, read);
  }

  async #answer(input: string): Promise<void> {
    const places = this.#view?.answer;
    if (!places) return;
    const isEmpty = !input.trim();
    await this.#restore(async (loom, composition, signal) => {
      if (isEmpty) {
        this.#show("Type an input first.");
        return;
      }
      places.base.textContent = "";
      places.composed.textContent = "";
      const answers: string[] = [];
      for (const [place, composed] of [
        [places.base, null],
        [places.composed, composition],
      ] as const) {
        const onToken = (text: string) => {
          place.textContent = text;
        };
        const { text } = await loom.generate({ input, composition: composed, onToken, signal });
        onToken(text || "(nothing)");
        answers.push(text);
      }
      const [base = "", composed = ""] = answers;
      this.#emit("answered", { input, base, composed });
    });
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

if (globalThis.customElements && !customElements.get("lora-loom")) {
  customElements.define("lora-loom", LoraLoomElement);
}
