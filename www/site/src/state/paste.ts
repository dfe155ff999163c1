// What text that is pasted into a cell of the examples is: text of the cell, one row, or a table.

import type { Example } from "loraloom";

/** What pasted text is; `cell` is text that differs from what was pasted. */
export type Pasted =
  | { kind: "text" | "table" | "json" }
  | { kind: "cell"; text: string }
  | { kind: "row"; row: Example };

/** A cell in quotation marks, which may hold tabs and line breaks. */
const QUOTED = /"(?:[^"]|"")*"/g;
/** Each cell of a row with tabs. */
const CELLS = /(?<=^|\t)(?:"(?:[^"]|"")*"|[^\t]*)(?=\t|$)/g;
/** This project's own header; other tables with commas look like prose. */
const HEADER = /^(?:sep=|"?inputs?"?\s*[,;]\s*"?(?:outputs?|targets?)"?$)/i;

/**
 * Reads what is plainly a table or a row as one, and anything else as text. JSON is a table if it holds examples.
 * A row fills both cells from the input on; in the output there is no cell beside it, and it is text.
 */
export function readPaste(pasted: string, field: keyof Example): Pasted {
  // An empty cell at the end of a row keeps its tab.
  const text = pasted.replace(/[\r\n]+$/, "").replace(/^[\r\n]+/, "");
  if (isJsonTable(text)) return { kind: "json" };
  const lines = text
    .replace(QUOTED, '""')
    .split(/\r\n|\r|\n/)
    .filter((line) => line.trim());
  if (lines.length > 1) {
    // Indented lines have a tab too, but nothing before it.
    const hasColumns = lines.every((line) => /\S.*\t/.test(line));
    const isTable = hasColumns || HEADER.test(text.split(/[\r\n]/, 1)[0]?.trim() ?? "");
    return { kind: isTable ? "table" : "text" };
  }
  const cells = text.match(CELLS) ?? [];
  const [input = "", output = "", ...others] = cells.map(unquoted);
  // Spreadsheets quote a cell that has a tab or a line break; a quotation of one line keeps its marks.
  if (cells.length === 1 && /[\t\r\n]/.test(input) && input !== text.trim()) {
    return { kind: "cell", text: input };
  }
  if (!input || !output || others.some((cell) => cell)) return { kind: "text" };
  return field === "input"
    ? { kind: "row", row: { input, output } }
    : { kind: "cell", text: `${input} ${output}` };
}

/** The text of a cell, as spreadsheets copy it. */
function unquoted(cell: string): string {
  const [whole] = cell.match(/^"(?:[^"]|"")*"$/) ?? [];
  return (whole ? whole.slice(1, -1).replaceAll('""', '"') : cell).trim();
}

/** Whether a text is a list of objects in JSON, or lines of them. */
function isJsonTable(text: string): boolean {
  if (!/^\s*[{[]/.test(text)) return false;
  const isObject = (value: unknown) => typeof value === "object" && value !== null;
  try {
    const whole: unknown = JSON.parse(text);
    return Array.isArray(whole) ? whole.length > 0 && whole.every(isObject) : isObject(whole);
  } catch {
    const lines = text.split("\n").filter((line) => line.trim());
    try {
      return lines.length > 1 && lines.every((line) => isObject(JSON.parse(line)));
    } catch {
      return false;
    }
  }
}
