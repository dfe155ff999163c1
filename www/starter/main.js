// The page: <lora-loom> learns a mix of the library's modules from examples. The mix is the part of the address after the
// #, so that the address can be shared.

import "./loraloom/element.js";

const element = document.querySelector("lora-loom");
const linked = document.querySelector("#linked");

/** Shows the mix of the address, or the tasks where it has none. */
function show() {
  const recipe = location.hash.slice(1);
  if (recipe) element.setAttribute("recipe", recipe);
  else element.removeAttribute("recipe");
  linked.hidden = !recipe;
}

element.addEventListener("learned", ({ detail }) => {
  history.replaceState(null, "", `#${detail.recipe}`);
  linked.hidden = false;
});
addEventListener("hashchange", show);
show();
