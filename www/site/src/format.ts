// Numbers as people read them: with units and sensible digits.

/**
 * Megabytes (10⁶ bytes) with one digit after the point; kilobytes below a tenth of one, gigabytes
 * from a thousand on.
 */
export function bytes(count: number): string {
  if (count < 100_000) return `${Math.ceil(count / 1000)} kB`;
  if (count >= 999_950_000) return `${(count / 1e9).toFixed(1)} GB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

/** A loss: three digits after the point. */
export const loss = (value: number) => value.toFixed(3);

/** A weight with its sign, which a screen reader reads too. */
export const weight = (value: number) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/** A change of the loss, with its sign and as many digits as fit beside a thread. */
export const signed = (value: number) =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(Math.abs(value) < 10 ? 2 : 1)}`;

/** Seconds: one digit after the point below ten, none above; milliseconds below a tenth. */
export const seconds = (value: number) =>
  value < 0.1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 1 : 0)} s`;

/** A share in percent, without digits that a hundred items cannot carry. */
export const percent = (value: number) => `${value.toFixed(value % 1 === 0 ? 0 : 1)} %`;

/** A count of something, with the right ending. */
export const count = (value: number, one: string, many = `${one}s`) =>
  `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
