// Examples that were pasted or opened: what they were read as, before they replace rows of one's own, and
// after.

import "./incoming.css";
import { useEffect, useRef } from "preact/hooks";
import { details } from "../details-text.js";
import { examples, type Incoming, incoming, putInTable, tableRead } from "../state/task.js";
import { text } from "../text.js";

/** Rows that are shown. */
const ROWS = 3;

const words = details.incoming;

/** What the table was read as. */
export function ReadAs() {
  return tableRead.value && <Layout {...tableRead.value} />;
}

function Layout({ layout }: Pick<Incoming, "layout">) {
  return (
    <>
      <p>{words.layout(layout)}</p>
      {layout.leftOut > 0 && <p class="no">{words.leftOut(layout)}</p>}
    </>
  );
}

/** Examples that would replace rows of one's own, and what to do with them. */
export function IncomingExamples() {
  return incoming.value && <Preview asked={incoming.value} />;
}

/** Takes the focus and gives it back; where what had it is gone, to what the table was read as. */
function Preview({ asked }: { asked: Incoming }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    return () => {
      // The table, which may lose the cell that had it, is drawn first.
      setTimeout(() => {
        const there = before instanceof HTMLElement && before.isConnected;
        (there ? before : document.getElementById("read-as"))?.focus();
      });
    };
  }, []);
  useEffect(() => {
    heading.current?.focus();
    heading.current?.parentElement?.scrollIntoView({ block: "nearest" });
  }, [asked]);
  const rows = asked.examples;
  const cancel = () => (incoming.value = null);
  const kept = examples.value.filter(({ input, output }) => input.trim() || output.trim());
  return (
    <section
      class="incoming"
      aria-labelledby="incoming-title"
      data-testid="incoming"
      onKeyDown={({ key }) => key === "Escape" && cancel()}
    >
      <h3 id="incoming-title" tabIndex={-1} ref={heading}>
        {words.heading(kept.length, rows.length)}
      </h3>
      <Layout {...asked} />
      <table>
        <thead class="visually-hidden">
          <tr>
            <th scope="col">{text.task.input}</th>
            <th scope="col">{text.task.output}</th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, ROWS).map(({ input, output }, row) => (
            <tr key={row}>
              <td>
                <span>{input}</span>
              </td>
              <td>
                <span>{output}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > ROWS && <p class="status">{words.more(rows.length - ROWS)}</p>}
      <div class="row small">
        <button type="button" onClick={() => putInTable(asked, [])}>
          {words.replace}
        </button>
        <button type="button" onClick={() => putInTable(asked, kept)}>
          {words.addBelow}
        </button>
        <button type="button" class="quiet" onClick={cancel}>
          {words.cancel}
        </button>
      </div>
    </section>
  );
}
