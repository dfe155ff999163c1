// The page: the head, the three steps, the tasks, and the library.

import { Lazy } from "./components/lazy.js";
import { Gallery } from "./panels/gallery.js";
import { Hero } from "./panels/hero.js";
import { MixPanel } from "./panels/mix.js";
import { ModulesPanel } from "./panels/modules.js";
import { ResultPanel } from "./panels/result.js";
import { TaskPanel } from "./panels/task.js";
import { newVersion } from "./state/session.js";
import { text } from "./text.js";

/** The whole page. */
export function App() {
  const { footer } = text;
  return (
    <>
      <Hero />
      <main>
        <div class="bench">
          <TaskPanel />
          <MixPanel />
          <ResultPanel />
        </div>
        <Gallery />
        <ModulesPanel />
      </main>
      <footer>
        <p>
          {footer.method}
          <a href="https://arxiv.org/abs/2307.13269">{footer.methodName}</a>
          {footer.methodEnd}
        </p>
        <p>
          {footer.fonts}
          <a href="./fonts/Inter-OFL.txt">Inter</a>,{" "}
          <a href="./fonts/SourceSerif4-OFL.txt">Source Serif 4</a>.
        </p>
      </footer>
      {newVersion.value && (
        <Lazy load={() => import("./panels/new-version.js").then(({ NewVersion }) => NewVersion)} />
      )}
    </>
  );
}
