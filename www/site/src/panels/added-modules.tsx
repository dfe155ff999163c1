// The modules that were added by hand, as cards of the library.

import { details } from "../details-text.js";
import { bytes } from "../format.js";
import { addedModules } from "../state/modules.js";
import { PickableTitle } from "./library.js";

/** A card for each module that was added. */
export function AddedModules() {
  const words = details.addedModules;
  return addedModules.value.map(({ id, rank, targets, bytes: size, commit, notes }) => (
    <li key={id} class="card">
      <PickableTitle id={id} title={words.title(id)} />
      <p class="details">{words.facts(rank, targets.join(" "), bytes(size), commit)}</p>
      {notes &&
        words.notes(notes).map((note) => (
          <p key={note} class="details note">
            {note}
          </p>
        ))}
    </li>
  ));
}
