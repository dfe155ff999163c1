import { type Example, type LearnResult, LoraLoom, LoraLoomError } from "loraloom";
import { LoraLoomElement } from "loraloom/element";

export async function learn(examples: Example[]): Promise<LearnResult | string> {
  try {
    const loom = await LoraLoom.open({ registryUrl: "library/registry.json" });
    return await loom.learn({ examples, onEvaluation: ({ loss }) => loss.toFixed(3) });
  } catch (error) {
    return error instanceof LoraLoomError ? error.next : String(error);
  }
}

export const element: HTMLElement = new LoraLoomElement();
