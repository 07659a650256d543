import { useSyncExternalStore } from "react";

/** Below this many times the size of the root's text panes are stacked: as `@container window` in the style sheets. */
const NARROW_REM = 62;

function readIsNarrow(): boolean {
  const root = document.documentElement;
  return root.clientWidth < NARROW_REM * Number.parseFloat(getComputedStyle(root).fontSize);
}

function subscribe(listener: () => void): () => void {
  // The root has another size when the window has, and when its text has.
  const observer = new ResizeObserver(listener);
  observer.observe(document.documentElement);
  return () => observer.disconnect();
}

/** Returns whether panes are stacked, and tables have fewer columns. */
export function useIsNarrow(): boolean {
  return useSyncExternalStore(subscribe, readIsNarrow);
}
