// What is pasted into a cell: a table only where it is plainly one, so that a paragraph replaces nothing.

import { expect, test } from "vitest";
import { readPaste } from "../src/state/paste.js";

test.each([
  ["a paragraph", "Dear Ann,\nthe river is cold, wide and green.\n\nYours, Bob"],
  ["lines of one comma each", "Roses are red, she said\nViolets are blue, he said"],
  ["a line", "red, green"],
  ["a recipe's lines", "2 eggs; 1 cup of milk\n3 spoons; flour"],
  ["code", "if (a) {\n  b(c, d);\n}"],
  ["indented lines", "\tfirst, one\n\tsecond, two"],
  ["a note in brackets", "[a note]\n{and another}"],
  ["one JSON value that is no object", '["a", "b"]'],
  ["a list with a tab in one line", "first\tline\nsecond line"],
  ["nothing", ""],
  ["one cell with a tab behind it", "red\t"],
  ["a quotation of one line", '"To be, or not to be"'],
  ["two quotations on two lines", '"Yes," he said.\n"No," she said.'],
])("%s is text of the cell", (_, pasted) => {
  expect(readPaste(pasted, "input")).toEqual({ kind: "text" });
});

test.each([
  ["a spreadsheet's rows", "red\tblue\ngreen\tyellow\n"],
  ["a spreadsheet's rows on Windows", "red\tblue\r\ngreen\tyellow\r\n"],
  ["a cell with a line break", 'red\t"blue\nand green"\nwhite\tblack'],
  ["this project's header", "input,output\na,b"],
  ["a header with semicolons", '"Input";"Output"\na;b'],
  ["Excel's first line", "sep=;\na;b"],
])("%s is a table", (_, pasted) => {
  expect(readPaste(pasted, "input")).toEqual({ kind: "table" });
});

test.each([
  ["lines", '{"input": "a", "output": "b"}\n{"input": "c", "output": "d"}'],
  ["one object", '{"input": "a",\n "output": "b"}'],
  ["a list of objects", '[{"input": "a", "output": "b"}]'],
])("whether JSON is a table is left to the reader of examples: %s", (_, pasted) => {
  expect(readPaste(pasted, "input")).toEqual({ kind: "json" });
});

test.each([
  ["red\tblue", "red", "blue"],
  ["red\tblue\r\n", "red", "blue"],
  [" red \t blue \t\t", "red", "blue"],
  ['"a ""b"""\t"c\nd"\n', 'a "b"', "c\nd"],
])("%j is one row", (pasted, input, output) => {
  expect(readPaste(pasted, "input")).toEqual({ kind: "row", row: { input, output } });
});

test("a row of three cells is text: which of them are the two is not known", () => {
  expect(readPaste("a\tb\tc", "input")).toEqual({ kind: "text" });
});

test.each([
  ["a line break and quotation marks", '"line one\nline ""two"""', 'line one\nline "two"'],
  ["a line break, on Windows", '"one\r\ntwo"\r\n', "one\r\ntwo"],
  ["a tab", '"one\ttwo"', "one\ttwo"],
])("a spreadsheet's cell with %s loses the marks around it", (_, pasted, text) => {
  for (const field of ["input", "output"] as const) {
    expect(readPaste(pasted, field)).toEqual({ kind: "cell", text });
  }
});

test("a row in the output, which has no cell beside it, is its text", () => {
  expect(readPaste("red\tblue\r\n", "output")).toEqual({ kind: "cell", text: "red blue" });
  expect(readPaste('"one\ntwo"\tblue', "output")).toEqual({ kind: "cell", text: "one\ntwo blue" });
  expect(readPaste("a\tb\nc\td", "output")).toEqual({ kind: "table" });
});
