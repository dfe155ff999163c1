import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

/** An area that takes dropped files or text. A button inside does the same by keyboard. */
export function DropZone(props: {
  class: string;
  onDrop: (event: DragEvent) => void;
  children: ComponentChildren;
}) {
  const dragging = useSignal(false);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the button inside does the same by keyboard
    <div
      class={`${props.class} ${dragging.value ? "dragging" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        dragging.value = true;
      }}
      onDragLeave={() => {
        dragging.value = false;
      }}
      onDrop={(event) => {
        event.preventDefault();
        dragging.value = false;
        props.onDrop(event);
      }}
    >
      {props.children}
    </div>
  );
}

/** A button that opens files. */
export function FileInput(props: {
  label: string;
  accept: string;
  multiple?: boolean;
  testId?: string;
  onFiles: (files: File[]) => void;
}) {
  return (
    <label class="button">
      {props.label}
      <input
        type="file"
        class="visually-hidden"
        multiple={props.multiple}
        accept={props.accept}
        data-testid={props.testId}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          currentTarget.value = "";
          if (files.length) props.onFiles(files);
        }}
      />
    </label>
  );
}

/** Saves a file. */
export function download(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // Some browsers begin to read it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
