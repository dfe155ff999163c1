// Examples that were pasted or opened: what they were read as, before they replace rows of one's own, and
// after.

import "./incoming.css";
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { details } from "../details-text.js";
import { examples, type Incoming, incoming, putInTable, tableRead } from "../state/task.js";
import { text } from "../text.js";

/** Rows that are shown. */
const ROWS = 3;

const words = details.incoming;

/** The question whether examples replace the table, or what the table was read as. */
export function IncomingExamples() {
  const status = useRef<HTMLDivElement>(null);
  const asked = incoming.value;
  return (
    <>
      {asked && <Preview asked={asked} after={status} />}
      <div role="status" class="status" data-testid="read-as" tabIndex={-1} ref={status}>
        {!asked && tableRead.value && <Layout {...tableRead.value} />}
      </div>
    </>
  );
}

function Layout({ layout }: Pick<Incoming, "layout">) {
  return (
    <>
      <p>{words.layout(layout)}</p>
      {layout.leftOut > 0 && <p class="no">{words.leftOut(layout)}</p>}
    </>
  );
}

/**
 * The examples, and what to do with them. Takes the focus and gives it back; to `after` where what had it is
 * no longer there.
 */
function Preview({ asked, after }: { asked: Incoming; after: RefObject<HTMLElement | null> }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    return () => {
      // The table, which may lose the cell that had it, is drawn first.
      setTimeout(() => {
        const there = before instanceof HTMLElement && before.isConnected;
        (there ? before : after.current)?.focus();
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
        {words.heading(rows.length)}
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
              <td>{input}</td>
              <td>{output}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > ROWS && <p class="status">{words.more(rows.length - ROWS)}</p>}
      <div class="row small">
        <button type="button" onClick={() => putInTable(asked, [])}>
          {words.replace(kept.length)}
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
