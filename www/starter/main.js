// The page: learns a mix of the library's modules from the examples, and shows it in <lora-loom>. The mix is the part
// of the address after the #, so that the address can be shared.

import "./loraloom/element.js";
import { LoraLoom, meanWeight } from "./loraloom/index.js";

const ROWS = 5;
const VERDICTS = {
  works: "The mix works:",
  partly: "The mix works in part:",
  unlikely: "The mix is unlikely to work:",
};

const form = document.querySelector("form");
const status = form.querySelector("[role=status]");
const section = document.querySelector("section");
const element = document.querySelector("lora-loom");
const registryUrl = element.getAttribute("registry");

for (let row = 1; row <= ROWS; row++) {
  for (const name of ["input", "output"]) {
    const field = document.createElement("input");
    Object.assign(field, { name, placeholder: name, required: row === 1 });
    field.setAttribute("aria-label", `${name} of example ${row}`);
    document.querySelector("#examples").append(field);
  }
}

/** The rows in which both fields are filled. */
function filledExamples() {
  const data = new FormData(form);
  const outputs = data.getAll("output");
  const examples = data.getAll("input").map((input, row) => ({ input, output: outputs[row] }));
  return examples.filter(({ input, output }) => input.trim() && output.trim());
}

/** Learns a mix, and returns the link's part after the #. */
async function learn(examples) {
  const onProgress = ({ overallLoaded, overallTotal }) => {
    status.textContent = `${megabytes(overallLoaded)} of ${megabytes(overallTotal)} MB`;
  };
  const loom = await LoraLoom.open({ registryUrl, onProgress });
  try {
    const call = loom.learn({ examples });
    for await (const { number } of call) status.textContent = `${number} mixes tried`;
    const learned = await call;
    const mix = learned.modules.map(({ id, weight }) => `${id} ${meanWeight(weight).toFixed(2)}`);
    status.textContent = `${VERDICTS[learned.assessment?.verdict] ?? ""} ${mix.join(", ")}`;
    return await loom.share({ composition: learned, title: "Learned from examples" });
  } finally {
    loom.dispose();
  }
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

/** Shows the mix of the address. */
function show() {
  const recipe = location.hash.slice(1);
  section.hidden = !recipe;
  if (recipe) element.setAttribute("recipe", recipe);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    location.hash = await learn(filledExamples());
  } catch (error) {
    status.textContent = error.message;
  } finally {
    button.disabled = false;
  }
});
addEventListener("hashchange", show);
show();
