// A page with the web component alone, to put a shared composition into another page's frame:
// embed.html#… takes the same fragment as the site.

import "loraloom/element";

function show() {
  document.querySelector("lora-loom")?.remove();
  const element = document.createElement("lora-loom");
  const registry = new URLSearchParams(location.search).get("registry");
  element.setAttribute("registry", registry ?? "./library/registry.json");
  element.setAttribute("recipe", location.hash);
  document.querySelector("main")?.append(element);
}

addEventListener("hashchange", show);
show();
