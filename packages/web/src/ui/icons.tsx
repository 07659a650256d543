/** The icons: drawn on a grid of 16 pixels, with the colour of the text around them. */
import type { ReactNode } from "react";

const ICONS = {
  add: <path d="M8 3v10M3 8h10" />,
  attach: <path d="m12.8 7.4-5 5a3.1 3.1 0 0 1-4.4-4.4l5.3-5.3a2.1 2.1 0 0 1 3 3L6.5 10.9a1 1 0 0 1-1.5-1.5l4.6-4.6" />,
  branch: (
    <>
      <circle cx="4.5" cy="3.5" r="1.5" />
      <circle cx="4.5" cy="12.5" r="1.5" />
      <circle cx="11.5" cy="5.5" r="1.5" />
      <path d="M4.5 5v6M11.5 7c0 2.5-3 2.5-5.5 3" />
    </>
  ),
  close: <path d="m4 4 8 8m0-8-8 8" />,
  copy: (
    <>
      <rect x="5.5" y="5.5" width="8" height="8" rx="1" />
      <path d="M3 10.5V3.5a1 1 0 0 1 1-1h6.5" />
    </>
  ),
  down: <path d="m3.5 6 4.5 4.5L12.5 6" />,
  end: <rect x="4.5" y="4.5" width="7" height="7" />,
  failed: (
    <>
      <circle cx="8" cy="8" r="6.5" fill="currentColor" stroke="none" />
      <path d="m5.7 5.7 4.6 4.6m0-4.6-4.6 4.6" stroke="var(--surface)" />
    </>
  ),
  idle: <circle cx="8" cy="8" r="3" />,
  left: <path d="M10 3.5 5.5 8l4.5 4.5" />,
  link: <path d="M6.5 9.5l3-3M7.3 4.7 9 3a2.8 2.8 0 0 1 4 4l-1.7 1.7M8.7 11.3 7 13a2.8 2.8 0 0 1-4-4l1.7-1.7" />,
  lost: (
    <>
      <circle cx="8" cy="8" r="6" strokeDasharray="2.6 2.1" />
      <path d="m6 6 4 4m0-4-4 4" />
    </>
  ),
  minus: <path d="M3 8h10" />,
  model: <path d="M8 1.8 9.7 6.3 14.2 8 9.7 9.7 8 14.2 6.3 9.7 1.8 8 6.3 6.3z" />,
  money: (
    <>
      <circle cx="8" cy="8" r="6.2" />
      <path d="M10 5.8C9.5 5 6.3 4.7 6.3 6.5S10 7.7 10 9.5s-3.2 1.8-4 .7M8 3.7v8.6" />
    </>
  ),
  moon: <path d="M13 9.6A5.5 5.5 0 1 1 6.4 3a4.5 4.5 0 0 0 6.6 6.6z" />,
  more: <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth="2.2" />,
  ok: <path d="m3.5 8.5 3 3 6-7" />,
  pause: <path d="M5.5 3.5v9M10.5 3.5v9" />,
  person: (
    <>
      <circle cx="8" cy="5" r="2.75" />
      <path d="M2.75 14c.4-3 2.4-4.5 5.25-4.5s4.85 1.5 5.25 4.5" />
    </>
  ),
  queue: <path d="M2.5 4h11M2.5 8h11M2.5 12h6" />,
  quiet: (
    <>
      <circle cx="8" cy="8" r="6.2" />
      <path d="M5 8h.01M8 8h.01M11 8h.01" strokeWidth="2" />
    </>
  ),
  retry: <path d="M13 8.5A5 5 0 1 1 11.5 4.3L13.5 6M13.5 2.5V6H10" />,
  right: <path d="m6 3.5 4.5 4.5L6 12.5" />,
  run: (
    <>
      <circle cx="8" cy="8" r="6.2" opacity=".35" />
      <path d="M8 1.8A6.2 6.2 0 0 1 14.2 8" />
    </>
  ),
  sandbox: <path d="m8 1.8 5.5 3v6.4L8 14.2l-5.5-3V4.8zM2.5 4.8 8 8l5.5-3.2M8 8v6" />,
  search: (
    <>
      <circle cx="7" cy="7" r="4.5" />
      <path d="m10.5 10.5 3.5 3.5" />
    </>
  ),
  stuck: (
    <>
      <path d="M5.3 1.8h5.4l3.5 3.5v5.4l-3.5 3.5H5.3l-3.5-3.5V5.3z" />
      <path d="M6.3 5.5v5M9.7 5.5v5" />
    </>
  ),
  up: <path d="m3.5 10 4.5-4.5L12.5 10" />,
  theme: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="M8 2.5v11a5.5 5.5 0 0 0 0-11z" fill="currentColor" />
    </>
  ),
  tool: <path d="m3 4 4 4-4 4M8.5 12H13.5" />,
} as const satisfies Readonly<Record<string, ReactNode>>;
export type IconName = keyof typeof ICONS;

interface IconProps {
  readonly name: IconName;
  /** What it says to who does not see it; without one it is decoration beside a word. */
  readonly label?: string;
  readonly className?: string;
}

export function Icon({ name, label, className = "" }: IconProps) {
  const shape = { viewBox: "0 0 16 16", className: `i ${className}` };
  if (label === undefined) {
    return (
      <svg {...shape} aria-hidden="true">
        {ICONS[name]}
      </svg>
    );
  }
  return (
    <svg {...shape} role="img" aria-label={label}>
      {ICONS[name]}
    </svg>
  );
}
