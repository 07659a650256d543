import { type RefObject, useLayoutEffect, useState } from "react";

/** Returns how far an element is from the top of the page, px: what is above it grows and shrinks. */
export function useTopOf(element: RefObject<HTMLElement | null>): number {
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const measure = () => {
      const box = element.current?.getBoundingClientRect();
      if (box !== undefined) setTop(Math.round(box.top + scrollY));
    };
    measure();
    const observer = new ResizeObserver(measure);
    for (const above of [document.body, element.current?.previousElementSibling]) if (above) observer.observe(above);
    return () => observer.disconnect();
  }, [element]);
  return top;
}
