// The mix as one PEFT adapter in a ZIP archive.

import { zip } from "../zip.js";
import { ensureMix } from "./answer.js";
import { composition } from "./bench.js";
import { inForeground } from "./engine-turn.js";
import { loom } from "./session.js";
import { ensureTuned } from "./tuned.js";

/** The name of a mix's folder and files: its title in letters and digits. */
export const adapterName = (title: string) =>
  title
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "") || "mix";

/**
 * A ZIP archive of a folder that PEFT loads; null where the model or the modules could not be loaded.
 *
 * @throws the engine's error where the mix is no adapter: every weight is 0.
 */
export async function adapterArchive(title: string): Promise<Blob | null> {
  if (!(await ensureMix()) || !loom.value || !composition.value) return null;
  const engine = loom.value;
  const current = composition.value;
  const { config, weights } = await inForeground(async () => {
    await ensureTuned();
    return engine.exportAdapter(current);
  });
  const folder = adapterName(title);
  return zip([
    { path: `${folder}/adapter_config.json`, bytes: config },
    { path: `${folder}/adapter_model.safetensors`, bytes: weights },
  ]);
}
