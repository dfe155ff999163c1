// What the page's address names and what waits for the visitor, to accept or to decline: a library of another
// site, and a link with a large download or one from another site.

import type { LoraLoom, Recipe, RegistryFile } from "loraloom";
import { update } from "./bench.js";
import { accept, ownAddress, unaccepted, waiting } from "./consent.js";
import { addressOfFile, entryOf, fetchEntries, fileBytes } from "./library.js";
import { base, loom } from "./session.js";
import { type LinkOffer, linkOffer, restoreFromAddress } from "./workflow.js";

/** Bytes above which a link of the page's own library is not opened unasked. */
const ASKED_BYTES = 60e6;

/** The hosts of URLs, each once. */
const hostsOf = (urls: (URL | null)[]) => [...new Set(urls.flatMap((url) => url?.host ?? []))];

/** What the address, with the fragment of a link in it, has to ask for; null where that is nothing. */
export async function offerOf(fragment: string): Promise<LinkOffer | null> {
  const { href } = location;
  const engine = loom.value;
  const recipe = fragment ? await engine?.decode(fragment).catch(() => null) : null;
  const named = { title: recipe?.title ?? "", note: recipe?.instruction ?? "", address: href };
  const { registry: library, hub } = waiting();
  const urls = [library, hub].filter((url) => url !== null);
  if (urls.length) {
    return {
      ...named,
      kind: library ? "library" : "hub",
      bytes: 0,
      hosts: hostsOf(urls),
      accept: () => {
        accept(urls);
        // A task of this page's library is none of the other one's; one's own goes along.
        if (library) update((now) => (now.task?.own ? now : { ...now, task: null }));
        // The page of that library, with the link in its address.
        history.replaceState(null, "", href);
        location.reload();
      },
    };
  }
  // Opening a link reports what is wrong with it.
  if (!engine || !recipe) return null;
  const files = await filesOf(engine, recipe);
  const bytes = files.reduce((sum, file) => sum + fileBytes(file), 0);
  const hosts = hostsOf(files.map(({ path }) => unaccepted(addressOfFile(path))));
  if (bytes <= ASKED_BYTES && !hosts.length) return null;
  return {
    ...named,
    kind: "link",
    bytes,
    hosts,
    accept: () => {
      history.replaceState(null, "", href);
      void restoreFromAddress(true);
    },
  };
}

/** The files that opening a link downloads, as far as the library knows them. */
async function filesOf(engine: LoraLoom, recipe: Recipe): Promise<RegistryFile[]> {
  const ids = recipe.modules.map(({ id }) => id);
  await fetchEntries(ids);
  const modules = ids.flatMap((id) => entryOf(id) ?? []);
  const bases = base.value?.id === recipe.base.id ? [] : engine.registry.bases;
  const needed = [...bases.filter(({ id }) => id === recipe.base.id), ...modules];
  return needed.flatMap(({ files }) => Object.values<RegistryFile>(files));
}

/** Declines what is offered: the page stays with its own library. */
export function declineOffer(): void {
  // What was learned meanwhile keeps its address.
  if (location.href === linkOffer.value?.address) {
    const address = ownAddress();
    address.hash = "";
    history.replaceState(null, "", address);
  }
  linkOffer.value = null;
}
