// The link as a QR code.

import { qrPath } from "../charts/qr.js";
import { details } from "../details-text.js";
import { made } from "../state/share.js";

export function QrCode() {
  // The one before stays for the moment in which a moved fader's is made.
  const address = made.value?.address;
  const code = address && qrPath(address);
  const { qr } = details;
  if (!address) return null;
  if (!code) return <p class="status">{qr.tooLong(address.length)}</p>;
  return (
    <svg class="qr" viewBox={`0 0 ${code.size} ${code.size}`} role="img" aria-label={qr.label}>
      <rect width={code.size} height={code.size} fill="#fff" />
      <path d={code.path} fill="#000" shape-rendering="crispEdges" />
    </svg>
  );
}
