// The composition's answers to a test set, and the file of them.

import { download } from "../components/files.js";
import { ScrollTable } from "../components/table.js";
import { details } from "../details-text.js";
import { bench, tests } from "../state/bench.js";

const { testAnswers } = details;

/** A field of a CSV file. */
const quoted = (field: string) => `"${field.replaceAll('"', '""')}"`;

/** The composition's answer to each item. */
export function TestAnswers() {
  const found = tests.value?.composed?.result;
  if (!found) return null;
  const save = () => {
    const base = tests.value?.base?.result?.answers ?? [];
    const lines = found.answers.map(({ input, expected, answer, correct }, index) =>
      [input, expected, base[index]?.answer ?? "", answer, correct ? "1" : "0"].map(quoted).join(),
    );
    const header = "input,expected,base,composed,correct";
    const file = new Blob([[header, ...lines].join("\r\n")], { type: "text/csv" });
    download(file, `${bench.value.mix?.title ?? "test"}.csv`);
  };
  return (
    <>
      <button type="button" onClick={save}>
        {testAnswers.csv}
      </button>
      <ScrollTable label={testAnswers.label} columns={testAnswers.columns}>
        {found.answers.map((one, index) => (
          <tr key={index}>
            <td>{one.input}</td>
            <td>{one.expected}</td>
            <td>
              {one.correct ? "" : "✗ "}
              {one.answer}
            </td>
          </tr>
        ))}
      </ScrollTable>
    </>
  );
}
