// A page with the web component alone, for a frame in another page. embed.html#… takes the same fragment
// as the site, and without one it learns.

import "./trusted-types.js";
import "./embed.css";
import type { LoraLoomElementEvents } from "loraloom/element";
import "loraloom/element";

/** The library of a page whose address names none. */
const OWN_LIBRARY = "./library/registry.json";

/** Names the host of a library on another site, from which the element's button loads. */
function sourceOf(registry: string): string {
  if (!location.hash || !URL.canParse(registry, location.href)) return "";
  const { host, origin } = new URL(registry, location.href);
  return origin === location.origin ? "" : `“Load and answer” loads the library from ${host}.`;
}

function show() {
  const query = new URLSearchParams(location.search);
  const registry = query.get("registry") || OWN_LIBRARY;
  const source = document.createElement("p");
  source.textContent = sourceOf(registry);
  const element = document.createElement("lora-loom");
  element.setAttribute("registry", registry);
  element.setAttribute("recipe", location.hash);
  const title = document.createElement("h2");
  title.slot = "title";
  title.textContent = query.get("title");
  if (title.textContent) element.append(title);
  // The address opens what was learned.
  element.addEventListener("learned", (event) => {
    const { recipe } = (event as CustomEvent<LoraLoomElementEvents["learned"]>).detail;
    history.replaceState(null, "", `#${recipe}`);
  });
  document.querySelector("main div")?.replaceChildren(source, element);
}

addEventListener("hashchange", show);
show();
