// The files of a base model or of a PEFT folder in a hub's repository, a folder of a static host, or
// among files of this computer: which ones are needed, and where their bytes come from.

import { LoraLoomError, reasonOf } from "../errors.js";
import type { AtCommit, FilesSource, LocalFile, Placeholder, RemoteFolder } from "../protocol.js";
import { type DownloadContext, findStored, httpContext, type RemoteFile } from "./download.js";
import type { EngineModule } from "./engine.js";
import { loraLoomError } from "./errors.js";
import { fetchFiles, fetchListing, httpStatus, type Progress } from "./fetch.js";
import { fetchOnce, strongEtag } from "./http.js";
import { isLocalFile, localNames } from "./local-files.js";
import { unzip, zipPaths } from "./unzip.js";

/** A file to fetch, or a file of this computer. */
export type Piece = RemoteFile | Blob;

/** The bytes of pieces, in their order. */
export async function readPieces(
  pieces: Piece[],
  context: DownloadContext,
  progress?: Progress,
): Promise<Uint8Array[]> {
  const fetched = await fetchFiles(remoteFiles(pieces), context, progress);
  return Promise.all(
    pieces.map(async (piece) =>
      piece instanceof Blob
        ? new Uint8Array(await piece.arrayBuffer())
        : (fetched.shift() as Uint8Array),
    ),
  );
}

/** The files of a base model. */
export interface BasePieces extends AtCommit {
  id: string;
  title: string;
  license: string;
  /** Null for a GGUF file alone, whose metadata has what this file and the tokenizer's have elsewhere. */
  config: Piece | null;
  tokenizer: Piece | null;
  /** Files beside the tokenizer that may add tokens to it. */
  addedTokens: Piece | null;
  specialTokensMap: Piece | null;
  tokenizerConfig: Piece | null;
  /** Settings of decoding. */
  generationConfig: Piece | null;
  /** The file of weights, or all shards. */
  weights: Piece[];
}

/** A base with no file beside those of its configuration, tokenizer and weights. */
export const NONE_BESIDE = {
  addedTokens: null,
  specialTokensMap: null,
  tokenizerConfig: null,
  generationConfig: null,
};

/** The small files of a base, in the order in which the engine takes them. */
export function smallPieces(pieces: BasePieces): (Piece | null)[] {
  const { config, tokenizer, addedTokens, specialTokensMap } = pieces;
  const { tokenizerConfig, generationConfig } = pieces;
  return [config, tokenizer, addedTokens, specialTokensMap, tokenizerConfig, generationConfig];
}

/** The two files of a PEFT folder. */
export interface AdapterPieces<P = Piece> extends AtCommit {
  config: P;
  weights: P;
}

/** Those of some pieces that are fetched. */
export function remoteFiles(pieces: (Piece | null)[]): RemoteFile[] {
  return pieces.filter((piece): piece is RemoteFile => piece !== null && !(piece instanceof Blob));
}

/** Limit of the length of a repository's list of files. */
const MAX_LISTING_BYTES = 4 * 2 ** 20;
/** A file of weights is longer than this: a shorter one may be a placeholder. */
const MAX_PLACEHOLDER_BYTES = 1024;
/** Bytes at the start of a file that tell a placeholder. */
const START_BYTES = 256;
/** The license of a base outside a registry: `config.json` does not name it. */
const UNKNOWN_LICENSE = "see the model's page";
const BASE_CONFIG = "config.json";
const TOKENIZERS = ["tokenizer.json", "spiece.model"];
const ADAPTER_CONFIG = "adapter_config.json";
const ADAPTER_WEIGHTS = ["adapter_model.safetensors", "adapter_model.bin"];
/** The path of a PEFT folder's file, with the number that browsers give to a second download. */
const ADAPTER_FILE =
  /^(.*\/)?(?:(adapter_config)|(adapter_model))(?: \((\d+)\))?\.(?:json|safetensors|bin)$/;

/** A folder's files, by name. */
interface Folder extends AtCommit {
  /** Its name in messages. */
  readonly name: string;
  /** The names of all files, or null where the host lists none. */
  readonly names: string[] | null;
  /** The file of that name, or what is in its place; null if there is none. */
  get(name: string): Promise<Piece | Placeholder | null>;
}

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

/** A path without the number of a second download. */
const plainPath = (path: string) => path.replace(/ \(\d+\)(\.[a-z]+)$/, "$1");
const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);
const depthOf = (path: string) => path.split("/").length;

/** A path with the slash of all others: archives made on Windows have another. */
const normalPath = (path: string) => path.replaceAll("\\", "/");

/** The ZIP archive that is the only one of some files; null for any others. */
function archiveOf({ files }: FilesSource): LocalFile | null {
  const [first] = files;
  return files.length === 1 && first?.path.toLowerCase().endsWith(".zip") ? first : null;
}

/** Files of this computer; of a ZIP archive those that are needed, of the source's folder where it names one. */
async function unpacked(source: FilesSource): Promise<LocalFile[]> {
  const archive = archiveOf(source);
  const wanted = new Set([ADAPTER_CONFIG, ...ADAPTER_WEIGHTS, BASE_CONFIG]);
  const { folder } = source;
  const isInside = (path: string) =>
    folder === undefined || path.startsWith(`${folder}/`) || parentOf(path) === parentOf(folder);
  const isWanted = (path: string) =>
    isInside(normalPath(path)) && wanted.has(plainPath(normalPath(path)).split("/").at(-1) ?? "");
  const all = archive ? await unzip(archive, isWanted) : source.files;
  return all.map(({ path, contents }) => ({ path: normalPath(path), contents }));
}

/** Files with plain paths; beside the first download, the second one keeps its name. */
function withPlainPaths(files: LocalFile[]): LocalFile[] {
  const exact = new Set(files.map(({ path }) => path));
  return files.map(({ path, contents }) => {
    const plain = plainPath(path);
    return { path: exact.has(plain) ? path : plain, contents };
  });
}

/** The folders with a file of that name, the topmost only; each ends with `/`, or is empty. */
function foldersOf(files: LocalFile[], name: RegExp): string[] {
  const configs = files.map(({ path }) => path).filter((path) => name.test(path));
  const top = Math.min(...configs.map(depthOf));
  return configs
    .filter((path) => depthOf(path) === top)
    .map(parentOf)
    .sort();
}

/** A PEFT folder among files of this computer, or one of the pairs of files in it. */
interface LocalAdapter {
  id: string;
  /** Its path with `/` at the end, or nothing. */
  folder: string;
  /** Files with plain paths. */
  files: LocalFile[];
}

/**
 * The adapters of a folder, by the numbers in the names of its files: `adapter_config (1).json` belongs to
 * `adapter_model (1).safetensors`.
 */
function adaptersIn(folder: string, files: LocalFile[]): LocalAdapter[] {
  const inside = files.filter(({ path }) => path.startsWith(folder));
  const parts = inside.flatMap((file) => {
    const [, parent = "", config, , number = ""] = file.path.match(ADAPTER_FILE) ?? [];
    const isPart = ADAPTER_FILE.test(file.path) && parent === folder;
    return isPart ? [{ file, number, isConfig: config !== undefined }] : [];
  });
  const configs = new Set(parts.filter(({ isConfig }) => isConfig).map(({ number }) => number));
  const weights = new Set(parts.filter(({ isConfig }) => !isConfig).map(({ number }) => number));
  // One pair may have two numbers, and one file alone lacks the other by its plain name.
  if (configs.size < 2 && weights.size < 2) {
    return [{ id: folder.replace(/\/$/, ""), folder, files: withPlainPaths(inside) }];
  }
  const alone = parts.filter(({ number }) => !(configs.has(number) && weights.has(number)));
  if (alone.length > 0) {
    const names = alone.map(({ file }) => file.path.slice(folder.length)).sort();
    throw loraLoomError("adapter-not-paired", { files: names.join(", ") });
  }
  return [...configs]
    .sort((a, b) => Number(a) - Number(b))
    .map((number) => ({
      id: `${folder}adapter_model${number && ` (${number})`}`,
      folder,
      files: parts
        .filter((part) => part.number === number)
        .map(({ file: { path, contents } }) => ({ path: plainPath(path), contents })),
    }));
}

/** The topmost adapters among files of this computer. */
function adaptersOf(files: LocalFile[]): LocalAdapter[] {
  const folders = foldersOf(files, /(^|\/)adapter_config(?: \(\d+\))?\.json$/);
  return [...new Set(folders)].flatMap((folder) => adaptersIn(folder, files));
}

/** The ids of the topmost adapters among files of this computer: the paths of their folders. */
export async function adapterFolders(source: FilesSource): Promise<string[]> {
  const archive = archiveOf(source);
  // The names are enough, and an archive may be large.
  const listed = archive ? await zipPaths(archive) : source.files.map(({ path }) => path);
  const files = listed.map((path) => ({ path: normalPath(path), contents: new Blob() }));
  return adaptersOf(files).map(({ id }) => id);
}

/** Files of this computer below a path, as a folder. */
function localFolder(source: FilesSource, files: LocalFile[], prefix: string): Folder {
  const inside = new Map(
    files
      .filter(({ path }) => path.startsWith(prefix))
      .map(({ path, contents }) => [path.slice(prefix.length), contents]),
  );
  const archive = source.files.length === 1 && source.files[0]?.path;
  return {
    name: prefix.replace(/\/$/, "") || archive || "Your folder",
    commit: null,
    names: [...inside.keys()],
    get: async (name) => inside.get(name) ?? null,
  };
}

/** The folder among files of this computer that holds a base model. */
async function localBase(source: FilesSource): Promise<Folder> {
  const all = withPlainPaths(await unpacked(source));
  const found = [/(^|\/)config\.json$/, /\.gguf$/i].map((name) => foldersOf(all, name));
  const [first = ""] = found.find(({ length }) => length > 0) ?? [];
  return localFolder(source, all, first);
}

/** The PEFT folder among files of this computer: the one of that id, or the only one. */
async function localAdapter(source: FilesSource): Promise<Folder> {
  const all = await unpacked(source);
  const adapters = adaptersOf(all);
  if (adapters.length > 1 && source.folder === undefined) {
    const folders = adapters.map(({ id }) => id).join(", ");
    throw loraLoomError("several-adapters", { folders });
  }
  const chosen = adapters.find(({ id }) => id === (source.folder ?? id));
  if (!chosen) {
    return localFolder(source, withPlainPaths(all), source.folder ? `${source.folder}/` : "");
  }
  return localFolder(source, chosen.files, chosen.folder);
}

/** What is in place of a short file. */
async function placeholderOf(piece: Piece, context: DownloadContext): Promise<Placeholder | null> {
  if (piece instanceof Blob) {
    const start = await piece.slice(0, START_BYTES).arrayBuffer();
    return context.detectPlaceholder(new Uint8Array(start));
  }
  const { url, bytes, sha256 } = piece;
  const short = bytes === null || bytes <= MAX_PLACEHOLDER_BYTES;
  if (sha256 !== null || !short || url.includes(".json")) return null;
  if ((await findStored(piece, context))?.sha256) return null;
  try {
    const headers = { Range: `bytes=0-${START_BYTES - 1}` };
    const response = await fetchOnce(url, { headers, cache: "no-store" }, httpContext(context));
    const reader = response.body?.getReader();
    const start = response.ok ? await reader?.read() : null;
    reader?.cancel().catch(() => undefined);
    return start?.value ? context.detectPlaceholder(start.value) : null;
  } catch {
    // The download reports what is wrong.
    context.signal.throwIfAborted();
    return null;
  }
}

function missing({ name, names }: Folder, expected: string): LoraLoomError {
  if (!names) return loraLoomError("file-not-on-host", { folder: name, expected });
  const found = names.slice(0, 12).join(", ");
  return loraLoomError("file-not-in-folder", { folder: name, expected, found });
}

/** The first file of these names that is there and is no placeholder; null where there is none. */
async function findFirst(
  folder: Folder,
  names: string[],
  context: DownloadContext,
): Promise<Piece | null> {
  let refused: LoraLoomError | null = null;
  for (const name of names) {
    if (folder.names && !folder.names.includes(name)) continue;
    const found = await folder.get(name);
    if (found === null) continue;
    const placeholder = typeof found === "string" ? found : await placeholderOf(found, context);
    if (!placeholder) return found as Piece;
    refused ??=
      found instanceof Blob && placeholder === "web-page"
        ? loraLoomError("local-web-page", { file: name, placeholder })
        : loraLoomError("placeholder", { file: name, place: folder.name, placeholder });
  }
  if (refused) throw refused;
  return null;
}

async function firstOf(
  folder: Folder,
  names: string[],
  expected: string,
  context: DownloadContext,
): Promise<Piece> {
  const piece = await findFirst(folder, names, context);
  if (!piece) throw missing(folder, expected);
  return piece;
}

/** A file that a folder may have; placeholders count as none. */
async function optional(
  folder: Folder,
  name: string,
  context: DownloadContext,
): Promise<Piece | null> {
  if (folder.names && !folder.names.includes(name)) return null;
  const found = await folder.get(name);
  if (found === null || typeof found === "string") return null;
  return (await placeholderOf(found, context)) ? null : found;
}

/** The file of weights, or all shards: the named file, or the one that the engine prefers. */
async function baseWeights(
  folder: Folder,
  named: string | null,
  rules: FolderRules,
  context: DownloadContext,
): Promise<Piece[]> {
  if (named) return [await firstOf(folder, [named], named, context)];
  const expected = "model.safetensors, its index, or a .gguf file";
  let names = folder.names ?? rules.usualWeights();
  let refused: unknown = null;
  for (;;) {
    const chosen = rules.chooseWeights(names);
    if (!chosen) throw refused ?? missing(folder, expected);
    names = names.filter((name) => name !== chosen.name);
    let piece: Piece | null = null;
    try {
      piece = await findFirst(folder, [chosen.name], context);
    } catch (error) {
      if (!(error instanceof LoraLoomError && error.details.placeholder)) throw error;
      refused ??= error;
    }
    if (!piece) continue;
    if (chosen.kind === "file") return [piece];
    const [index] = await readPieces([piece], context);
    const shards = rules.shardNames(index as Uint8Array);
    return Promise.all(shards.map((name) => firstOf(folder, [name], name, context)));
  }
}

/** A source that is not an entry of a registry, with its address resolved. */
export type FolderSource = RemoteFolder | FilesSource;

/** The rules by which the engine checks a configuration and chooses among files of weights. */
export type FolderRules = Pick<
  EngineModule,
  "checkConfig" | "chooseWeights" | "namesTokenizer" | "shardNames" | "usualWeights"
>;

/** A folder of a hub or a host. */
async function openRemote(source: RemoteFolder, context: DownloadContext): Promise<Folder> {
  if (source.kind === "hub") return openHub(source, context);
  const folder = openHost(source.url, source.query ?? "", source.url, context);
  return isLocalFile(source.url) ? { ...folder, names: await localNames(source.url) } : folder;
}

/** Whether a folder has an adapter, at its top or below; false where its host lists no files. */
const hasAdapter = ({ names }: Folder) =>
  names?.some((name) => ADAPTER_FILE.exec(name)?.[2] !== undefined) ?? false;

/** The kind of model that a folder's configuration names; null where none does. */
async function modelType(folder: Folder, context: DownloadContext): Promise<string | null> {
  const path = folder.names?.find((name) => /(^|\/)config\.json$/.test(name));
  const config = path === undefined ? null : await folder.get(path);
  if (config === null || typeof config === "string") return null;
  const [bytes] = await readPieces([config], context);
  try {
    const { model_type: type } = JSON.parse(new TextDecoder().decode(bytes)) ?? {};
    return typeof type === "string" ? type : null;
  } catch {
    return null;
  }
}

/** The first configuration that names a tokenizer without a file of its own; null if none does. */
async function namedTokenizer(
  configs: (Piece | null)[],
  rules: FolderRules,
  context: DownloadContext,
): Promise<Piece | null> {
  for (const config of configs) {
    if (!config) continue;
    const [bytes] = await readPieces([config], context);
    if (rules.namesTokenizer(bytes as Uint8Array)) return config;
  }
  return null;
}

/** The GGUF file of a folder without a configuration and a tokenizer; null for any other folder. */
async function ggufAlone(
  folder: Folder,
  named: string | null,
  rules: FolderRules,
  context: DownloadContext,
): Promise<Piece | null> {
  const name = named ?? rules.chooseWeights(folder.names ?? rules.usualWeights())?.name;
  if (!name?.toLowerCase().endsWith(".gguf")) return null;
  for (const other of [BASE_CONFIG, ...TOKENIZERS]) {
    if (folder.names && !folder.names.includes(other)) continue;
    const found = await folder.get(other);
    // Hosts of one-page sites answer so for files that they do not have.
    if (found !== null && found !== "web-page") return null;
  }
  return firstOf(folder, [name], name, context);
}

/** The files of a base model that is in no registry. */
export async function baseFolder(
  source: FolderSource,
  rules: FolderRules,
  context: DownloadContext,
): Promise<BasePieces> {
  const isLocal = source.kind === "files";
  const folder = await (isLocal ? localBase(source) : openRemote(source, context));
  const named = source.kind === "files" ? null : source.file;
  const title = source.kind === "hub" ? source.repo : folder.name;
  const label = { id: title, title, license: UNKNOWN_LICENSE, commit: folder.commit };
  let config: Piece;
  try {
    config = await firstOf(folder, [BASE_CONFIG], BASE_CONFIG, context);
  } catch (error) {
    context.signal.throwIfAborted();
    const weights = await ggufAlone(folder, named, rules, context);
    if (!weights) {
      throw hasAdapter(folder) ? loraLoomError("module-not-model", { folder: folder.name }) : error;
    }
    return { ...label, config: null, tokenizer: null, ...NONE_BESIDE, weights: [weights] };
  }
  const tokenizerConfig = await optional(folder, "tokenizer_config.json", context);
  let tokenizer = await findFirst(folder, TOKENIZERS, context);
  if (!tokenizer) {
    // A model of another kind has another tokenizer: that is said first.
    const [bytes] = await readPieces([config], context);
    rules.checkConfig(title, bytes as Uint8Array);
    tokenizer = await namedTokenizer([tokenizerConfig, config], rules, context);
    if (!tokenizer) throw missing(folder, "tokenizer.json or spiece.model");
  }
  return {
    ...label,
    config,
    tokenizer,
    addedTokens: await optional(folder, "added_tokens.json", context),
    specialTokensMap: await optional(folder, "special_tokens_map.json", context),
    tokenizerConfig,
    // Only noted: not worth a request to a host that may not have it.
    generationConfig: folder.names && (await optional(folder, "generation_config.json", context)),
    weights: await baseWeights(folder, named, rules, context),
  };
}

/** The files of a PEFT folder that is in no registry. */
export async function adapterFolder(
  source: FolderSource,
  context: DownloadContext,
): Promise<AdapterPieces> {
  const isLocal = source.kind === "files";
  const folder = await (isLocal ? localAdapter(source) : openRemote(source, context));
  const type = hasAdapter(folder) ? null : await modelType(folder, context);
  if (type !== null) throw loraLoomError("model-not-module", { folder: folder.name, type });
  const named = source.kind === "files" ? null : source.file;
  const expected = named ?? "adapter_model.safetensors or adapter_model.bin";
  return {
    commit: folder.commit,
    config: await firstOf(folder, [ADAPTER_CONFIG], ADAPTER_CONFIG, context),
    weights: await firstOf(folder, named ? [named] : ADAPTER_WEIGHTS, expected, context),
  };
}
