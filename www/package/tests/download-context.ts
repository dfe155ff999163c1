// What a download is given in the tests: storage in memory, and the fake engine's hashes.

import type { DownloadContext } from "../src/worker/download.js";
import { openStore } from "../src/worker/store.js";
import { fakeModule } from "./fake-engine.js";
import { MemoryFolder } from "./file-system.js";

/** A context that stores in a folder. */
export async function downloadContext(
  overrides: Partial<DownloadContext> = {},
  folder = new MemoryFolder(),
): Promise<DownloadContext> {
  return {
    signal: new AbortController().signal,
    stallSeconds: 5,
    newHasher: () => new fakeModule.Sha256(),
    detectPlaceholder: fakeModule.detectPlaceholder,
    onEvent: () => undefined,
    store: await openStore({ getDirectory: folder.getDirectory }),
    ...overrides,
  };
}
