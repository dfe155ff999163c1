// The page's entry.

import "./trusted-types.js";
import "./fonts.css";
import "./style.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.js";
import { weaveUrl } from "./charts/weave.js";
import { mix, unpolishedMix } from "./state/bench.js";
import { followFaders } from "./state/follow.js";
import { keepRuns } from "./state/runs.js";
import { keepLinkCurrent } from "./state/share.js";
import { keepSite } from "./state/site.js";
import { restoreFromAddress, startPage } from "./state/workflow.js";

const { title } = document;

/** Runs what follows in a task of its own, so that none keeps the page from responding for long. */
const nextTask = () => new Promise<void>((resolve) => setTimeout(resolve));

async function main() {
  await nextTask();
  render(<App />, document.getElementById("app") as HTMLElement);
  await nextTask();
  keepLinkCurrent();
  followFaders();
  keepRuns();
  // The tab has the mix's name and its drawing.
  effect(() => {
    document.title = mix.value ? `${mix.value.title} · LoraLoom` : title;
    const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    if (icon) icon.href = weaveUrl(unpolishedMix.value?.modules ?? []);
  });
  addEventListener("hashchange", () => void restoreFromAddress());
  await startPage();
  if (import.meta.env.PROD) await keepSite();
}

void main();
