/** A progress bar; its numbers stand beside it. */
export function ProgressBar({
  value,
  max,
  label,
  side,
}: {
  value: number;
  max: number;
  label: string;
  side?: "base" | "composed";
}) {
  const share = max > 0 ? Math.min(1, value / max) : 0;
  return (
    <div
      class={`bar ${side ?? ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={max}
      aria-valuenow={value}
    >
      <div style={{ transform: `scaleX(${share})` }} />
    </div>
  );
}
