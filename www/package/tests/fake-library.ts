// The files and the registry of a small library.

import { createHash } from "node:crypto";
import type { Registry } from "../src/protocol.js";

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

export const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The files of a small library, by their path. */
export const files = new Map<string, Uint8Array>(
  Object.entries({
    "base/config.json": bytesOf("{}"),
    "base/tokenizer.json": bytesOf("tokenizer"),
    "base/model.gguf": bytesOf("w".repeat(5000)),
    "modules/one/adapter_config.json": bytesOf("one"),
    "modules/one/adapter_model.safetensors": bytesOf("1".repeat(700)),
    "modules/two/adapter_config.json": bytesOf("two"),
    "modules/two/adapter_model.safetensors": bytesOf("2".repeat(800)),
    "tasks/first.jsonl": bytesOf('{"input":"a","output":"b"}\n'),
  }),
);

const file = (path: string) => {
  const bytes = files.get(path) as Uint8Array;
  return { path, bytes: bytes.length, sha256: sha256(bytes) };
};

/** The registry of those files. */
export const registry: Registry = {
  version: 1,
  title: "Test library",
  bases: [
    {
      id: "small",
      title: "Small",
      description: "",
      license: "MIT",
      parameters: 1000,
      files: {
        config: file("base/config.json"),
        tokenizer: file("base/tokenizer.json"),
        weights: file("base/model.gguf"),
      },
    },
  ],
  modules: ["one", "two"].map((id) => ({
    id,
    title: id,
    task: id,
    example: { input: "a", output: "b" },
    base: "small",
    rank: 8,
    targets: ["q", "v"],
    files: {
      config: file(`modules/${id}/adapter_config.json`),
      weights: file(`modules/${id}/adapter_model.safetensors`),
    },
    license: "MIT",
    tags: [],
  })),
  tasks: [
    {
      id: "first",
      title: "First",
      description: "",
      why_unseen: "",
      set: "table",
      instruction_shown: false,
      examples: [],
      test: file("tasks/first.jsonl"),
    },
  ],
};
