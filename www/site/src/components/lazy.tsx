import { useSignal } from "@preact/signals";
import type { ComponentChildren, ComponentType } from "preact";
import { useEffect } from "preact/hooks";

type Load = () => Promise<ComponentType>;

/** A component that is fetched when it is first shown; its children stand there until then. */
export function Lazy({ load, children }: { load: Load; children?: ComponentChildren }) {
  const loaded = useSignal<{ Contents: ComponentType } | null>(null);
  useEffect(() => {
    void load().then((Contents) => {
      loaded.value = { Contents };
    });
  }, []);
  const Contents = loaded.value?.Contents;
  return Contents ? <Contents /> : children;
}

/** A disclosure whose contents are fetched when it is first opened. */
export function LazyDetails(props: {
  summary: ComponentChildren;
  testId: string;
  load: Load;
  class?: string;
  /** Opens it, where something in it has to be seen. */
  open?: boolean;
}) {
  const open = useSignal(false);
  return (
    <details
      class={props.class}
      open={props.open}
      data-testid={props.testId}
      onToggle={({ currentTarget }) => {
        open.value = currentTarget.open;
      }}
    >
      <summary>{props.summary}</summary>
      <div class="lazy">{open.value && <Lazy load={props.load} />}</div>
    </details>
  );
}
