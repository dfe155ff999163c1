// Errors: a code for programs, a text in three parts for people, and the data that the text is made
// from. The texts of the page's side are here, those of the worker in worker/errors.ts, which no page has
// to load; those of the engine come from Rust.

import type { ErrorCode, ErrorReport } from "./generated/types.js";

/**
 * A failure of a call.
 *
 * `message` joins `what`, `why` and `next`.
 *
 * @example
 * ```ts
 * try {
 *   await loom.loadModules(["no-such-module"]);
 * } catch (error) {
 *   if (!(error instanceof LoraLoomError)) throw error;
 *   if (error.code === "not-found") console.log(error.what, error.next);
 * }
 * ```
 */
export class LoraLoomError extends Error implements ErrorReport {
  override readonly name = "LoraLoomError";
  /** The kind of failure, from a closed list. */
  readonly code: ErrorCode;
  /** What happened. */
  readonly what: string;
  /** Why it happened: what was expected and what was found. */
  readonly why: string;
  /** What to do next. */
  readonly next: string;
  /** The data of the text: an address, an HTTP status, a hash, … */
  readonly details: Record<string, string | number>;

  constructor(report: ErrorReport, options?: ErrorOptions) {
    super([report.what, report.why, report.next].filter(Boolean).join(" "), options);
    this.code = report.code;
    this.what = report.what;
    this.why = report.why;
    this.next = report.next;
    this.details = report.details;
  }
}

/** Whether a thrown value is an error report: the engine throws them as plain objects. */
export function isErrorReport(value: unknown): value is ErrorReport {
  return typeof value === "object" && value !== null && "code" in value && "what" in value;
}

/** The words of an error that comes from outside, to quote in a text. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An error's code and text. */
export const text = (code: ErrorCode, what: string, why: string, next: string) => ({
  code,
  what,
  why,
  next,
});

/** A function that returns the error of a kind, with its data; `cause` is what was thrown first. */
export function errorsOf<T extends Record<string, (data: never) => Omit<ErrorReport, "details">>>(
  texts: T,
) {
  return <K extends keyof T>(
    kind: K,
    data: Parameters<T[K]>[0],
    cause?: unknown,
  ): LoraLoomError => {
    const render = texts[kind] as (data: object) => Omit<ErrorReport, "details">;
    const details = { ...(data as ErrorReport["details"]) };
    const report = { ...render(details), details };
    return new LoraLoomError(report, cause === undefined ? undefined : { cause });
  };
}

const NOT_STARTED = "The engine did not start.";
const ALLOW =
  "A content security policy must allow the worker in worker-src: the package's host, or blob: where that is " +
  "another site. Or copy the package's dist folder to this site, and give the options createWorker and wasmUrl.";

/** The error of a kind that the page's side throws. */
export const loraLoomError = errorsOf({
  disposed: (_: object) =>
    text("not-loaded", "The engine is closed.", "dispose() was called.", "Open it again."),
  "disposed-during-call": (_: object) =>
    text(
      "aborted",
      "The engine was closed.",
      "dispose() was called while this ran.",
      "Open it again.",
    ),
  "worker-hung": ({ seconds }: { seconds: number }) =>
    text(
      "internal",
      "The engine was ended.",
      `It did not stop within ${seconds} seconds.`,
      "It is started again with what was loaded. Try once more.",
    ),
  "keeps-crashing": ({ times, reason }: { times: number; reason: string }) =>
    text(
      "internal",
      "The engine stays ended.",
      `It stopped ${times} times within a minute: ${reason}`,
      "Start it again, with fewer modules or a smaller model.",
    ),
  "worker-refused": ({ reason }: { reason: string }) =>
    text("unsupported", NOT_STARTED, `This page does not let its worker start: ${reason}.`, ALLOW),
  "worker-not-loaded": ({ reason }: { reason: string }) =>
    text(
      "network",
      NOT_STARTED,
      `Its worker did not load: ${reason || "the browser does not say why"}.`,
      `Check that the package's files are served. ${ALLOW}`,
    ),
  "worker-slow": ({ seconds }: { seconds: number }) =>
    text(
      "network",
      NOT_STARTED,
      `Its worker did not load within ${seconds} seconds.`,
      `Check that the package's files are served. ${ALLOW}`,
    ),
  "worker-failed": ({ reason }: { reason: string }) =>
    text(
      "internal",
      "The engine stopped.",
      reason || "Its worker failed.",
      "It is started again with what was loaded. Try once more, and report it if it comes back.",
    ),
});
