// The settings of the next run.

import { SettingField } from "../components/setting.js";
import { details } from "../details-text.js";
import { loom } from "../state/session.js";
import { replaceOptions, settings } from "../state/settings.js";

/** The setting that the library's panel shows. */
const MODULE_SETTING = "selection";

export function LearnSettings() {
  const { learnOptions } = details;
  return (
    <>
      <div class="row small">
        <button type="button" onClick={() => replaceOptions({})}>
          {learnOptions.recommended}
        </button>
        <button type="button" onClick={() => replaceOptions(loom.value?.published ?? {})}>
          {learnOptions.published}
        </button>
      </div>
      <div class="options">
        {settings.value
          .filter(({ name }) => name !== MODULE_SETTING)
          .map(({ name }) => (
            <SettingField key={name} name={name} />
          ))}
      </div>
    </>
  );
}
