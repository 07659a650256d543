import { type RefObject, useLayoutEffect, useState } from "react";

/** Returns the width of an element within its padding, whole px; 0 while it is not shown. */
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
