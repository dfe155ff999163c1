// The line that a new version of the page is there.

import "./new-version.css";
import { details } from "../details-text.js";

export function NewVersion() {
  const words = details.newVersion;
  return (
    <p class="new-version" role="status">
      {words.ready}{" "}
      <button type="button" onClick={() => location.reload()}>
        {words.reload}
      </button>
    </p>
  );
}
