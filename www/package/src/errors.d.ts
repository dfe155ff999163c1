import type { ErrorReport } from "./generated/protocol.js";
/** An error in three parts; `message` joins them. */
export declare class LoraLoomError extends Error implements ErrorReport {
    readonly name = "LoraLoomError";
    /** What happened. */
    readonly what: string;
    /** Why it happened: what was expected and what was found. */
    readonly why: string;
    /** What to do next. */
    readonly next: string;
    constructor(report: ErrorReport);
}
/** Whether a thrown value already carries the three parts (the engine throws plain objects). */
export declare function isErrorReport(value: unknown): value is ErrorReport;
/** The three parts of anything thrown; unknown errors keep their own words as the reason. */
export declare function reportOf(error: unknown, what: string): ErrorReport;
