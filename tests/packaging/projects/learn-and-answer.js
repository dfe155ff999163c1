// A user's page: opens a library, learns from its first task, and answers one of the examples.

/** What a user learns from a library; also in Node. */
export async function learned(registryUrl, LoraLoom) {
  const loom = await LoraLoom.open({ registryUrl });
  try {
    const [{ examples }] = loom.registry.tasks;
    const composition = await loom.learn({
      examples,
      modules: loom.fittingModules().slice(0, 2),
      options: { optimizer: "cobyla", selection: "all", budget: 12 },
    });
    const { text } = await loom.generate({ input: examples[0].input, composition });
    const registry = "https://example.org/library/registry.json";
    return {
      build: loom.device.build,
      threads: loom.device.threads,
      reason: loom.device.reason,
      evaluations: composition.evaluations,
      weights: composition.modules.map(({ weight }) => weight),
      text,
      recipe: await loom.share({ composition, title: "Learned", registry }),
    };
  } finally {
    loom.dispose();
  }
}

/** Shows what came of it in the page's output. */
export async function learnAndAnswer(registryUrl, LoraLoom) {
  const output = document.querySelector("output");
  try {
    output.textContent = JSON.stringify(await learned(registryUrl, LoraLoom));
  } catch (error) {
    output.textContent = JSON.stringify({ code: error.code, message: error.message });
  }
}
