// Small pieces that every part uses: errors in three parts, explained words, headings.

import { useSignal } from "@preact/signals";
import type { ErrorReport } from "loraloom";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

/** An error where it belongs: what happened, why, and what to do next. Brought into view if it is not. */
export function Problem({
  error,
  children,
}: {
  error: ErrorReport | null;
  children?: ComponentChildren;
}) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that was pressed can be far from where its error belongs, on a phone above all.
    if (error) place.current?.scrollIntoView({ block: "nearest" });
  }, [error]);
  return (
    <div class="problem-place" role="alert" ref={place}>
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

const MEANINGS = {
  "LoRA module":
    "A small add-on for a language model, trained by someone for one task. It changes a few per cent of the model's numbers.",
  rank: "How many directions a module can change in each layer: a higher rank can do more and weighs more.",
  weight:
    "The coefficient by which a module counts in the mix: 1 as it was trained, 0 not at all, below 0 against it.",
  loss: "How surprised the model is by the right answers of the examples, on average for each token: lower is better.",
  "exact match": "The share of answers that are the expected ones, word for word.",
  "base model": "The model as it was trained, with no module added.",
  composed: "The base model with all modules added, each times its weight.",
  evaluation: "One look at the loss for one choice of weights: a forward pass over the examples.",
  budget: "How many choices of weights the search may try.",
  optimizer:
    "What proposes the weights to try. COBYLA is what the published method uses; CMA-ES tries many around the best; greedy adds one module after the other; ridge asks for eight at a time, which a graphics card evaluates at once.",
  merge:
    "How modules become one. “delta” adds up their updates, so ranks may differ; “lorahub”, as published, adds up their A and their B matrices apart, and needs equal ranks.",
} as const;

/** A word of the field, explained on hover, focus and touch. */
export function Term({
  of,
  children,
}: {
  of: keyof typeof MEANINGS;
  children?: ComponentChildren;
}) {
  const id = useId();
  const place = useRef<HTMLButtonElement>(null);
  const at = useSignal<{ left: number; top: number } | null>(null);
  const show = () => {
    const box = place.current?.getBoundingClientRect();
    if (!box) return;
    const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - 280));
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
        ref={place}
        aria-describedby={id}
        aria-label={children === "?" ? `About: ${of}` : undefined}
        onMouseEnter={show}
        onMouseLeave={hide}
        onFocus={show}
        onBlur={hide}
        onClick={show}
        onKeyDown={(event) => event.key === "Escape" && hide()}
      >
        {children ?? of}
      </button>
      <span
        role="tooltip"
        id={id}
        class="tip"
        hidden={!at.value}
        style={at.value ? { left: `${at.value.left}px`, top: `${at.value.top}px` } : {}}
      >
        {MEANINGS[of]}
      </span>
    </>
  );
}

/** A part of the story with its number. */
export function Part({
  number,
  name,
  title,
  children,
}: {
  number: number;
  name: string;
  title: string;
  children: ComponentChildren;
}) {
  return (
    <section class={`part ${name}`} id={name} aria-labelledby={`${name}-title`}>
      <h2 id={`${name}-title`}>
        <span class="number" aria-hidden="true">
          {number}
        </span>
        {title}
      </h2>
      {children}
    </section>
  );
}

/** A bar of progress that always has its numbers beside it. */
export function Bar({
  value,
  max,
  label,
  side,
}: {
  value: number;
  max: number;
  label: string;
  side?: "base" | "composed";
}) {
  const share = max > 0 ? Math.min(1, value / max) : 0;
  return (
    <div
      class={`bar ${side ?? ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={max}
      aria-valuenow={value}
    >
      <div style={{ transform: `scaleX(${share})` }} />
    </div>
  );
}
