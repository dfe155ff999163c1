// The files of a base model or of a PEFT folder in a hub's repository, a folder of a static host, or
// among files of this computer: which ones are needed.

import { LoraLoomError } from "../errors.js";
import type { FilesSource, Placeholder, RemoteFolder } from "../protocol.js";
import { type DownloadContext, findStored, httpContext } from "./download.js";
import type { EngineModule } from "./engine.js";
import { loraLoomError } from "./errors.js";
import { fetchOnce } from "./http.js";
import { localAdapter, localBase } from "./picked-files.js";
import {
  ADAPTER_CONFIG,
  ADAPTER_FILE,
  ADAPTER_WEIGHTS,
  type AdapterPieces,
  BASE_CONFIG,
  type BasePieces,
  type Folder,
  NONE_BESIDE,
  type Piece,
  readPieces,
} from "./pieces.js";
import { openRemote } from "./remote-folder.js";

/** A file of weights is longer than this: a shorter one may be a placeholder. */
const MAX_PLACEHOLDER_BYTES = 1024;
/** Bytes at the start of a file that tell a placeholder. */
const START_BYTES = 256;
/** The license of a base outside a registry: `config.json` does not name it. */
const UNKNOWN_LICENSE = "see the model's page";
const TOKENIZERS = ["tokenizer.json", "spiece.model"];

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
