// Other libraries.

import { SourceForm } from "../components/source-form.js";
import { registryUrl } from "../state/session.js";
import { text } from "../text.js";

/** Links to other libraries, which open in this tab and keep the examples. */
export function LibraryChoice() {
  const { library } = text;
  const open = (url: string) => {
    const page = new URL(location.href);
    page.searchParams.set("registry", url);
    page.hash = "";
    return page.href;
  };
  return (
    <>
      <ul>
        {library.known
          .filter(({ url }) => url !== registryUrl)
          .map(({ url, title, about }) => (
            <li key={url} class="card">
              <a href={open(url)}>{title}</a>
              <p class="details">
                {about} {library.nothingYet}
              </p>
            </li>
          ))}
      </ul>
      <SourceForm
        label={library.address}
        placeholder="https://…/registry.json"
        action={library.open}
        onSource={(url) => location.assign(open(url))}
      />
    </>
  );
}
