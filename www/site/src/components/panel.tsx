import type { ComponentChildren } from "preact";

/** A step of the page; the style sheet numbers those of the bench in their order. */
export function Panel({
  name,
  title,
  aside,
  children,
}: {
  name: string;
  title: string;
  aside?: string | undefined;
  children: ComponentChildren;
}) {
  return (
    <section class="panel" id={name} aria-labelledby={`${name}-title`}>
      <h2 id={`${name}-title`}>
        {title}
        {aside && <small>{aside}</small>}
      </h2>
      {children}
    </section>
  );
}
