import type { ComponentChildren } from "preact";

/** A panel of the workflow; the style sheet numbers panels in their order. */
export function Panel({
  name,
  title,
  children,
}: {
  name: string;
  title: string;
  children: ComponentChildren;
}) {
  return (
    <section class="panel" id={name} aria-labelledby={`${name}-title`}>
      <h2 id={`${name}-title`}>{title}</h2>
      {children}
    </section>
  );
}
