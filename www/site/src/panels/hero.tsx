// The head of the page: what this is, what it costs in one line, and the details of that behind a
// disclosure.

import "./hero.css";
import { weaveUrl } from "../charts/weave.js";
import { Lazy, LazyDetails } from "../components/lazy.js";
import { Problem } from "../components/problem.js";
import { bytes } from "../format.js";
import { unpolishedMix } from "../state/bench.js";
import { baseBytes, bytesOf, modulesToLoad } from "../state/library.js";
import { base, gpu, loom, restartError, start, startError, verified } from "../state/session.js";
import { linkError, linkOffer } from "../state/workflow.js";
import { text } from "../text.js";

const SOURCE = "https://github.com/loraloom/loraloom";

export function Hero() {
  const { hero } = text;
  const ready = loom.value !== null;
  return (
    <header class="hero">
      <a class="skip" href="#input">
        {hero.skip}
      </a>
      <div class="top">
        <p class="brand">
          <img src={weaveUrl(unpolishedMix.value?.modules ?? [])} width={28} height={28} alt="" />
          LoraLoom
        </p>
        <nav>
          <a href="#tasks">{hero.nav.tasks}</a>
          <a href="#modules">{hero.nav.library}</a>
          <a href={SOURCE}>{hero.nav.source}</a>
        </nav>
      </div>
      <h1>{hero.title}</h1>
      <p class="lede">{hero.lede}</p>
      <LazyDetails
        class="facts"
        testId="facts"
        open={verified.value?.agrees === false}
        summary={<Facts />}
        load={() => import("./facts.js").then(({ FactsDetails }) => FactsDetails)}
      />
      <Problem error={startError.value}>
        {!ready && (
          <button type="button" onClick={() => void start()}>
            {hero.tryAgain}
          </button>
        )}
      </Problem>
      {linkOffer.value && (
        <Lazy load={() => import("./landing.js").then(({ Landing }) => Landing)} />
      )}
      <Problem error={linkError.value} />
      <Problem error={restartError.value}>
        <Lazy load={() => import("./start-again.js").then(({ StartAgain }) => StartAgain)} />
      </Problem>
    </header>
  );
}

/** What it costs, in one line. */
function Facts() {
  const { hero } = text;
  // A loaded base counts its weights alone; a registry may not know their exact size.
  const model = Math.max(base.value?.bytes ?? 0, baseBytes.value);
  const total = bytes(model + bytesOf(modulesToLoad.value));
  const size = !loom.value ? hero.reading : base.value ? hero.loaded(total) : hero.once(total);
  return (
    <>
      <b>{size}</b> · {gpu.value?.active ? hero.gpu : hero.cpu} · <b>{hero.private}</b> ·{" "}
      <span class="more">{hero.details}</span>
    </>
  );
}
