// Errors as people read them: what happened, why, and what to do next.

import type { ErrorReport } from "./generated/protocol.js";

/** An error in three parts; `message` joins them. */
export class LoraLoomError extends Error implements ErrorReport {
  override readonly name = "LoraLoomError";
  /** What happened. */
  readonly what: string;
  /** Why it happened: what was expected and what was found. */
  readonly why: string;
  /** What to do next. */
  readonly next: string;

  constructor(report: ErrorReport) {
    super([report.what, report.why, report.next].filter(Boolean).join(" "));
    this.what = report.what;
    this.why = report.why;
    this.next = report.next;
  }
}

/** Whether a thrown value already carries the three parts (the engine throws plain objects). */
export function isErrorReport(value: unknown): value is ErrorReport {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as ErrorReport).what === "string" &&
    typeof (value as ErrorReport).why === "string" &&
    typeof (value as ErrorReport).next === "string"
  );
}

/** The three parts of anything thrown; unknown errors keep their own words as the reason. */
export function reportOf(error: unknown, what: string): ErrorReport {
  if (isErrorReport(error)) return { what: error.what, why: error.why, next: error.next };
  const why = error instanceof Error ? error.message : String(error);
  return { what, why, next: "Try again; if it happens again, reload the page." };
}
