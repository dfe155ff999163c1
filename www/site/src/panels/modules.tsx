// The library: which modules a run mixes, searching them, and adding others.

import "./modules.css";
import { Lazy, LazyDetails } from "../components/lazy.js";
import { Problem } from "../components/problem.js";
import { SettingField } from "../components/setting.js";
import { selected } from "../state/learn.js";
import { isLarge, moduleCount, modulesToLoad } from "../state/library.js";
import { addedModules, handPicked, moduleError } from "../state/modules.js";
import { registry } from "../state/session.js";
import { options } from "../state/settings.js";
import { text } from "../text.js";
import { FoundCards, SearchFields } from "./library.js";

/** The library starts open where there is room beside the steps. */
const startsOpen = matchMedia("(min-width: 1000px)").matches;

export function ModulesPanel() {
  const lossAlone = new Map(selected.value.map(({ id, loss }) => [id, loss]));
  const { library } = text;
  return (
    <section class="modules" id="modules" aria-labelledby="modules-title">
      <h2 id="modules-title">{library.heading}</h2>
      <div class="choice">
        <div class="options one-per-row selection">
          <SettingField name="selection" />
        </div>
        <p class="explain" data-testid="chosen">
          {selectionText()}
        </p>
      </div>
      {isLarge.value && (
        <Lazy load={() => import("./shortlist.js").then(({ Shortlist }) => Shortlist)} />
      )}
      <details class="library" open={startsOpen}>
        <summary>{library.all(moduleCount.value + addedModules.value.length)}</summary>
        <SearchFields />
        <FoundCards alone={lossAlone}>
          {addedModules.value.length > 0 && (
            <Lazy
              load={() => import("./added-modules.js").then(({ AddedModules }) => AddedModules)}
            />
          )}
        </FoundCards>
      </details>
      <LazyDetails
        summary={library.add}
        testId="add-module"
        load={() => import("./add-module.js").then(({ AddModule }) => AddModule)}
      />
      <LazyDetails
        summary={library.switch(registry.value?.title)}
        testId="library-choice"
        load={() => import("./libraries.js").then(({ LibraryChoice }) => LibraryChoice)}
      />
      <Problem error={moduleError.value} />
    </section>
  );
}

/** Which modules a run mixes. */
function selectionText() {
  const all = options.value;
  const { library } = text;
  if (!all) return library.loading;
  if (selected.value.length) return library.selected(selected.value.length);
  if (isLarge.value && !modulesToLoad.value.length) {
    return library.large(moduleCount.value, all.modules);
  }
  const total = modulesToLoad.value.length + addedModules.value.length;
  if (total === 0) return library.none;
  const limit = Math.min(all.modules, total);
  switch (all.selection) {
    case "automatic":
      return library.bySingleLoss(total, limit);
    case "random":
      return library.atRandom(total, limit);
    case "by-hand":
      return library.byHand(handPicked.value.length);
    default:
      return library.allOf(total);
  }
}
