// A QR code as an SVG path.

import { correction, generate } from "lean-qr";

/** Modules of white around the code, without which readers do not find it. */
const QUIET = 4;

/** The dark modules as an SVG path, and the length of a side; null for a text that no code holds. */
export function qrPath(text: string): { path: string; size: number } | null {
  try {
    // The link is read from a screen, which has no damage to correct.
    const code = generate(text, { maxCorrectionLevel: correction.L });
    let path = "";
    for (let y = 0; y < code.size; y++) {
      for (let x = 0; x < code.size; x++) {
        if (code.get(x, y)) path += `M${x + QUIET} ${y + QUIET}h1v1h-1z`;
      }
    }
    return { path, size: code.size + 2 * QUIET };
  } catch {
    return null;
  }
}
