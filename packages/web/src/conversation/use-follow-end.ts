import { type RefObject, useEffect, useRef, useState } from "react";

/** So near to the end, px, a reader counts as being there. */
const NEAR_PX = 24;
/** So long after a key, a wheel or a touch, ms, a scroll is the reader's own; any other comes from rows that were measured. */
const OWN_SCROLL_MS = 1_000;

interface FollowEnd {
  readonly isAtEnd: boolean;
  /** Returns whether the end is followed, and not yet reached. */
  isUnderway(): boolean;
  /** Goes to the end, and stays there. */
  follow(): void;
  /** Stays where it is, since something else is to be seen. */
  leave(): void;
}

/**
 * Keeps the end of a list that grows in view, until the reader scrolls away from it, and again once they are back.
 * @param beginsThere whether the list begins at its end
 */
export function useFollowEnd(
  scroller: RefObject<HTMLElement | null>,
  content: RefObject<HTMLElement | null>,
  beginsThere: boolean,
): FollowEnd {
  const follows = useRef(beginsThere);
  const [isAtEnd, setAtEnd] = useState(beginsThere);
  const set = (next: boolean) => {
    follows.current = next;
    setAtEnd(next);
  };
  const toEnd = () => {
    const element = scroller.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
  };
  const latest = useRef({ set, toEnd });
  latest.current = { set, toEnd };
  useEffect(() => {
    const [element, inner] = [scroller.current, content.current];
    if (element === null || inner === null) return;
    let isHeld = false;
    let touchedMs = Number.NEGATIVE_INFINITY;
    const touch = () => {
      touchedMs = performance.now();
    };
    const hold = () => {
      isHeld = true;
    };
    const release = () => {
      if (isHeld) touch();
      isHeld = false;
    };
    const onScroll = () => {
      if (distanceOf(element) <= NEAR_PX) latest.current.set(true);
      else if (isHeld || performance.now() - touchedMs < OWN_SCROLL_MS) latest.current.set(false);
    };
    const observer = new ResizeObserver(() => {
      if (follows.current) latest.current.toEnd();
    });
    observer.observe(inner);
    observer.observe(element);
    const passive = { passive: true };
    for (const type of ["wheel", "touchmove", "keydown"]) element.addEventListener(type, touch, passive);
    element.addEventListener("pointerdown", hold, passive);
    window.addEventListener("pointerup", release, passive);
    element.addEventListener("scroll", onScroll, passive);
    return () => {
      observer.disconnect();
      for (const type of ["wheel", "touchmove", "keydown"]) element.removeEventListener(type, touch);
      element.removeEventListener("pointerdown", hold);
      window.removeEventListener("pointerup", release);
      element.removeEventListener("scroll", onScroll);
    };
  }, [scroller, content]);
  return {
    isAtEnd,
    isUnderway: () => follows.current && scroller.current !== null && distanceOf(scroller.current) > NEAR_PX,
    follow: () => {
      set(true);
      toEnd();
    },
    leave: () => set(false),
  };
}

/** Returns how far the end is away, px. */
function distanceOf({ scrollHeight, clientHeight, scrollTop }: HTMLElement): number {
  return scrollHeight - clientHeight - scrollTop;
}
