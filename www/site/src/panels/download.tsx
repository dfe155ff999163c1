// What is downloaded: the base model and the modules, with their licenses.

import { describeSource, type Verified } from "loraloom";
import { LazyDetails } from "../components/lazy.js";
import { Term } from "../components/tooltip.js";
import { bytes, count } from "../format.js";
import {
  baseBytes,
  bytesOf,
  found,
  isLarge,
  moduleCount,
  modulesToLoad,
} from "../state/library.js";
import {
  base,
  chosenBase,
  hubUrl,
  loom,
  registryBase,
  registryUrl,
  verified,
} from "../state/session.js";
import { text } from "../text.js";

const millions = (parameters: number) => `${(parameters / 1e6).toFixed(1)} million parameters`;

/** The download's parts, sizes and licenses, and the controls of the model and the storage. */
export function DownloadFacts() {
  return (
    <div>
      <dt>{base.value ? "Downloaded" : "Download"}</dt>
      <dd data-testid="fetch-facts">
        {registryBase.value ? (
          <LibraryDownload />
        ) : chosenBase.value ? (
          <>
            The <Term of="base model">base model</Term> {describeSource(chosenBase.value)}
            {base.value && ` (${bytes(base.value.bytes)}, ${millions(base.value.parameters)})`}.
            License: see its page.
          </>
        ) : (
          "Reading the list of models and modules."
        )}{" "}
        {verified.value && <Verification {...verified.value} />}
        {/* No fragment: Preact would match it with one above, and close what is open in these. */}
        {loom.value && (
          <LazyDetails
            summary={text.base.heading}
            testId="base-choice"
            load={() => import("./base.js").then(({ BaseChoice }) => BaseChoice)}
          />
        )}{" "}
        {loom.value && (
          <LazyDetails
            summary={text.storage.heading}
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
  const onHub = model.files.weights.path.startsWith("hub:");
  const host = new URL(onHub ? hubUrl : registryUrl, document.baseURI).host;
  // A registry may leave exact sizes to the hub.
  const about = model.files.weights.bytes === 0 ? "about " : "";
  const each = bytesOf(found.value?.modules.slice(0, 1) ?? []);
  const licenses = new Set([model.license, ...modules.map(({ license }) => license)]);
  return (
    <>
      <strong>
        {about}
        {bytes(baseBytes.value + moduleBytes)}
      </strong>{" "}
      from {host === location.host ? "this site" : host}, once: the{" "}
      <Term of="base model">base model</Term> {model.title} ({bytes(baseBytes.value)},{" "}
      {millions(model.parameters)}) and{" "}
      {isLarge.value && !modules.length
        ? `those of its ${count(moduleCount.value, "module")} that fit your examples${each ? `, about ${bytes(each)} each` : ""}`
        : `${count(modules.length, "module")} (${bytes(moduleBytes)})`}
      . License: {[...licenses].filter(Boolean).join(", ")}.
    </>
  );
}

/** The result of checking the model against published reference outputs. */
function Verification({ model, source, input, expected, found, agrees }: Verified) {
  const shown = (value: string) =>
    /^-?[0-9.]+$/.test(value) ? value.replace("-", "−") : `“${value}”`;
  return (
    <span data-testid="verification">
      {agrees ? (
        <>
          Checked: gives the output published for {model} ({shown(expected)}, {source}
          {found !== expected && `; ${shown(found)} in 8 bits`}).{" "}
        </>
      ) : (
        <strong>
          This model does not give the output published for {model}: for {shown(input)} it should
          give {shown(expected)} ({source}), but gives {shown(found)}. Its files are damaged or
          belong to another model. Delete them under Storage and load them again.{" "}
        </strong>
      )}
    </span>
  );
}
