// The files of a base model or of a PEFT folder in a hub's repository, a folder of a static host, or
// among files of this computer: which ones are needed, and where their bytes come from.

import { type LoraLoomError, loraLoomError, reasonOf } from "../errors.js";
import type { LocalFile, Source } from "../protocol.js";
import { type DownloadContext, httpContext, type RemoteFile, storeKey } from "./download.js";
import type { EngineModule } from "./engine.js";
import { fetchFiles, fetchListing, httpStatus, type Progress } from "./fetch.js";
import { fetchOnce } from "./http.js";
import { unzip } from "./unzip.js";

/** A file to fetch, or a file of this computer. */
export type Piece = RemoteFile | Blob;

/** The bytes of pieces, in their order. */
export async function readPieces(
  pieces: Piece[],
  context: DownloadContext,
  progress?: Progress,
): Promise<Uint8Array[]> {
  const wanted = pieces.filter((piece): piece is RemoteFile => !(piece instanceof Blob));
  const fetched = await fetchFiles(wanted, context, progress);
  return Promise.all(
    pieces.map(async (piece) =>
      piece instanceof Blob
        ? new Uint8Array(await piece.arrayBuffer())
        : (fetched.shift() as Uint8Array),
    ),
  );
}

/** The files of a base model. */
export interface BasePieces {
  id: string;
  title: string;
  license: string;
  config: Piece;
  tokenizer: Piece;
  /** The file of weights, or all shards. */
  weights: Piece[];
}

/** The two files of a PEFT folder. */
export interface AdapterPieces<P = Piece> {
  config: P;
  weights: P;
}

/** Limit of the length of a repository's list of files. */
const MAX_LISTING_BYTES = 4 * 2 ** 20;
/** The license of a base outside a registry: `config.json` does not name it. */
const UNKNOWN_LICENSE = "see the model's page";
const TOKENIZERS = ["tokenizer.json", "spiece.model"];
const ADAPTER_CONFIG = "adapter_config.json";
const ADAPTER_WEIGHTS = ["adapter_model.safetensors", "adapter_model.bin"];

/** A folder's files, by name. */
interface Folder {
  /** Its name in messages. */
  readonly name: string;
  /** The names of all files, or null where the host lists none. */
  readonly names: string[] | null;
  /** The file of that name, or null if there is none. */
  get(name: string): Promise<Piece | null>;
}

/** A file in a hub's response to `/api/models/<repo>/tree/<revision>`. */
interface ListedFile {
  type: string;
  path: string;
  size: number;
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

async function openHub(
  { host, repo, revision }: Extract<Source, { kind: "hub" }>,
  context: DownloadContext,
): Promise<Folder> {
  const root = `${host}/${encodePath(repo)}/resolve/${encodeURIComponent(revision)}/`;
  const listing = `${host}/api/models/${encodePath(repo)}/tree/${encodeURIComponent(revision)}`;
  const bytes = await fetchListing(listing, MAX_LISTING_BYTES, context).catch((error) => {
    context.signal.throwIfAborted();
    // A host may have a hub's addresses without a list of files.
    if ([404, 405, 501].includes(httpStatus(error) ?? 0)) return null;
    throw error;
  });
  if (!bytes) return openHost(root, repo, context);
  let listed: unknown;
  try {
    listed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    listed = null;
  }
  if (!isListing(listed)) throw loraLoomError("listing-invalid", { repo, url: listing });
  const files = new Map(listed.filter(({ type }) => type === "file").map((one) => [one.path, one]));
  return {
    name: `${repo} (${revision})`,
    names: [...files.keys()],
    get: async (name) => {
      const file = files.get(name);
      if (!file) return null;
      const oid = file.lfs?.oid;
      return {
        url: root + encodePath(name),
        bytes: Number.isSafeInteger(file.size) ? file.size : null,
        sha256: oid && /^[0-9a-f]{64}$/.test(oid) ? oid : null,
      };
    },
  };
}

/** A folder of a host without a list of files: each file is requested by its name. */
function openHost(url: string, name: string, context: DownloadContext): Folder {
  return {
    name,
    names: null,
    get: async (file) => {
      const address = url + encodePath(file);
      const unknown = { url: address, bytes: null, sha256: null };
      const stored = await context.store.find(storeKey(unknown, context));
      if (stored?.sha256) return { ...unknown, bytes: stored.bytes };
      let response: Response;
      try {
        response = await fetchOnce(address, { method: "HEAD" }, httpContext(context));
      } catch (error) {
        context.signal.throwIfAborted();
        // Without a connection, the folder has the files that were stored.
        if ((await context.store.list()).some((one) => one.url.startsWith(url))) return null;
        const data = { folder: name, url: address, reason: reasonOf(error) };
        throw loraLoomError("host-unreachable", data, error);
      }
      // Some hosts do not support HEAD.
      if (response.status === 405 || response.status === 501) return unknown;
      if (!response.ok) return null;
      const length = response.headers.get("Content-Length");
      const plain = length !== null && !response.headers.has("Content-Encoding");
      return { url: address, bytes: plain ? Number(length) : null, sha256: null };
    },
  };
}

/** Files of this computer, unpacked if they are in a ZIP archive. */
async function openFiles(files: LocalFile[]): Promise<Folder> {
  const archive = files.length === 1 && files[0]?.path.toLowerCase().endsWith(".zip");
  const wanted = new Set([ADAPTER_CONFIG, ...ADAPTER_WEIGHTS]);
  const all = archive ? await unzip(files[0] as LocalFile, wanted) : files;
  // The folder is the one whose configuration is topmost.
  const depth = ({ path }: LocalFile) => path.split("/").length;
  const configs = all.filter(({ path }) => /(^|\/)(adapter_)?config\.json$/.test(path));
  const top = configs.sort((a, b) => depth(a) - depth(b))[0];
  const prefix = top?.path.slice(0, top.path.lastIndexOf("/") + 1) ?? "";
  const inside = new Map(
    all
      .filter(({ path }) => path.startsWith(prefix))
      .map(({ path, contents }) => [path.slice(prefix.length), contents]),
  );
  return {
    name: archive ? (files[0]?.path ?? "") : prefix.replace(/\/$/, "") || "Your folder",
    names: [...inside.keys()],
    get: async (name) => inside.get(name) ?? null,
  };
}

function missing({ name, names }: Folder, expected: string): LoraLoomError {
  if (!names) return loraLoomError("file-not-on-host", { folder: name, expected });
  const found = names.slice(0, 12).join(", ");
  return loraLoomError("file-not-in-folder", { folder: name, expected, found });
}

async function firstOf(folder: Folder, names: string[], expected: string): Promise<Piece> {
  for (const name of names) {
    if (folder.names && !folder.names.includes(name)) continue;
    const piece = await folder.get(name);
    if (piece) return piece;
  }
  throw missing(folder, expected);
}

/** The file of weights, or all shards: the named file, or the one that the engine prefers. */
async function baseWeights(
  folder: Folder,
  named: string | null,
  rules: WeightsRules,
  context: DownloadContext,
): Promise<Piece[]> {
  if (named) return [await firstOf(folder, [named], named)];
  let { names } = folder;
  if (!names) {
    names = [];
    for (const name of rules.usualWeights()) {
      if (!(await folder.get(name))) continue;
      names = [name];
      break;
    }
  }
  const expected = "model.safetensors, its index, or a .gguf file";
  const chosen = rules.chooseWeights(names);
  if (!chosen) throw missing(folder, expected);
  const piece = await firstOf(folder, [chosen.name], expected);
  if (chosen.kind === "file") return [piece];
  const [index] = await readPieces([piece], context);
  const shards = rules.shardNames(index as Uint8Array);
  return Promise.all(shards.map((name) => firstOf(folder, [name], name)));
}

/** A source that is not an entry of a registry. */
export type FolderSource = Exclude<Source, { kind: "registry" }>;

/** The rules by which the engine chooses among files of weights. */
export type WeightsRules = Pick<EngineModule, "chooseWeights" | "shardNames" | "usualWeights">;

async function openFolder(source: FolderSource, context: DownloadContext): Promise<Folder> {
  switch (source.kind) {
    case "hub":
      return openHub(source, context);
    case "folder":
      return openHost(source.url, source.url, context);
    case "files":
      return openFiles(source.files);
  }
}

/** The files of a base model that is in no registry. */
export async function baseFolder(
  source: FolderSource,
  rules: WeightsRules,
  context: DownloadContext,
): Promise<BasePieces> {
  const folder = await openFolder(source, context);
  const named = source.kind === "files" ? null : source.file;
  const title = source.kind === "hub" ? source.repo : folder.name;
  return {
    id: title,
    title,
    license: UNKNOWN_LICENSE,
    config: await firstOf(folder, ["config.json"], "config.json"),
    tokenizer: await firstOf(folder, TOKENIZERS, "tokenizer.json or spiece.model"),
    weights: await baseWeights(folder, named, rules, context),
  };
}

/** The files of a PEFT folder that is in no registry. */
export async function adapterFolder(
  source: FolderSource,
  context: DownloadContext,
): Promise<AdapterPieces> {
  const folder = await openFolder(source, context);
  const named = source.kind === "files" ? null : source.file;
  return {
    config: await firstOf(folder, [ADAPTER_CONFIG], ADAPTER_CONFIG),
    weights: await firstOf(
      folder,
      named ? [named] : ADAPTER_WEIGHTS,
      named ?? "adapter_model.safetensors or adapter_model.bin",
    ),
  };
}
