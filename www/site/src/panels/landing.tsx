// A shared mix or a library that waits for the visitor: what it is, what it downloads and from where.

import { details } from "../details-text.js";
import { declineOffer } from "../state/offer.js";
import { linkOffer } from "../state/workflow.js";

export function Landing() {
  const offer = linkOffer.value;
  if (!offer) return null;
  const { kind, title, note, hosts, bytes, accept } = offer;
  const words = details.landing[kind];
  return (
    <section class="landing" aria-labelledby="landing-title">
      <h2 id="landing-title">{title || words.title}</h2>
      {note && <p>{note}</p>}
      <p class="row">
        <button type="button" class="primary" onClick={accept}>
          {words.accept(hosts, bytes)}
        </button>
        <button type="button" onClick={declineOffer}>
          {details.landing.decline}
        </button>
        <span class="status">{words.help}</span>
      </p>
    </section>
  );
}
