// Printing of results, and their form in JSON.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function number(value) {
  if (Number.isInteger(value)) return String(value);
  if (value >= 1000) return value.toFixed(0);
  return value >= 100 ? value.toFixed(1) : value.toPrecision(3);
}

export function printHead({ contenders }) {
  const times =
    contenders.length > 0 ? "   speed-up over the contender; above 1 means LoraLoom is faster" : "";
  console.log(
    `\n   ${"".padEnd(16)}${"".padEnd(64)}threads${"median".padStart(20)}${"best".padStart(10)}   of ceiling${times}`,
  );
}

export function printRow({
  name,
  shape,
  threads,
  value,
  best,
  unit,
  ceilingShare,
  ceiling,
  versus,
}) {
  const share =
    ceilingShare === null ? "" : `${(ceilingShare * 100).toFixed(0)} % of ${ceiling.unit}`;
  const times = Object.entries(versus)
    .map(([contender, ratio]) => `${contender} ${ratio.toFixed(2)}`)
    .join(", ");
  const [middle, least] =
    value === null ? ["not offered", ""] : [`${number(value)} ${unit}`.trim(), number(best)];
  console.log(
    `   ${name.padEnd(16)}${shape.padEnd(64)}${String(threads ?? "GPU").padStart(7)}${middle.padStart(20)}${least.padStart(10)}   ${share.padEnd(15)}${times}`.trimEnd(),
  );
}

/** Prints the time and the multiply-adds of each size of a series relative to the size before. */
export function printGrowth(results) {
  const series = new Map();
  for (const result of results.filter(({ growth }) => growth)) {
    const key = `${result.growth.series}, ${result.threads} threads`;
    series.set(key, [...(series.get(key) ?? []), result]);
  }
  console.log("\n   Growth: time (and multiply-adds) relative to the size before");
  for (const [key, rows] of series) {
    const sorted = rows.toSorted((a, b) => a.growth.size - b.growth.size);
    const steps = sorted.slice(1).map((row, index) => {
      const before = sorted[index];
      const time = (row.value / before.value).toFixed(2);
      const work = (row.multiplyAdds / before.multiplyAdds).toFixed(2);
      return `${before.growth.size} to ${row.growth.size}: ${time} (${work})`;
    });
    console.log(`   ${key.padEnd(50)} ${steps.join("   ")}`);
  }
}

/** A row in JSON; other programs read these names. `threads` is null on the GPU, and `value` for what
 *  the GPU does not offer. */
export function jsonRow({ name, shape, threads, value, unit, ceilingShare, versus }) {
  return { name, shape, threads, value, unit, ceiling_share: ceilingShare, versus };
}
