// The library behind the modules: search and cards, the shortlist of a large one, and other libraries.

import { useSignal } from "@preact/signals";
import type { RegistryModule } from "loraloom";
import type { ComponentChildren } from "preact";
import { bytes, count, loss, percent } from "../format.js";
import { learning, options, ticked } from "../state/learn.js";
import {
  baseBytes,
  bytesOf,
  choose,
  clearShortlist,
  findError,
  finding,
  found,
  isLarge,
  moduleBytes,
  query,
  searchBy,
  shortlist,
  showMore,
  stopFinding,
  suggestModules,
  unchoose,
} from "../state/library.js";
import { base, busy, loom, registry, registryUrl } from "../state/session.js";
import { filledExamples } from "../state/task.js";
import { Bar, Problem, Term } from "./common.js";

/** A module's heading, with a box to tick where modules are chosen by hand. */
export function Tick({ id, title }: { id: string; title: string }) {
  if (options.value?.selection !== "by-hand") return <h3>{title}</h3>;
  return (
    <h3>
      <label>
        <input
          type="checkbox"
          checked={ticked.value.includes(id)}
          onChange={({ currentTarget }) => {
            const others = ticked.value.filter((one) => one !== id);
            ticked.value = currentTarget.checked ? [...others, id] : others;
          }}
        />{" "}
        {title}
      </label>
    </h3>
  );
}

const megabytes = (module: RegistryModule) => {
  const size = moduleBytes(module);
  return size ? bytes(size) : "length unknown";
};

/** One module of the library. */
export function Card({ module, alone }: { module: RegistryModule; alone: number | undefined }) {
  const { example, result } = module;
  const chosen = shortlist.value.some((one) => one.module.id === module.id);
  return (
    <li
      class={`card ${alone !== undefined || (isLarge.value && chosen) ? "in-use" : ""}`}
      data-module={module.id}
    >
      {isLarge.value ? (
        <div class="card-head">
          <h3>{module.title}</h3>
          <button
            type="button"
            class="quiet"
            disabled={learning.value}
            onClick={() => (chosen ? unchoose(module.id) : choose(module))}
          >
            {chosen ? "Remove" : `Add, ${megabytes(module)}`}
            <span class="for-readers">: {module.title}</span>
          </button>
        </div>
      ) : (
        <Tick id={module.id} title={module.title} />
      )}
      {example && (
        <p class="pair">
          <span>{example.input}</span>
          <span aria-hidden="true"> → </span>
          <span class="for-readers"> gives </span>
          <strong>{example.output}</strong>
        </p>
      )}
      {alone !== undefined && Number.isFinite(alone) && (
        <p class="details">chosen; loss alone {loss(alone)}</p>
      )}
      <details>
        <summary>Details</summary>
        <p>{module.task}</p>
        <p class="details">
          <Term of="rank">rank</Term> {module.rank}, {module.targets.join(" ")}, {megabytes(module)}
          , {module.license}
          {result &&
            `; exact match on its own task ${percent(result.exact_match)} (base ${percent(result.base_exact_match)})`}
        </p>
      </details>
    </li>
  );
}

/** The fields that the library is searched with. */
export function SearchFields() {
  const tags = found.value?.tags ?? [];
  const ranks = found.value?.ranks ?? [];
  return (
    <div class="options search">
      <label class="words">
        Find a module
        <input
          type="search"
          placeholder="words of its title, task or example"
          value={query.value.text}
          onInput={({ currentTarget }) => searchBy({ text: currentTarget.value })}
        />
      </label>
      {isLarge.value && tags.length > 0 && (
        <label>
          Tag
          <select
            value={query.value.tag}
            onChange={({ currentTarget }) => searchBy({ tag: currentTarget.value })}
          >
            <option value="">any</option>
            {tags.map(({ tag, modules }) => (
              <option key={tag} value={tag}>
                {tag} ({modules.toLocaleString("en")})
              </option>
            ))}
          </select>
        </label>
      )}
      {isLarge.value && ranks.length > 1 && (
        <label>
          Rank
          <select
            value={query.value.rank ?? ""}
            onChange={({ currentTarget }) =>
              searchBy({ rank: currentTarget.value ? Number(currentTarget.value) : null })
            }
          >
            <option value="">any</option>
            {ranks.map(({ rank, modules }) => (
              <option key={rank} value={rank}>
                {rank} ({modules.toLocaleString("en")})
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

/** The modules found, and a button for more of them. */
export function FoundCards({
  alone,
  children,
}: {
  alone: Map<string, number>;
  children?: ComponentChildren;
}) {
  const result = found.value;
  const order = (id: string) => alone.get(id) ?? Number.POSITIVE_INFINITY;
  const modules = [...(result?.modules ?? [])].sort((a, b) =>
    // Two modules without a loss stay as they were found.
    alone.has(a.id) || alone.has(b.id) ? order(a.id) - order(b.id) : 0,
  );
  const asked = query.value.text || query.value.tag || query.value.rank !== null;
  const left = (result?.total ?? 0) - modules.length;
  return (
    <>
      <p class={isLarge.value ? "status" : "for-readers"} role="status" data-testid="found">
        {result && (asked || isLarge.value) ? `${count(result.total, "module")} found` : ""}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <ul class="cards" tabIndex={0} aria-label="Modules">
        {children}
        {modules.map((one) => (
          <Card key={one.id} module={one} alone={alone.get(one.id)} />
        ))}
        {left > 0 && (
          <li class="card">
            <button type="button" onClick={showMore}>
              Show more of the other {left.toLocaleString("en")}
            </button>
          </li>
        )}
      </ul>
      {result && !result.total && asked && (
        <p>No module has all of these. Try fewer words, or their beginnings.</p>
      )}
    </>
  );
}

/** Of a large library: the modules that will be fetched, and why each. */
export function Shortlist() {
  const choices = shortlist.value;
  const total = bytesOf(choices.map(({ module }) => module));
  const reading = finding.value;
  const most = options.value?.modules ?? 0;
  return (
    <section class="shortlist" aria-label="Modules to fetch">
      <div class="row">
        {reading ? (
          <>
            <button type="button" onClick={stopFinding}>
              Stop
            </button>
            <Bar value={reading.done} max={reading.total} label="Descriptions read" />
            <p class="status">
              The model reads what modules are for: {reading.done} of {reading.total}
            </p>
          </>
        ) : (
          <>
            <button
              type="button"
              disabled={!loom.value || busy.value || learning.value}
              onClick={() => {
                const examples = filledExamples();
                if (examples) void suggestModules(examples, most);
              }}
            >
              Find the nearest to the examples
            </button>
            <p class="status">
              {base.value
                ? "The loaded model compares their descriptions with your examples."
                : `Loads the model first${baseBytes.value ? `, ${bytes(baseBytes.value)}` : ""}: it compares their descriptions with your examples.`}
            </p>
          </>
        )}
      </div>
      <Problem error={findError.value} />
      {choices.length > 0 && (
        <>
          <div class="card-head">
            <h3 data-testid="to-fetch">
              {count(choices.length, "module")} to fetch{total ? `, ${bytes(total)}` : ""}
            </h3>
            <button type="button" class="quiet" disabled={learning.value} onClick={clearShortlist}>
              Remove all
            </button>
          </div>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
          <ul class="chosen" tabIndex={0} aria-label="Modules to fetch">
            {choices.map(({ module, reason }) => (
              <li key={module.id} class="card" data-chosen={module.id}>
                <div class="card-head">
                  <Tick id={module.id} title={module.title} />
                  <button
                    type="button"
                    class="quiet"
                    disabled={learning.value}
                    aria-label={`Do not fetch ${module.title}`}
                    onClick={() => unchoose(module.id)}
                  >
                    ×
                  </button>
                </div>
                <p class="details">
                  {reason}; {megabytes(module)}
                </p>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

const LIBRARIES = [
  {
    url: "./library/registry.json",
    title: "The demo",
    text: "A small model and small modules made for this page, about 25 MB: all of it is fetched.",
  },
  {
    url: "./lorahub/registry.json",
    title: "LoraHub’s published modules",
    text: "196 modules for Flan-T5 large, from their authors’ pages on the hub. The model is 3.1 GB to fetch and takes about 1 GB of memory; each module is 19 MB, and only those you choose are fetched.",
  },
];

/** Other libraries; each opens in this tab, with the examples as they are. */
export function LibraryChoice() {
  const address = useSignal("");
  const open = (url: string) => {
    const page = new URL(location.href);
    page.searchParams.set("registry", url);
    page.hash = "";
    return page.href;
  };
  return (
    <details class="libraries" data-testid="library-choice">
      <summary>Use another library than “{registry.value?.title ?? "this one"}”</summary>
      <ul>
        {LIBRARIES.filter(({ url }) => url !== registryUrl).map(({ url, title, text }) => (
          <li key={url} class="card">
            <a href={open(url)}>{title}</a>
            <p class="details">{text} Nothing is fetched before you press a button.</p>
          </li>
        ))}
      </ul>
      <form
        class="source"
        onSubmit={(event) => {
          event.preventDefault();
          if (address.value.trim()) location.href = open(address.value.trim());
        }}
      >
        <label>
          A library of any static host
          <input
            type="url"
            placeholder="https://…/registry.json"
            value={address.value}
            onInput={({ currentTarget }) => {
              address.value = currentTarget.value;
            }}
          />
        </label>
        <button type="submit">Open</button>
      </form>
    </details>
  );
}
