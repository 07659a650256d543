import type { ElementType, HTMLAttributes, Ref } from "react";

interface ScrollableProps extends HTMLAttributes<HTMLElement> {
  readonly ref?: Ref<HTMLElement>;
  /** `pre` for code and output, `section` for a part of the page that people go to; `div` by default. */
  readonly as?: "div" | "pre" | "section";
  /** What it shows, for screen readers. */
  readonly label: string;
}

/** What scrolls by itself. It takes the focus, so that the keyboard can scroll it. */
export function Scrollable({ as = "div", label, ...rest }: ScrollableProps) {
  const Box = as as ElementType;
  // A section with a name is a region; the others are none, since a page has many of them.
  return <Box role={as === "section" ? undefined : "group"} aria-label={label} tabIndex={0} {...rest} />;
}
