// The ready files for hosts have the policy and the headers of the site.

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { ISOLATION, POLICY } from "../policy.mjs";

/** A text as a regular expression that matches it. */
const toPattern = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const read = (path: string) => readFile(new URL(`../../../${path}`, import.meta.url), "utf8");

for (const path of [
  "docs/hosting/nginx.conf",
  "docs/hosting/Caddyfile",
  "www/site/public/_headers",
]) {
  test(`${path} sends the site's policy and isolates it`, async () => {
    const text = await read(path);
    for (const [name, value] of Object.entries({
      "Content-Security-Policy": POLICY,
      ...ISOLATION,
    })) {
      expect(text).toMatch(new RegExp(`^.*${name}:? "?${toPattern(value)}"?( always;)?$`, "m"));
    }
  });
}

test("the table of the policy has its directives", async () => {
  const text = await read("docs/hosting.md");
  for (const directive of POLICY.split("; ")) expect(text).toContain(`\`${directive}\``);
});
