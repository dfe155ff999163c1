// A fader: drag, arrow keys, or a typed number; M mutes, S plays alone, H holds, a double click returns to
// what was learned.

import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Thread } from "../charts/thread.js";
import { weight as weightText } from "../format.js";
import { WEIGHTS } from "../state/workbench/weights.js";
import { text } from "../text.js";

const STEP = 0.05;
const LARGE_STEP = 0.25;

export interface FaderProps {
  name: string;
  /** The module that a group of layers belongs to. */
  of?: string;
  weight: number;
  row: number;
  muted: boolean;
  /** Whether another one plays alone, or this one. */
  solo?: boolean;
  /** Whether it keeps its weight while the rest is learned. */
  held?: boolean;
  disabled: boolean;
  /** What is known of its effect. */
  effect: string;
  /** Whether Tab reaches it; the arrow keys go from there to the others. */
  tabStop: boolean;
  onFocus?: () => void;
  onMove: (step: 1 | -1) => void;
  /** `joined` belongs to the move before. */
  onWeight: (weight: number, joined: boolean) => void;
  onMute?: () => void;
  onSolo?: () => void;
  onHold?: () => void;
  onOpen?: () => void;
  onReset: () => void;
}

export function Fader(props: FaderProps) {
  const { name, weight, disabled, onMute, onSolo, onHold } = props;
  const fullName = props.of ? `${props.of}, ${name}` : name;
  const typing = useSignal<string | null>(null);
  const track = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const drag = useRef<{ x: number; weight: number; moved: boolean } | null>(null);

  const type = (start: string) => {
    typing.value = start;
  };
  const isTyping = typing.value !== null;
  // Before the next key is read, which is the field's.
  useLayoutEffect(() => {
    if (!isTyping || !field.current) return;
    const { length } = field.current.value;
    field.current.focus();
    field.current.setSelectionRange(length, length);
  }, [isTyping]);
  const finish = (commit: boolean) => {
    const typed = typing.peek();
    typing.value = null;
    // A number may be written with the minus sign and the comma of people.
    const number = Number(typed?.replace("−", "-").replace(",", "."));
    if (commit && typed?.trim() && Number.isFinite(number)) props.onWeight(number, false);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const actions: Record<string, (() => void) | undefined> = {
      ArrowRight: () => props.onWeight(weight + step, false),
      ArrowLeft: () => props.onWeight(weight - step, false),
      PageUp: () => props.onWeight(weight + LARGE_STEP, false),
      PageDown: () => props.onWeight(weight - LARGE_STEP, false),
      Home: () => props.onWeight(WEIGHTS.min, false),
      End: () => props.onWeight(WEIGHTS.max, false),
      ArrowUp: () => props.onMove(-1),
      ArrowDown: () => props.onMove(1),
      Enter: () => type(""),
      m: onMute,
      M: onMute,
      s: onSolo,
      S: onSolo,
      h: onHold,
      H: onHold,
      g: props.onOpen,
      G: props.onOpen,
      Backspace: props.onReset,
      Delete: props.onReset,
    };
    const action = /^[-−.\d]$/.test(event.key) ? () => type(event.key) : actions[event.key];
    if (!action || disabled) return;
    event.preventDefault();
    action();
  };

  const onPointerMove = (event: PointerEvent) => {
    const from = drag.current;
    const width = track.current?.getBoundingClientRect().width ?? 0;
    if (!from || !width) return;
    const distance = event.clientX - from.x;
    if (!from.moved && Math.abs(distance) < 3) return;
    props.onWeight(from.weight + (distance / width) * (WEIGHTS.max - WEIGHTS.min), from.moved);
    from.moved = true;
  };

  return (
    <>
      <span class="name" title={name}>
        {name}
        {props.effect && <small>{props.effect}</small>}
      </span>
      <div
        ref={track}
        class="track"
        role="slider"
        tabIndex={disabled ? -1 : props.tabStop ? 0 : -1}
        aria-label={text.mix.fader(fullName)}
        aria-valuemin={WEIGHTS.min}
        aria-valuemax={WEIGHTS.max}
        aria-valuenow={weight}
        aria-valuetext={weightText(weight)}
        aria-disabled={disabled}
        onFocus={() => props.onFocus?.()}
        onKeyDown={onKeyDown}
        onDblClick={() => !disabled && props.onReset()}
        onPointerDown={(event) => {
          if (disabled || event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          event.currentTarget.focus();
          drag.current = { x: event.clientX, weight, moved: false };
        }}
        onPointerMove={onPointerMove}
        onPointerUp={() => {
          drag.current = null;
        }}
        onPointerCancel={() => {
          drag.current = null;
        }}
      >
        <Thread weight={weight} row={props.row} muted={props.muted} />
      </div>
      {!isTyping ? (
        <button
          type="button"
          class="value"
          tabIndex={-1}
          disabled={disabled}
          aria-label={text.mix.typeOver(weight === 0 ? text.mix.off : weightText(weight), fullName)}
          onClick={() => type("")}
        >
          {weight === 0 ? text.mix.off : weightText(weight)}
        </button>
      ) : (
        <input
          ref={field}
          class="value"
          inputMode="decimal"
          aria-label={text.mix.typed(fullName)}
          value={typing.value ?? ""}
          placeholder={weightText(weight)}
          onInput={({ currentTarget }) => {
            typing.value = currentTarget.value;
          }}
          onBlur={() => finish(true)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" && event.key !== "Escape") return;
            finish(event.key === "Enter");
            track.current?.focus();
          }}
        />
      )}
      <span class="switches">
        <Switch
          disabled={disabled}
          pressed={props.muted}
          label={text.mix.muteOf(name)}
          onClick={onMute}
        >
          {text.mix.mute}
        </Switch>
        <Switch
          disabled={disabled}
          pressed={props.solo}
          label={text.mix.soloOf(name)}
          onClick={onSolo}
        >
          {text.mix.solo}
        </Switch>
        <Switch
          disabled={disabled}
          pressed={props.held}
          label={text.mix.holdOf(name)}
          onClick={onHold}
        >
          {text.mix.hold}
        </Switch>
      </span>
    </>
  );
}

/** A button that stays pressed; none where nothing happens on a click. */
function Switch(props: {
  disabled: boolean;
  pressed: boolean | undefined;
  label: string;
  onClick: (() => void) | undefined;
  children: string;
}) {
  if (!props.onClick) return null;
  return (
    <button
      type="button"
      tabIndex={-1}
      disabled={props.disabled}
      aria-pressed={props.pressed}
      aria-label={props.label}
      title={props.label}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  );
}
