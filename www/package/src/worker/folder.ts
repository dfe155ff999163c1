// The files of a base model or of a PEFT folder, wherever they are: a registry's entry, a hub's
// repository, a folder of a static host, or files of this computer. The result names each file that is
// needed, and where its bytes come from.

import type {
  LocalFile,
  RegistryBase,
  RegistryFile,
  RegistryModule,
  RegistryTask,
  Source,
} from "../generated/protocol.js";
import { type DownloadContext, storeKey, transferContext, type Wanted } from "./download.js";
import { fetchFiles, fetchListing, type Progress } from "./fetch.js";
import { answerOf, report } from "./transfer.js";
import { unzip } from "./unzip.js";

/** A file to fetch, or one that is here. */
export type Piece = Wanted | Blob;

/** Reads pieces whole, wherever they are. */
export async function readPieces(
  pieces: Piece[],
  context: DownloadContext,
  progress?: Progress,
): Promise<Uint8Array[]> {
  const wanted = pieces.filter((piece): piece is Wanted => !(piece instanceof Blob));
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
  /** One file, or all files of weights that are in several. */
  weights: Piece[];
}

/** The two files of a PEFT folder. */
export interface AdapterPieces {
  config: Piece;
  weights: Piece;
}

/** A list of a repository's files longer than this is refused. */
const MOST_LISTING_BYTES = 4 * 2 ** 20;
/** `config.json` names the license nowhere; the page of the model does. */
const UNKNOWN_LICENCE = "see the model's page";
const INDEX = "model.safetensors.index.json";
const TOKENIZERS = ["tokenizer.json", "spiece.model"];
const BASE_WEIGHTS = ["model.safetensors", "pytorch_model.bin"];
const ADAPTER_CONFIG = "adapter_config.json";
const ADAPTER_WEIGHTS = ["adapter_model.safetensors", "adapter_model.bin"];
/** GGUF files by how exact they are, where a repository has several; any other comes after them. */
const GGUF_PREFERENCE = ["q8_0", "f16", "q6_k", "q5_k", "q4_k", "q4_0"];

/** Files by name, and where to get them. */
interface Folder {
  /** What messages call it. */
  readonly name: string;
  /** The names of all files, or null where the host lists none. */
  readonly names: string[] | null;
  /** The file of that name, or null if there is none. */
  get(name: string): Promise<Piece | null>;
}

/** A repository's file in a hub's answer to `/api/models/<repo>/tree/<revision>`. */
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
  const bytes = await fetchListing(listing, MOST_LISTING_BYTES, context).catch((error) => {
    context.signal.throwIfAborted();
    // A host with a hub's addresses and no list of files is asked for each file.
    if (/\((404|405|501)\)|answered (404|405|501)/.test(error?.why ?? "")) return null;
    throw error;
  });
  if (!bytes) return openHost(root, repo, context);
  let listed: unknown;
  try {
    listed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    listed = null;
  }
  if (!isListing(listed)) {
    throw report(
      `The files of ${repo} are not known.`,
      `Expected a list of files at ${listing}, found something else.`,
      "Check the hub's address, or give the address of the folder that holds the files.",
    );
  }
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

/** A folder of a host that lists nothing: each file is asked for by its name. */
function openHost(url: string, name: string, context: DownloadContext): Folder {
  return {
    name,
    names: null,
    get: async (file) => {
      const address = url + encodePath(file);
      const unknown = { url: address, bytes: null, sha256: null };
      const kept = await context.store.find(storeKey(unknown, context));
      if (kept?.sha256) return { ...unknown, bytes: kept.bytes };
      let response: Response;
      try {
        response = await answerOf(address, { method: "HEAD" }, transferContext(context));
      } catch (error) {
        context.signal.throwIfAborted();
        // Without a connection, what the folder had when its files were kept is what it has.
        if ((await context.store.list()).some((one) => one.url.startsWith(url))) return null;
        throw report(
          `${name} could not be reached.`,
          `No answer for ${address}: ${error instanceof Error ? error.message : error}.`,
          "Check the address and the connection, and that the server lets other sites read its files (CORS).",
        );
      }
      // Some hosts answer no such requests; then the file itself is asked for.
      if (response.status === 405 || response.status === 501) {
        return unknown;
      }
      if (!response.ok) return null;
      const length = response.headers.get("Content-Length");
      const plain = length !== null && !response.headers.has("Content-Encoding");
      return { url: address, bytes: plain ? Number(length) : null, sha256: null };
    },
  };
}

/** The files of this computer, out of their ZIP archive if they are in one. */
async function openFiles(files: LocalFile[]): Promise<Folder> {
  const archive = files.length === 1 && files[0]?.path.toLowerCase().endsWith(".zip");
  const wanted = new Set([ADAPTER_CONFIG, ...ADAPTER_WEIGHTS]);
  const all = archive ? await unzip(files[0] as LocalFile, wanted) : files;
  // The folder that is meant is the one whose configuration is highest up.
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

function missing(folder: Folder, expected: string): unknown {
  // Of a place that gives no list of its files nobody knows whether it is there at all.
  const found = folder.names ? folder.names.slice(0, 12).join(", ") || "no files" : "no such file";
  return report(
    `${folder.name} ${folder.names ? "lacks a file" : "was not found, or lacks a file"}.`,
    `Expected ${expected}, found ${found}.`,
    "Check that it is a T5 or Flan-T5 model, or a PEFT adapter of one, and that all its files are there.",
  );
}

async function firstOf(folder: Folder, names: string[], expected: string): Promise<Piece> {
  for (const name of names) {
    if (folder.names && !folder.names.includes(name)) continue;
    const piece = await folder.get(name);
    if (piece) return piece;
  }
  throw missing(folder, expected);
}

function pickGguf(names: string[]): string | null {
  const files = names.filter((name) => name.toLowerCase().endsWith(".gguf"));
  const rank = (name: string) => {
    const found = GGUF_PREFERENCE.findIndex((kind) => name.toLowerCase().includes(kind));
    return found < 0 ? GGUF_PREFERENCE.length : found;
  };
  return files.sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

/** The file or files of a base's weights, best first: the one asked for, safetensors, GGUF. */
async function baseWeights(
  folder: Folder,
  asked: string | null,
  read: (piece: Piece) => Promise<Uint8Array>,
  shardNames: (index: Uint8Array) => string[],
): Promise<Piece[]> {
  if (asked) return [await firstOf(folder, [asked], asked)];
  const one = (names: string[]) =>
    firstOf(folder, names, "model.safetensors, its index, or a .gguf file");
  const has = async (name: string) =>
    folder.names ? folder.names.includes(name) : (await folder.get(name)) !== null;
  if (await has(BASE_WEIGHTS[0] as string)) return [await one(BASE_WEIGHTS)];
  if (await has(INDEX)) {
    const names = shardNames(await read(await one([INDEX])));
    return Promise.all(names.map((name) => firstOf(folder, [name], name)));
  }
  const gguf = folder.names && pickGguf(folder.names);
  return [await one(gguf ? [gguf] : BASE_WEIGHTS)];
}

/** What resolving a source needs besides the download's context. */
export interface FolderContext {
  download: DownloadContext;
  /** Reads a small piece whole. */
  read(piece: Piece): Promise<Uint8Array>;
  shardNames(index: Uint8Array): string[];
}

async function openFolder(
  source: Exclude<Source, { kind: "registry" }>,
  context: DownloadContext,
): Promise<Folder> {
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
  source: Exclude<Source, { kind: "registry" }>,
  context: FolderContext,
): Promise<BasePieces> {
  const folder = await openFolder(source, context.download);
  const asked = source.kind === "files" ? null : source.file;
  const title = source.kind === "hub" ? source.repo : folder.name;
  return {
    id: title,
    title,
    license: UNKNOWN_LICENCE,
    config: await firstOf(folder, ["config.json"], "config.json"),
    tokenizer: await firstOf(folder, TOKENIZERS, "tokenizer.json or spiece.model"),
    weights: await baseWeights(folder, asked, context.read, context.shardNames),
  };
}

/** The files of a PEFT folder that is in no registry. */
export async function adapterFolder(
  source: Exclude<Source, { kind: "registry" }>,
  context: DownloadContext,
): Promise<AdapterPieces> {
  const folder = await openFolder(source, context);
  const asked = source.kind === "files" ? null : source.file;
  return {
    config: await firstOf(folder, [ADAPTER_CONFIG], ADAPTER_CONFIG),
    weights: await firstOf(
      folder,
      asked ? [asked] : ADAPTER_WEIGHTS,
      asked ?? "adapter_model.safetensors or adapter_model.bin",
    ),
  };
}

/** A registry's file beside it. */
function registryPiece(file: RegistryFile, registryUrl: string): Wanted {
  return { url: new URL(file.path, registryUrl).href, bytes: file.bytes, sha256: file.sha256 };
}

/** The repository that a registry's file is in; null for a file beside the registry. */
function registryHub(file: RegistryFile, host: string): Extract<Source, { kind: "hub" }> | null {
  const [, repo, revision, name] = file.path.match(/^hub:([^@]+)@([^/]+)\/(.+)$/) ?? [];
  return repo && revision && name ? { kind: "hub", host, repo, revision, file: name } : null;
}

/** Where a registry's files are. */
export interface RegistryPlace {
  /** Address of `registry.json`. */
  url: string;
  /** Address of the hub that its `hub:` paths belong to. */
  hub: string;
}

/** The files of a registry's base model. */
export async function registryBase(
  base: RegistryBase,
  place: RegistryPlace,
  context: FolderContext,
): Promise<BasePieces> {
  const { id, title, license, files } = base;
  const hub = registryHub(files.weights, place.hub);
  if (hub) return { ...(await baseFolder(hub, context)), id, title, license };
  return {
    id,
    title,
    license,
    config: registryPiece(files.config, place.url),
    tokenizer: registryPiece(files.tokenizer, place.url),
    weights: [registryPiece(files.weights, place.url)],
  };
}

/** The files of a registry's module. */
export async function registryModule(
  { files }: RegistryModule,
  place: RegistryPlace,
  context: DownloadContext,
): Promise<{ config: Wanted; weights: Wanted }> {
  const hub = registryHub(files.weights, place.hub);
  if (!hub) {
    return {
      config: registryPiece(files.config, place.url),
      weights: registryPiece(files.weights, place.url),
    };
  }
  const { config, weights } = await adapterFolder({ ...hub, file: null }, context);
  // A hub has addresses only.
  return { config: config as Wanted, weights: weights as Wanted };
}

/** The test set of a registry's task. */
export function registryTest({ test }: RegistryTask, place: RegistryPlace): Wanted {
  return registryPiece(test, place.url);
}
