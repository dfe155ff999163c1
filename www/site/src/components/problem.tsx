import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ErrorText } from "../state/errors.js";

/** An error beside the control that caused it, scrolled into view where it is not. */
export function Problem({
  error,
  children,
}: {
  error: ErrorText | null;
  children?: ComponentChildren;
}) {
  const slot = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // On a phone, the pressed button can be far from its error.
    if (error) slot.current?.scrollIntoView({ block: "nearest" });
  }, [error]);
  return (
    <div class="problem-slot" role="alert" ref={slot}>
      {error && (
        <div class="problem">
          <p>
            <strong>{error.what}</strong>
          </p>
          <p>{error.why}</p>
          <p>{error.next}</p>
          {children}
        </div>
      )}
    </div>
  );
}
