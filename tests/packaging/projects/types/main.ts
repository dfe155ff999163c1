import { type Example, type LearnResult, LoraLoom, LoraLoomError } from "loraloom";
import type { LoraLoomElement } from "loraloom/element";

export async function learn(examples: Example[]): Promise<LearnResult | string> {
  try {
    const loom = await LoraLoom.open({ registryUrl: "library/registry.json" });
    const call = loom.learn({ examples, onEvaluation: ({ loss }) => loss.toFixed(3) });
    for await (const { number } of call) if (number > 3) await call.stop();
    loom[Symbol.dispose]();
    return await call;
  } catch (error) {
    return error instanceof LoraLoomError && error.code !== "busy" ? error.next : String(error);
  }
}

/** Declared by the package for the tag's name. */
export const element: LoraLoomElement = document.createElement("lora-loom");
