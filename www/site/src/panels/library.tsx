// Searching the library, and its cards.

import type { RegistryModule } from "loraloom";
import type { ComponentChildren } from "preact";
import { Select } from "../components/select.js";
import { bytes } from "../format.js";
import { occupied } from "../state/learn.js";
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
import { options } from "../state/settings.js";
import { text } from "../text.js";

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
  return size ? bytes(size) : text.library.sizeUnknown;
};

/** One module of the library. */
function Card({ module, alone }: { module: RegistryModule; alone: number | undefined }) {
  const { example, result, tags } = module;
  const { library } = text;
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
            disabled={occupied.value}
            onClick={() => (chosen ? removeFromShortlist(module.id) : addToShortlist(module))}
          >
            {chosen ? library.remove : library.addSized(sizeText(module))}
            <span class="visually-hidden">: {module.title}</span>
          </button>
        </div>
      ) : (
        <PickableTitle id={module.id} title={module.title} />
      )}
      {example && (
        <p class="example">
          {example.input}
          <span aria-hidden="true"> → </span>
          <span class="visually-hidden">{library.gives}</span>
          <strong>{example.output}</strong>
        </p>
      )}
      <p class="details">
        {result && <>{library.ownScore(result.exact_match, result.base_exact_match)} · </>}
        {[...tags, module.license, sizeText(module)].filter(Boolean).join(" · ")}
        {alone !== undefined && Number.isFinite(alone) && <> · {library.alone(alone)}</>}
      </p>
      <details>
        <summary>{library.details}</summary>
        <p class="details">
          {module.task} {library.facts(module.rank, module.targets.join(" "))}
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
  const { library } = text;
  return (
    <div class="options search">
      <label class="words">
        {library.find}
        <input
          type="search"
          placeholder={library.findPlaceholder}
          value={query.value.text}
          onInput={({ currentTarget }) => searchBy({ text: currentTarget.value })}
        />
      </label>
      {tags.length > 1 && (
        <Select
          label={library.tag}
          value={query.value.tag}
          options={[
            ["", library.any],
            ...tags.map(({ tag, modules }) => [tag, withCount(tag, modules)] as const),
          ]}
          onSelect={(tag) => searchBy({ tag })}
        />
      )}
      {ranks.length > 1 && (
        <Select
          label={library.rank}
          value={query.value.rank ?? ""}
          options={[
            ["", library.any],
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
  const filtered = query.value.text || query.value.tag || query.value.rank !== null;
  const order = (id: string) => alone.get(id) ?? Number.POSITIVE_INFINITY;
  const all = result?.modules ?? [];
  // What a search found best comes first; without one, what helps most alone.
  const modules = filtered
    ? all
    : [...all].sort((a, b) => (alone.has(a.id) || alone.has(b.id) ? order(a.id) - order(b.id) : 0));
  const left = (result?.total ?? 0) - modules.length;
  const { library } = text;
  return (
    <>
      <p class="status" role="status" data-testid="found">
        {result && (filtered || isLarge.value) ? library.found(result.total, result.more) : ""}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <ul class="cards" tabIndex={0} aria-label={library.modules}>
        {children}
        {modules.map((one) => (
          <Card key={one.id} module={one} alone={alone.get(one.id)} />
        ))}
        {left > 0 && (
          <li class="card">
            <button type="button" onClick={showMore}>
              {library.more(left)}
            </button>
          </li>
        )}
      </ul>
      {result && !result.total && filtered && <p>{library.noMatch}</p>}
    </>
  );
}
