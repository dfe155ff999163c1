// A user's page: opens a library, learns from its first task, and answers one of the examples.

import { LoraLoom } from "loraloom";

/** Shows what came of it in the page's output. */
export async function learnAndAnswer(registryUrl) {
  try {
    const loom = await LoraLoom.open({ registryUrl });
    const [{ examples }] = loom.registry.tasks;
    const learned = await loom.learn({
      examples,
      modules: loom.fittingModules().slice(0, 2),
      options: { optimizer: "cobyla", selection: "all", budget: 12 },
    });
    const { text } = await loom.generate({ input: examples[0].input, composition: learned });
    document.querySelector("output").textContent = JSON.stringify({
      build: loom.device.build,
      evaluations: learned.evaluations,
      weights: learned.modules.map(({ weight }) => weight),
      text,
    });
    loom.dispose();
  } catch (error) {
    console.error(error.message);
    document.querySelector("output").textContent = error.message;
  }
}
