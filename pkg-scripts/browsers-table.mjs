// Writes the table of browsers of README.md from what `pkg-scripts/test --only engines` ran.
// usage: browsers-table.mjs [FILE]   (FILE defaults to where that step writes)
import { readFileSync, writeFileSync } from "node:fs";

const root = new URL("../", import.meta.url);
const from = process.argv[2] ?? new URL("www/node_modules/.cache/loraloom-engines.json", root);
const readme = new URL("README.md", root);
const [BEGIN, END] = ["<!-- browsers-table.mjs begins -->", "<!-- browsers-table.mjs ends -->"];

const results = JSON.parse(readFileSync(from, "utf8"));
const cell = (result) => {
  if (!result) return "failed";
  const { build, threads, speedup } = result;
  const ratio = speedup ? `: ${speedup.toFixed(1)} × one` : "";
  return `\`${build}\`, ${threads === 1 ? "one thread" : `${threads} threads`}${ratio}`;
};
const rows = [...new Set(results.map(({ name }) => name))].map((name) => {
  const of = (isolated) =>
    results.find((result) => result.name === name && result.isolated === isolated);
  const { version } = of(true) ?? of(false);
  return `| ${name} | ${version} | ${cell(of(true))} | ${cell(of(false))} |`;
});
const table = [
  "| browser | version | isolated page | page without the headers |",
  "|---|---|---|---|",
  ...rows,
].join("\n");

const text = readFileSync(readme, "utf8");
const [start, end] = [text.indexOf(BEGIN), text.indexOf(END)];
if (start < 0 || end < start) throw new Error(`README.md lacks ${BEGIN} and ${END}`);
writeFileSync(readme, `${text.slice(0, start)}${BEGIN}\n${table}\n${text.slice(end)}`);
