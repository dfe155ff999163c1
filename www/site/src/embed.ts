// A page with the web component alone, for a frame in another page. embed.html#… takes the same fragment
// as the site.

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
