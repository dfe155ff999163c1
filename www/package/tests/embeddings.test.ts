// Stored embeddings are used as they were stored, or not at all.

import { expect, test, vi } from "vitest";
import type { DownloadContext } from "../src/worker/download.js";
import { EmbeddingStore } from "../src/worker/embeddings.js";
import type { Session } from "../src/worker/engine.js";
import { fakeModule } from "./fake-engine.js";
import { sha256 } from "./fake-library.js";

test("what another hash than the stored one has is not added", async () => {
  const bytes = new TextEncoder().encode("embeddings");
  for (const [hash, added] of [
    [sha256(bytes), 1],
    ["0".repeat(64), 0],
  ] as const) {
    const store = {
      find: async () => ({ sha256: hash }),
      read: async () => new Blob([bytes]).stream(),
    };
    const newHasher = () => new fakeModule.Sha256();
    const session = { addEmbeddings: vi.fn() };
    const context = { store, newHasher } as unknown as DownloadContext;
    await new EmbeddingStore("key", "url").load(session as unknown as Session, context);
    expect(session.addEmbeddings).toHaveBeenCalledTimes(added);
  }
});
