// Making and describing sources. The files that they resolve to are tested beside the worker's folders.

import { expect, test } from "vitest";
import type { LocalFile } from "../src/protocol.js";
import { addressSource, describeSource, droppedFiles } from "../src/sources.js";

test("a source is described in the words of its address", () => {
  expect(describeSource(addressSource(" o/n@v1 "))).toBe("o/n@v1");
  const hub = { kind: "hub", host: "https://hub.test", repo: "o/n", revision: "main" } as const;
  expect(describeSource({ ...hub, folder: "checkpoint-500", file: "adapter_model.bin" })).toBe(
    "o/n/checkpoint-500/adapter_model.bin",
  );
});

test("all files of dropped folders are read, however many and deep", async () => {
  const file = (fullPath: string) => ({
    isFile: true,
    fullPath,
    file: (resolve: (file: Blob) => void) => resolve(new Blob([fullPath])),
  });
  const folder = (entries: object[]) => ({
    isFile: false,
    createReader: () => {
      const left = [...entries];
      return { readEntries: (resolve: (some: object[]) => void) => resolve(left.splice(0, 100)) };
    },
  });
  const many = Array.from({ length: 250 }, (_, index) => file(`/one/${index}`));
  const entries = [
    folder([...many, folder([file("/one/deep/a")])]),
    folder([file("/two/b")]),
    null,
  ];
  const items = entries.map((entry) => ({ webkitGetAsEntry: () => entry }));
  const files: LocalFile[] = await droppedFiles({ items } as unknown as DataTransfer);
  expect(files).toHaveLength(252);
  expect(files.slice(-2).map(({ path }) => path)).toEqual(["one/deep/a", "two/b"]);
});
