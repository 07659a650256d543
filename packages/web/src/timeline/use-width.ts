import { type RefObject, useLayoutEffect, useState, useSyncExternalStore } from "react";

/** Returns the width of an element, whole px; 0 while it is not shown. */
export function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const shown = element.current;
    if (shown === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(shown);
    setWidth(Math.floor(shown.getBoundingClientRect().width));
    return () => observer.disconnect();
  }, [element]);
  return width;
}

const narrow = matchMedia("(width < 62rem)");

function subscribe(listener: () => void): () => void {
  narrow.addEventListener("change", listener);
  return () => narrow.removeEventListener("change", listener);
}

/** Returns whether panes are stacked. */
export function useIsNarrow(): boolean {
  return useSyncExternalStore(subscribe, () => narrow.matches);
}
