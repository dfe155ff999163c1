/** A labelled select; `options` are values with their texts. */
export function Select(props: {
  label: string;
  value: string | number;
  options: (readonly [string | number, string])[];
  disabled?: boolean;
  onSelect: (value: string) => void;
}) {
  return (
    <label>
      {props.label}
      <select
        value={props.value}
        disabled={props.disabled}
        onChange={({ currentTarget }) => props.onSelect(currentTarget.value)}
      >
        {props.options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
