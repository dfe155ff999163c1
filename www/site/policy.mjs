// The Content Security Policy of the site and the headers that isolate its pages: one source for the build,
// the servers of this repository, and the tests of the ready files in docs/hosting.

/** Where a library or a hub may be: the visitor names it, and accepts it, at run time. */
const CONNECT = "'self' https: http://localhost:* http://127.0.0.1:*";

/** The policy for every file. A worker takes that of its own response. */
export const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  `connect-src ${CONNECT}`,
  "style-src 'self'",
  "font-src 'self'",
  // The mark of a mix is drawn into a data: address.
  "img-src 'self' data:",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** The policy of a page, which the build writes into it: with Trusted Types, whose one policy the page makes. */
export const PAGE_POLICY = `${POLICY}; require-trusted-types-for 'script'; trusted-types default`;

/** Headers that isolate a page, so that it may share memory with threads. */
export const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  // A frame in an isolated page of another site may show embed.html.
  "Cross-Origin-Resource-Policy": "cross-origin",
};
