// The second step: the threads, which fill while it learns and are faders afterwards, with the error of
// every mix below them.

import "./mix.css";
import { useSignal } from "@preact/signals";
import { groupWeights, meanWeight } from "loraloom";
import { Fragment } from "preact";
import { LossChart } from "../charts/loss-chart.js";
import { Thread } from "../charts/thread.js";
import { Fader } from "../components/fader.js";
import { Lazy, LazyDetails } from "../components/lazy.js";
import { Panel } from "../components/panel.js";
import { weight } from "../format.js";
import { checks, mix, mixRelation, task } from "../state/bench.js";
import {
  evaluations,
  learning,
  leaveOneOutProgress,
  lossWithout,
  occupied,
  planned,
  polishing,
} from "../state/learn.js";
import { moduleCount, titleOf } from "../state/library.js";
import {
  addModuleToMix,
  allRows,
  keep,
  type MixRow,
  opened,
  redoDesk,
  resetDesk,
  resetGroup,
  resetWeight,
  rows,
  setGroup,
  setWeight,
  shownRows,
  slots,
  toggleGroups,
  toggleHold,
  toggleMute,
  toggleSolo,
  undoDesk,
} from "../state/mix.js";
import { addedModules } from "../state/modules.js";
import { recordedRun } from "../state/recorded.js";
import { busy, libraryModules, loom } from "../state/session.js";
import { isEdited } from "../state/workbench/faders.js";
import { SLOTS } from "../state/workbench/types.js";
import { GROUPS, sizeOf } from "../state/workbench/weights.js";
import { learnAndAnswer } from "../state/workflow.js";
import { text } from "../text.js";

export function MixPanel() {
  const used = rows.value.filter(({ weight }) => sizeOf(weight) !== 0).length;
  const all = moduleCount.value + addedModules.value.length;
  return (
    <Panel
      name="mix"
      title={text.mix.heading}
      aside={used > 0 ? text.mix.of(used, all) : undefined}
    >
      {rows.value.length ? <Threads /> : <Recorded />}
      <Desk />
      <LossLine />
      <Details />
    </Panel>
  );
}

/** The threads of a recorded run, until there are some. */
function Recorded() {
  const run = recordedRun(task.value);
  if (!run) return <p class="placeholder threads">{text.mix.empty}</p>;
  return (
    <div class="threads recorded">
      <ul aria-hidden="true">
        {run.modules.map(({ id, weight: value }, row) => (
          <li key={id}>
            <span class="name">{titleOf(id)}</span>
            <div class="track">
              <Thread weight={meanWeight(value)} row={row} muted={false} />
            </div>
            <span class="value">{weight(meanWeight(value))}</span>
          </li>
        ))}
      </ul>
      <p class="note">{text.mix.recorded}</p>
    </div>
  );
}

function Threads() {
  const stop = useSignal(0);
  const shown = shownRows.value;
  const hidden = rows.value.length - shown.length;
  const live = !occupied.value && mix.value !== null;
  // Over the groups of an opened module too.
  const moveFocus = (step: 1 | -1) => {
    const tracks = [...document.querySelectorAll<HTMLElement>("#mix .track")];
    const at = tracks.indexOf(document.activeElement as HTMLElement);
    tracks[at + step]?.focus();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys of the faders inside
    <div
      class="threads"
      onKeyDown={(event) => {
        // In a field that is typed in, undo is the browser's.
        if (!(event.ctrlKey || event.metaKey) || event.target instanceof HTMLInputElement) return;
        const key = event.key.toLowerCase();
        const action = key === "y" || (key === "z" && event.shiftKey) ? redoDesk : undoDesk;
        if ((key !== "y" && key !== "z") || occupied.value) return;
        event.preventDefault();
        action();
      }}
    >
      <ul data-testid="weights">
        {shown.map((row, index) => {
          const name = titleOf(row.id);
          const isOpen = opened.value.has(row.id);
          return (
            <Fragment key={row.id}>
              <li data-module={row.id} class={row.muted ? "muted" : ""}>
                <button
                  type="button"
                  class="open"
                  tabIndex={-1}
                  disabled={!live}
                  aria-expanded={isOpen}
                  aria-label={text.mix.groupsOf(name)}
                  onClick={() => toggleGroups(row.id)}
                >
                  {isOpen ? "▾" : "▸"}
                </button>
                <Fader
                  name={name}
                  weight={meanWeight(row.weight)}
                  row={index}
                  muted={row.muted}
                  solo={row.solo}
                  disabled={!live}
                  effect={effectOf(row)}
                  tabStop={index === Math.min(stop.value, shown.length - 1)}
                  onFocus={() => {
                    stop.value = index;
                  }}
                  onMove={moveFocus}
                  onOpen={() => toggleGroups(row.id)}
                  onWeight={(value, joined) => setWeight(row.id, value, joined)}
                  onMute={() => toggleMute(row.id)}
                  onSolo={() => toggleSolo(row.id)}
                  held={row.held}
                  onHold={() => toggleHold(row.id)}
                  onReset={() => resetWeight(row.id)}
                />
              </li>
              {live && isOpen && <Groups row={row} onMove={moveFocus} />}
            </Fragment>
          );
        })}
      </ul>
      {(hidden > 0 || allRows.value) && (
        <button
          type="button"
          class="plain"
          aria-expanded={allRows.value}
          onClick={() => {
            allRows.value = !allRows.value;
          }}
        >
          {allRows.value ? text.mix.fewer : text.mix.more(hidden)}
        </button>
      )}
    </div>
  );
}

/** The four groups of layers of a module, as faders of their own. */
function Groups({ row, onMove }: { row: MixRow; onMove: (step: 1 | -1) => void }) {
  const weights = groupWeights(row.weight);
  return (
    <>
      {GROUPS.map((group, index) => (
        <li key={group} class={`group ${row.muted ? "muted" : ""}`}>
          <span />
          <Fader
            name={text.mix.groups[group]}
            of={titleOf(row.id)}
            weight={weights[group]}
            row={index}
            muted={row.muted}
            disabled={false}
            effect=""
            tabStop={false}
            onMove={onMove}
            onWeight={(value, joined) => setGroup(row.id, group, value, joined)}
            onReset={() => resetGroup(row.id, group)}
          />
        </li>
      ))}
    </>
  );
}

function effectOf({ id }: MixRow): string {
  const measured = lossWithout.value;
  const found = measured?.losses.find((one) => one.id === id);
  return measured && found ? text.mix.rise(found.loss - measured.whole) : "";
}

/** What is done with the faders as a whole. */
function Desk() {
  const current = mix.value;
  if (!current || learning.value) return null;
  const { undo, redo, run, held } = current;
  const still = polishing.value;
  const free = loom.value !== null && !still && !busy.value && leaveOneOutProgress.value === null;
  return (
    <>
      <div class="row small desk">
        {held.length > 0 && mixRelation.value === "same" && (
          <button
            type="button"
            class="accent"
            disabled={!free}
            onClick={() => {
              // This button is gone while it learns.
              document.querySelector<HTMLElement>("#task .primary")?.focus({ preventScroll: true });
              void learnAndAnswer(true);
            }}
          >
            {text.mix.learnRest}
          </button>
        )}
        <button type="button" disabled={!undo.length || still} onClick={undoDesk}>
          {text.mix.undo}
        </button>
        <button type="button" disabled={!redo.length || still} onClick={redoDesk}>
          {text.mix.redo}
        </button>
        <button
          type="button"
          disabled={still || !(isEdited(current) || current.desk.tuned)}
          onClick={resetDesk}
        >
          {run ? text.mix.reset : text.mix.resetLink}
        </button>
        {SLOTS.map((slot) => (
          <button key={slot} type="button" disabled={still} onClick={() => keep(slot)}>
            {text.mix.keep(slot)}
          </button>
        ))}
      </div>
      {SLOTS.some((slot) => slots.value[slot]) && (
        <Lazy load={() => import("./compared.js").then(({ Compared }) => Compared)} />
      )}
    </>
  );
}

/** The error as a small chart, with its numbers. */
function LossLine() {
  const current = mix.value;
  const all = evaluations.value;
  const run = current?.run;
  if (!all.length && !current) return null;
  const now = checks.value?.loss ?? null;
  const words = learning.value
    ? text.mix.errorNow(all.at(-1)?.best ?? 0)
    : run && current && !isEdited(current) && !current.desk.tuned
      ? text.mix.error(run.lossStart, run.loss)
      : now === null
        ? current?.task
          ? text.mix.measuring
          : ""
        : text.mix.errorNow(now);
  return (
    <div class="loss-line">
      {all.length > 0 && (
        <LossChart small evaluations={all} planned={planned.value} ended={!learning.value} />
      )}
      <p class="status" data-testid="loss">
        {words}
      </p>
    </div>
  );
}

/** The chart and the tables of all mixes, what each module adds, and the settings of the next run. */
function Details() {
  return (
    <>
      {(mix.value || evaluations.value.length > 0) && (
        <LazyDetails
          summary={text.mix.all}
          testId="numbers"
          load={() => import("./numbers.js").then(({ Numbers }) => Numbers)}
        />
      )}
      {mix.value && !learning.value && (
        <p class="help">
          {text.mix.help(mix.value.run !== null)} <span class="keys">{text.mix.keys}</span>{" "}
          <AddModule />
        </p>
      )}
      {loom.value && (
        <LazyDetails
          summary={text.learn.options}
          testId="options"
          load={() => import("./learn-options.js").then(({ LearnSettings }) => LearnSettings)}
        />
      )}
    </>
  );
}

/** Adds another module of the library to the mix. */
function AddModule() {
  const used = new Set(mix.value?.desk.modules.map(({ id }) => id));
  const others = libraryModules.value.filter(({ id }) => !used.has(id));
  if (!others.length) return null;
  return (
    <select
      class="add"
      aria-label={text.mix.add}
      value=""
      disabled={busy.value || polishing.value}
      onChange={({ currentTarget }) => {
        const id = currentTarget.value;
        currentTarget.value = "";
        if (id) void addModuleToMix(id);
      }}
    >
      <option value="">{text.mix.add}</option>
      {others.map(({ id, title }) => (
        <option key={id} value={id}>
          {title}
        </option>
      ))}
    </select>
  );
}
