// Errors as the page shows them.

import { type ErrorReport, LoraLoomError } from "loraloom";
import { text } from "../text.js";

/** What happened, why, and what to do next. */
export type ErrorText = Pick<ErrorReport, "what" | "why" | "next">;

/** The text for anything thrown; null for a cancelled call, which needs no message. */
export function toErrorText(error: unknown): ErrorText | null {
  if (error instanceof DOMException && error.name === "AbortError") return null;
  if (error instanceof LoraLoomError) return error.code === "aborted" ? null : error;
  return text.errors.page(error instanceof Error ? error.message : String(error));
}
