// The archives that the page saves, read back.

import { unzipSync } from "fflate";
import { expect, test } from "vitest";
import { zip } from "../src/zip.js";

const bytesOf = (text: string) => new TextEncoder().encode(text);

test("an archive gives its files back, in any length", async () => {
  const large = Uint8Array.from({ length: 5_000_003 }, (_, at) => (at * at) % 251);
  const files = {
    "mix/adapter_config.json": bytesOf('{"r": 8}\n'),
    "mix/adapter_model.safetensors": large,
    "mix/Übung.txt": bytesOf("é"),
    empty: new Uint8Array(),
  };
  const archive = await zip(Object.entries(files).map(([path, bytes]) => ({ path, bytes })));
  const read = unzipSync(new Uint8Array(await archive.arrayBuffer()));
  expect(Object.keys(read)).toEqual(Object.keys(files));
  for (const [path, bytes] of Object.entries(files)) {
    expect(Buffer.compare(read[path] as Uint8Array, bytes)).toBe(0);
  }
});

test("the checksum is CRC-32: its published check value is that of the digits 1 to 9", async () => {
  const archive = await zip([{ path: "digits", bytes: bytesOf("123456789") }]);
  expect(new DataView(await archive.arrayBuffer()).getUint32(14, true)).toBe(0xcbf43926);
});

test("the same files give the same archive", async () => {
  const make = async () =>
    Buffer.from(await (await zip([{ path: "a", bytes: bytesOf("b") }])).arrayBuffer());
  expect((await make()).equals(await make())).toBe(true);
});
