// The library of modules: search, cards, and other libraries.

import type { RegistryModule } from "loraloom";
import type { ComponentChildren } from "preact";
import { Select } from "../components/select.js";
import { SourceForm } from "../components/source-form.js";
import { Term } from "../components/tooltip.js";
import { bytes, count, loss, percent } from "../format.js";
import { learning } from "../state/learn.js";
import {
  addToShortlist,
  found,
  isLarge,
  moduleBytes,
  query,
  removeFromShortlist,
  searchBy,
  shortlist,
  showMore,
} from "../state/library.js";
import { handPicked, pick } from "../state/modules.js";
import { registry, registryUrl } from "../state/session.js";
import { options } from "../state/settings.js";

/** A module's title, with a checkbox where modules are selected by hand. */
export function PickableTitle({ id, title }: { id: string; title: string }) {
  if (options.value?.selection !== "by-hand") return <h3>{title}</h3>;
  return (
    <h3>
      <label>
        <input
          type="checkbox"
          checked={handPicked.value.includes(id)}
          onChange={({ currentTarget }) => pick(id, currentTarget.checked)}
        />{" "}
        {title}
      </label>
    </h3>
  );
}

/** The download size of a module. */
export const sizeText = (module: RegistryModule) => {
  const size = moduleBytes(module);
  return size ? bytes(size) : "size unknown";
};

/** One module of the library. */
function Card({ module, alone }: { module: RegistryModule; alone: number | undefined }) {
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
            onClick={() => (chosen ? removeFromShortlist(module.id) : addToShortlist(module))}
          >
            {chosen ? "Remove" : `Add, ${sizeText(module)}`}
            <span class="visually-hidden">: {module.title}</span>
          </button>
        </div>
      ) : (
        <PickableTitle id={module.id} title={module.title} />
      )}
      {example && (
        <p class="pair">
          <span>{example.input}</span>
          <span aria-hidden="true"> → </span>
          <span class="visually-hidden"> gives </span>
          <strong>{example.output}</strong>
        </p>
      )}
      {alone !== undefined && Number.isFinite(alone) && (
        <p class="details">selected; loss alone {loss(alone)}</p>
      )}
      <details>
        <summary>Details</summary>
        <p>{module.task}</p>
        <p class="details">
          <Term of="rank">rank</Term> {module.rank}, {module.targets.join(" ")}, {sizeText(module)},{" "}
          {module.license}
          {result &&
            `; exact match on its own task ${percent(result.exact_match)} (base ${percent(result.base_exact_match)})`}
        </p>
      </details>
    </li>
  );
}

const withCount = (value: string | number, modules: number) =>
  `${value} (${modules.toLocaleString("en")})`;

/** The search fields of the library. */
export function SearchFields() {
  const tags = found.value?.tags ?? [];
  const ranks = found.value?.ranks ?? [];
  return (
    <div class="options search">
      <label class="words">
        Find a module
        <input
          type="search"
          placeholder="title, task or example"
          value={query.value.text}
          onInput={({ currentTarget }) => searchBy({ text: currentTarget.value })}
        />
      </label>
      {isLarge.value && tags.length > 0 && (
        <Select
          label="Tag"
          value={query.value.tag}
          options={[
            ["", "any"],
            ...tags.map(({ tag, modules }) => [tag, withCount(tag, modules)] as const),
          ]}
          onSelect={(tag) => searchBy({ tag })}
        />
      )}
      {isLarge.value && ranks.length > 1 && (
        <Select
          label="Rank"
          value={query.value.rank ?? ""}
          options={[
            ["", "any"],
            ...ranks.map(({ rank, modules }) => [rank, withCount(rank, modules)] as const),
          ]}
          onSelect={(rank) => searchBy({ rank: rank ? Number(rank) : null })}
        />
      )}
    </div>
  );
}

/** The found modules, and a button that shows more. */
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
    // Modules without a loss keep the order of the search.
    alone.has(a.id) || alone.has(b.id) ? order(a.id) - order(b.id) : 0,
  );
  const filtered = query.value.text || query.value.tag || query.value.rank !== null;
  const left = (result?.total ?? 0) - modules.length;
  return (
    <>
      <p class={isLarge.value ? "status" : "visually-hidden"} role="status" data-testid="found">
        {result && (filtered || isLarge.value) ? `${count(result.total, "module")} found` : ""}
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
              Show more ({left.toLocaleString("en")} left)
            </button>
          </li>
        )}
      </ul>
      {result && !result.total && filtered && <p>No module matches. Try fewer or shorter words.</p>}
    </>
  );
}

const LIBRARIES = [
  {
    url: "./library/registry.json",
    title: "The demo",
    text: "A small model with small modules, made for this page. Downloads about 25 MB.",
  },
  {
    url: "./lorahub/registry.json",
    title: "LoraHub’s published modules",
    text: "196 modules for Flan-T5 large, from Hugging Face. The model is a 3.1 GB download and uses about 1 GB of memory. Each module is 19 MB, and only the ones you use are downloaded.",
  },
];

/** Links to other libraries, which open in this tab and keep the examples. */
export function LibraryChoice() {
  const open = (url: string) => {
    const page = new URL(location.href);
    page.searchParams.set("registry", url);
    page.hash = "";
    return page.href;
  };
  return (
    <details class="libraries" data-testid="library-choice">
      <summary>Switch library{registry.value && ` (now: ${registry.value.title})`}</summary>
      <ul>
        {LIBRARIES.filter(({ url }) => url !== registryUrl).map(({ url, title, text }) => (
          <li key={url} class="card">
            <a href={open(url)}>{title}</a>
            <p class="details">{text} Nothing is downloaded until you press a button.</p>
          </li>
        ))}
      </ul>
      <SourceForm
        label="A library’s address"
        placeholder="https://…/registry.json"
        action="Open"
        onSource={(url) => location.assign(open(url))}
      />
    </details>
  );
}
