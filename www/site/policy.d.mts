/** The policy for every file. A worker takes that of its own response. */
export const POLICY: string;
/** The policy of a page, which the build writes into it: with Trusted Types, whose one policy the page makes. */
export const PAGE_POLICY: string;
/** Headers that isolate a page, so that it may share memory with threads. */
export const ISOLATION: {
  "Cross-Origin-Opener-Policy": string;
  "Cross-Origin-Embedder-Policy": string;
  "Cross-Origin-Resource-Policy": string;
};
