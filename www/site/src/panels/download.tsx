// What is downloaded: the base model and the modules, with their licenses.

import { describeSource, type Verified } from "loraloom";
import { LazyDetails } from "../components/lazy.js";
import { Term } from "../components/tooltip.js";
import { details } from "../details-text.js";
import { bytes } from "../format.js";
import {
  addressOfFile,
  baseBytes,
  bytesOf,
  found,
  isLarge,
  moduleCount,
  modulesToLoad,
} from "../state/library.js";
import { base, chosenBase, loom, registryBase, verified } from "../state/session.js";

/** The download's parts, sizes and licenses, and the controls of the model and the storage. */
export function DownloadFacts() {
  const words = details.download;
  return (
    <div>
      <dt>{words.heading(base.value !== null)}</dt>
      <dd data-testid="fetch-facts">
        {registryBase.value ? (
          <LibraryDownload />
        ) : chosenBase.value ? (
          <>
            {words.the}
            <Term of="base model" /> {describeSource(chosenBase.value)}
            {base.value &&
              words.otherFacts(bytes(base.value.bytes), base.value.parameters, base.value.commit)}
            {words.otherLicense}
          </>
        ) : (
          words.reading
        )}{" "}
        {verified.value && <Verification {...verified.value} />}
        {base.value?.notes && (
          <span class="note" data-testid="base-notes">
            {words.notes(base.value.notes)}{" "}
          </span>
        )}
        {/* No fragment: Preact would match it with one above, and close what is open in these. */}
        {loom.value && (
          <LazyDetails
            summary={details.base.heading}
            testId="base-choice"
            load={() => import("./base.js").then(({ BaseChoice }) => BaseChoice)}
          />
        )}{" "}
        {loom.value && (
          <LazyDetails
            summary={details.storage.heading}
            testId="storage"
            load={() => import("./storage.js").then(({ StoragePanel }) => StoragePanel)}
          />
        )}
      </dd>
    </div>
  );
}

function LibraryDownload() {
  const model = registryBase.value;
  if (!model) return null;
  const modules = modulesToLoad.value;
  const moduleBytes = bytesOf(modules);
  const { host } = new URL(addressOfFile(model.files.weights.path), document.baseURI);
  // A registry may leave exact sizes to the hub.
  const about = model.files.weights.bytes === 0;
  const each = bytesOf(found.value?.modules.slice(0, 1) ?? []);
  const licenses = new Set([model.license, ...modules.map(({ license }) => license)]);
  const words = details.download;
  return (
    <>
      <strong>{words.size(about, bytes(baseBytes.value + moduleBytes))}</strong>
      {words.onceThe(host === location.host ? null : host)}
      <Term of="base model" />
      {words.model(model.title, bytes(baseBytes.value), model.parameters)}
      {words.and}
      {isLarge.value && !modules.length
        ? words.fitting(moduleCount.value, each ? bytes(each) : "")
        : words.modules(modules.length, bytes(moduleBytes))}
      {words.license([...licenses].filter(Boolean).join(", "))}
    </>
  );
}

/** The result of checking the model against published reference outputs. */
function Verification({ model, source, input, expected, found, agrees }: Verified) {
  const words = details.download;
  const shown = (value: string) =>
    /^-?[0-9.]+$/.test(value) ? value.replace("-", "−") : `“${value}”`;
  return (
    <span data-testid="verification">
      {agrees ? (
        words.checked(model, shown(expected), source, found === expected ? null : shown(found))
      ) : (
        <strong>{words.differs(model, shown(input), shown(expected), source, shown(found))}</strong>
      )}{" "}
    </span>
  );
}
