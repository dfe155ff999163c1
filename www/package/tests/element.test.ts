// The web component where there is no DOM; the browser tests have it with one.

import { expect, test } from "vitest";

test("the element can be imported where there is no DOM", async () => {
  expect("HTMLElement" in globalThis || "customElements" in globalThis).toBe(false);
  const { LoraLoomElement } = await import("../src/element.js");
  expect(LoraLoomElement.observedAttributes).toEqual(["registry", "recipe"]);
});
