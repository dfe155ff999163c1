// The page: the first screen, and under it the panels of the workflow in three columns.

import { AnswersPanel } from "./panels/answers.js";
import { Hero } from "./panels/hero.js";
import { LearnPanel } from "./panels/learn.js";
import { ModulesPanel } from "./panels/modules.js";
import { SharePanel } from "./panels/share.js";
import { TaskPanel } from "./panels/task.js";

/** The whole page. */
export function App() {
  return (
    <>
      <Hero />
      <main class="workflow">
        <div class="column">
          <TaskPanel />
          <ModulesPanel />
        </div>
        <div class="column">
          <LearnPanel />
        </div>
        <div class="column">
          <AnswersPanel />
          <SharePanel />
        </div>
      </main>
      <footer>
        <p>
          The method is <a href="https://arxiv.org/abs/2307.13269">LoraHub (Huang et al., 2023)</a>:
          one weight per module, found without gradients. Nothing you type leaves this tab.
        </p>
      </footer>
    </>
  );
}
