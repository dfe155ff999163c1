// The page: the first screen, and under it the story from left to right.

import { AnswersPart } from "./parts/answers.js";
import { LearnPart } from "./parts/learn.js";
import { ModulesPart } from "./parts/modules.js";
import { OpeningPart } from "./parts/opening.js";
import { SharePart } from "./parts/share.js";
import { TaskPart } from "./parts/task.js";

/** The whole page. */
export function App() {
  return (
    <>
      <OpeningPart />
      <main class="story">
        <div class="column">
          <TaskPart />
          <ModulesPart />
        </div>
        <div class="column">
          <LearnPart />
        </div>
        <div class="column">
          <AnswersPart />
          <SharePart />
        </div>
      </main>
      <footer>
        <p>
          The method is <a href="https://arxiv.org/abs/2307.13269">LoraHub (Huang et al., 2023)</a>:
          one weight for each module, found without gradients. Nothing you type leaves this tab.
        </p>
      </footer>
    </>
  );
}
