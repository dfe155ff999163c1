// What is downloaded, and what runs it.

import { DeviceFacts } from "./device.js";
import { DownloadFacts } from "./download.js";

export function FactsDetails() {
  return (
    <dl>
      <DownloadFacts />
      <DeviceFacts />
    </dl>
  );
}
