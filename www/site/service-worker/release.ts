// What the build, the service worker and the page know of each other.

/** The files of one build of the site. */
export interface Release {
  /** A name of the contents: another build has another. */
  id: string;
  /** Paths relative to the site's root, each with its hash as `integrity` takes it. */
  files: Record<string, string>;
  /** The files of each WebAssembly build, which are kept once it is used. */
  engines: Record<string, string[]>;
}

/**
 * How the service worker isolates pages, for threads: by which `Cross-Origin-Embedder-Policy`; not (yet), not
 * as neither has an effect in this browser, or not as the visitor turned it off.
 */
export type Isolation = "none" | "credentialless" | "require-corp" | "failed" | "off";

/** What a page tells the service worker. */
export interface SiteMessage {
  /** The address of a script of the page's release. */
  script: string;
  /** The WebAssembly build to keep. */
  build?: string | undefined;
  isolation?: Isolation;
}

/** What the service worker answers. */
export interface SiteState {
  /** Whether the page is of the release that a reload would show. */
  current: boolean;
  /** Whether the page and its WebAssembly build open without a network. */
  kept: boolean;
  isolation: Isolation;
}
