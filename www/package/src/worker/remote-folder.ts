// A folder of a hub's repository, by its list of files, or of a static host, by names alone.

import { reasonOf } from "../errors.js";
import type { RemoteFolder } from "../protocol.js";
import { type DownloadContext, findStored, httpContext } from "./download.js";
import { loraLoomError } from "./errors.js";
import { fetchListing, httpStatus } from "./fetch.js";
import { fetchOnce, strongEtag } from "./http.js";
import { isLocalFile, localNames } from "./local-files.js";
import type { Folder } from "./pieces.js";

/** Limit of the length of a repository's list of files. */
const MAX_LISTING_BYTES = 4 * 2 ** 20;

/** A file in a hub's response to `/api/models/<repo>/tree/<revision>`. */
interface ListedFile {
  type: string;
  path: string;
  size: number;
  /** Git's hash of the file, or of the pointer of a large one. */
  oid?: string;
  /** Large files only: their SHA-256. */
  lfs?: { oid?: string };
}

function isListing(value: unknown): value is ListedFile[] {
  return (
    Array.isArray(value) &&
    value.every(
      (one) => typeof one?.path === "string" && typeof one.type === "string" && one.path.length > 0,
    )
  );
}

const encodePath = (path: string) => path.split("/").map(encodeURIComponent).join("/");

/** The list in a response; null for anything else. */
function parseListing(bytes: Uint8Array): ListedFile[] | null {
  try {
    const listed: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isListing(listed) ? listed : null;
  } catch {
    return null;
  }
}

/** Git's name of a commit or of a file: its SHA-1. */
export const GIT_SHA1 = /^[0-9a-f]{40}$/;

/** The commit in a hub's response to `/api/models/<repo>/revision/<revision>`; null for anything else. */
function parseCommit(bytes: Uint8Array): string | null {
  try {
    const { sha } = JSON.parse(new TextDecoder().decode(bytes)) ?? {};
    return typeof sha === "string" && GIT_SHA1.test(sha) ? sha : null;
  } catch {
    return null;
  }
}

async function openHub(
  { host, repo, revision, folder }: Extract<RemoteFolder, { kind: "hub" }>,
  context: DownloadContext,
): Promise<Folder> {
  const prefix = folder ? `${folder}/` : "";
  const rootAt = (at: string) =>
    `${host}/${encodePath(repo)}/resolve/${encodeURIComponent(at)}/${encodePath(prefix)}`;
  const below = folder ? `/${encodePath(folder)}` : "";
  const api = `${host}/api/models/${encodePath(repo)}`;
  const name = `${repo}${below} (${revision})`;
  /** What the hub says of the repository; null where a host has a hub's addresses without it. */
  const ask = async <T>(url: string, parse: (bytes: Uint8Array) => T | null) => {
    try {
      const isValid = (bytes: Uint8Array) => parse(bytes) !== null;
      const bytes = await fetchListing(url, MAX_LISTING_BYTES, isValid, context);
      return { parsed: parse(bytes) };
    } catch (error) {
      context.signal.throwIfAborted();
      const status = httpStatus(error) ?? 0;
      // The hub does not tell a private repository from none.
      if (status === 401 || status === 403) {
        throw loraLoomError("repository-not-found", { repo, hub: host, status }, error);
      }
      if ([404, 405, 501].includes(status)) return null;
      throw error;
    }
  };
  // A branch may move between two files: all are fetched at the commit that it is at now.
  const newest = GIT_SHA1.test(revision)
    ? revision
    : (await ask(`${api}/revision/${encodeURIComponent(revision)}`, parseCommit))?.parsed;
  const at = newest ?? revision;
  const listing = `${api}/tree/${encodeURIComponent(at)}${below}`;
  const answer = await ask(listing, parseListing);
  if (!answer) return openHost(rootAt(revision), "", folder ? `${repo}/${folder}` : repo, context);
  const listed = answer.parsed;
  if (!listed) throw loraLoomError("listing-invalid", { repo, url: listing });
  const files = new Map(
    listed
      .filter(({ type, path }) => type === "file" && path.startsWith(prefix))
      .map((one) => [one.path.slice(prefix.length), one]),
  );
  return {
    name,
    commit: newest ?? null,
    names: [...files.keys()],
    get: async (name) => {
      const file = files.get(name);
      if (!file) return null;
      const oid = file.lfs?.oid;
      return {
        url: rootAt(at) + encodePath(name),
        branchUrl: rootAt(revision) + encodePath(name),
        bytes: Number.isSafeInteger(file.size) ? file.size : null,
        sha256: oid && /^[0-9a-f]{64}$/.test(oid) ? oid : null,
        version: file.oid ?? null,
        gitSha1: !oid && GIT_SHA1.test(file.oid ?? "") ? (file.oid ?? null) : null,
      };
    },
  };
}

/** A folder of a host without a list of files: each file is requested by its name. */
function openHost(url: string, query: string, name: string, context: DownloadContext): Folder {
  return {
    name,
    commit: null,
    names: null,
    get: async (file) => {
      const address = url + encodePath(file) + query;
      const unknown = { url: address, bytes: null, sha256: null };
      let response: Response;
      try {
        response = await fetchOnce(address, { method: "HEAD" }, httpContext(context));
      } catch (error) {
        context.signal.throwIfAborted();
        // Without a connection, the folder has the files that were stored.
        const copy = await findStored(unknown, context);
        if (copy?.sha256) return { ...unknown, bytes: copy.bytes, version: copy.version ?? null };
        const stored = await context.store.list().catch(() => []);
        if (stored.some((one) => one.url.startsWith(url))) return null;
        const data = { folder: name, url: address, reason: reasonOf(error) };
        throw loraLoomError("host-unreachable", data, error);
      }
      // Some hosts do not support HEAD.
      if (response.status === 405 || response.status === 501) return unknown;
      if (!response.ok) return null;
      // Hosts of one-page sites answer so for files that they do not have.
      if (response.headers.get("Content-Type")?.startsWith("text/html")) return "web-page";
      const length = response.headers.get("Content-Length");
      const plain = length !== null && !response.headers.has("Content-Encoding");
      const bytes = plain ? Number(length) : null;
      // Other sites read an ETag only where the server allows it.
      const version = strongEtag(response) ?? response.headers.get("Last-Modified");
      return { ...unknown, bytes, version };
    },
  };
}

/** A folder of a hub or a host. */
export async function openRemote(source: RemoteFolder, context: DownloadContext): Promise<Folder> {
  if (source.kind === "hub") return openHub(source, context);
  const folder = openHost(source.url, source.query ?? "", source.url, context);
  return isLocalFile(source.url) ? { ...folder, names: await localNames(source.url) } : folder;
}
