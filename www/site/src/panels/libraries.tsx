// Other libraries.

import { SourceForm } from "../components/source-form.js";
import { details } from "../details-text.js";
import { accept, ownAddress, unaccepted } from "../state/consent.js";
import { registryUrl } from "../state/session.js";

/** Links to other libraries, which open in this tab and keep the examples. */
export function LibraryChoice() {
  const { libraries } = details;
  const open = (url: string) => {
    const page = ownAddress();
    page.searchParams.set("registry", url);
    page.hash = "";
    return page.href;
  };
  return (
    <>
      <ul>
        {libraries.known
          .filter(({ url }) => url !== registryUrl)
          .map(({ url, title, about }) => (
            <li key={url} class="card">
              <a href={open(url)}>{title}</a>
              <p class="details">
                {about} {libraries.nothingYet}
              </p>
            </li>
          ))}
      </ul>
      <SourceForm
        label={libraries.address}
        placeholder={libraries.placeholder}
        action={libraries.open}
        onSource={(url) => {
          const typed = unaccepted(url);
          if (typed) accept([typed]);
          location.assign(open(url));
        }}
      />
    </>
  );
}
