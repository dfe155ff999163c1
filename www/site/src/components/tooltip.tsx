// Words of the field and settings, explained on hover, focus and touch.

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { GLOSSARY } from "../text.js";

/** The space that a tip needs to the right of its left edge, in pixels. */
const TIP_WIDTH = 280;

/** A text that shows a tip. A "?" as the text takes `label` as its accessible name. */
export function Tooltip({
  tip,
  label,
  children,
}: {
  tip: string;
  label?: string;
  children: ComponentChildren;
}) {
  const id = useId();
  const anchor = useRef<HTMLButtonElement>(null);
  const at = useSignal<{ left: number; top: number } | null>(null);
  const show = () => {
    const box = anchor.current?.getBoundingClientRect();
    if (!box) return;
    const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - TIP_WIDTH));
    at.value = { left, top: box.bottom + 6 };
  };
  const hide = () => {
    at.value = null;
  };
  useEffect(() => {
    addEventListener("scroll", hide, { passive: true });
    return () => removeEventListener("scroll", hide);
  }, []);
  return (
    <>
      <button
        type="button"
        class="term"
        ref={anchor}
        aria-describedby={id}
        aria-label={label}
        onMouseEnter={show}
        onMouseLeave={hide}
        onFocus={show}
        onBlur={hide}
        onClick={show}
        onKeyDown={(event) => event.key === "Escape" && hide()}
      >
        {children}
      </button>
      <span
        role="tooltip"
        id={id}
        class="tip"
        hidden={!at.value}
        style={at.value ? { left: `${at.value.left}px`, top: `${at.value.top}px` } : {}}
      >
        {tip}
      </span>
    </>
  );
}

/** A term of the field with its explanation. */
export function Term({
  of,
  children,
}: {
  of: keyof typeof GLOSSARY;
  children?: ComponentChildren;
}) {
  return <Tooltip tip={GLOSSARY[of]}>{children ?? of}</Tooltip>;
}
