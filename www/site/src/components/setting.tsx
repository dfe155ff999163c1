import { changeSetting, options, settings } from "../state/settings.js";
import { text } from "../text.js";
import { Tooltip } from "./tooltip.js";

/** The field of a learning setting, with its help. Nothing before the engine has started. */
export function SettingField({ name }: { name: string }) {
  const setting = settings.value.find((one) => one.name === name);
  if (!setting || !options.value) return null;
  const { label, help, kind } = setting;
  const value = options.value[setting.name];
  const id = `setting-${name}`;
  const choice = kind.kind === "choice" && kind.choices.find((one) => one.value === value);
  return (
    <div class="option">
      <span>
        <label for={id}>{label}</label>{" "}
        <Tooltip tip={choice ? `${help} ${choice.help}` : help} label={text.learn.about(label)}>
          ?
        </Tooltip>
      </span>
      {kind.kind === "choice" ? (
        <select
          id={id}
          value={value}
          onChange={({ currentTarget }) => changeSetting(setting, currentTarget.value)}
        >
          {kind.choices.map(({ value, label }) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      ) : (
        <input
          id={id}
          type="number"
          min={kind.min}
          max={kind.max}
          step={kind.kind === "number" ? kind.step : 1}
          value={value}
          onChange={({ currentTarget }) => {
            currentTarget.value = String(changeSetting(setting, currentTarget.value));
          }}
        />
      )}
    </div>
  );
}
