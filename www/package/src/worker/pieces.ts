// The files of which a base model or a PEFT folder consists: their names, and where their bytes come from.

import type { AtCommit, Placeholder } from "../protocol.js";
import type { DownloadContext, RemoteFile } from "./download.js";
import { fetchFiles, type Progress } from "./fetch.js";

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

export const BASE_CONFIG = "config.json";
export const ADAPTER_CONFIG = "adapter_config.json";
export const ADAPTER_WEIGHTS = ["adapter_model.safetensors", "adapter_model.bin"];
/** The path of a PEFT folder's file, with the number that browsers give to a second download. */
export const ADAPTER_FILE =
  /^(.*\/)?(?:(adapter_config)|(adapter_model))(?: \((\d+)\))?\.(?:json|safetensors|bin)$/;

/** A folder's files, by name. */
export interface Folder extends AtCommit {
  /** Its name in messages. */
  readonly name: string;
  /** The names of all files, or null where the host lists none. */
  readonly names: string[] | null;
  /** The file of that name, or what is in its place; null if there is none. */
  get(name: string): Promise<Piece | Placeholder | null>;
}
