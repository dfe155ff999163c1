// The page's entry.

import "./fonts.css";
import "./style.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.js";
import { weaveUrl } from "./charts/weave.js";
import { composition, mix } from "./state/bench.js";
import { followFaders } from "./state/follow.js";
import { keepRuns } from "./state/runs.js";
import { keepLinkCurrent } from "./state/share.js";
import { restoreFromAddress, startPage } from "./state/workflow.js";

const { title } = document;

render(<App />, document.getElementById("app") as HTMLElement);
keepLinkCurrent();
followFaders();
keepRuns();
// The tab has the mix's name and its drawing.
effect(() => {
  document.title = mix.value ? `${mix.value.title} · LoraLoom` : title;
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (icon) icon.href = weaveUrl(composition.value?.modules ?? []);
});
addEventListener("hashchange", () => void restoreFromAddress());
void startPage();
