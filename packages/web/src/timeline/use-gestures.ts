import { type RefObject, useEffect, useRef } from "react";

interface Gestures {
  /** Moves what is in view, px; to later times if above 0. */
  readonly pan: (px: number) => void;
  /** @param factor above 1 to see less time; `x` stays where it is, in px from the left edge of the tracks */
  readonly zoom: (factor: number, x: number) => void;
  /** The width of the labels beside the tracks, px. */
  readonly labelsPx: () => number;
}

/** So far a pointer moves before it drags, px. */
const DRAG_PX = 4;
/** Wheels that count lines instead of pixels. */
const LINE_PX = 16;

/** Zooms by the wheel over the tracks and pans by dragging, or by a wheel that goes sideways. Over the labels the wheel scrolls. */
export function useGestures(element: RefObject<HTMLElement | null>, gestures: Gestures): void {
  const latest = useRef(gestures);
  latest.current = gestures;
  useEffect(() => {
    const lanes = element.current;
    if (lanes === null) return;
    const stop = new AbortController();
    const { signal } = stop;
    const xOf = (event: MouseEvent) => event.clientX - lanes.getBoundingClientRect().left - latest.current.labelsPx();
    let panned = 0;
    let zoomed = 1;
    let zoomX = 0;
    let frame = 0;
    // Many events come in a frame; the picture changes once.
    const later = () => {
      if (frame !== 0) return;
      frame = requestAnimationFrame(() => {
        frame = 0;
        if (panned !== 0) latest.current.pan(panned);
        if (zoomed !== 1) latest.current.zoom(zoomed, zoomX);
        panned = 0;
        zoomed = 1;
      });
    };
    const onWheel = (event: WheelEvent) => {
      const x = xOf(event);
      if (x < 0) return;
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PX : 1;
      const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      event.preventDefault();
      if (isSideways) panned += (event.deltaX === 0 ? event.deltaY : event.deltaX) * unit;
      else {
        zoomed *= Math.exp((-event.deltaY * unit) / 300);
        zoomX = x;
      }
      later();
    };
    let start: { readonly x: number; readonly id: number } | undefined;
    let lastX = 0;
    lanes.addEventListener("wheel", onWheel, { passive: false, signal });
    lanes.addEventListener(
      "pointerdown",
      (event) => {
        if (event.button !== 0 || xOf(event) < 0) return;
        start = { x: event.clientX, id: event.pointerId };
        lastX = event.clientX;
      },
      { signal },
    );
    lanes.addEventListener(
      "pointermove",
      (event) => {
        if (start?.id !== event.pointerId) return;
        const isDrag = lanes.hasPointerCapture(event.pointerId);
        if (!isDrag && Math.abs(event.clientX - start.x) < DRAG_PX) return;
        // From here on the lanes get the events, and what is under the pointer is not clicked.
        if (!isDrag) lanes.setPointerCapture(event.pointerId);
        panned += lastX - event.clientX;
        lastX = event.clientX;
        later();
      },
      { signal },
    );
    for (const type of ["pointerup", "pointercancel"] as const) {
      lanes.addEventListener(type, () => (start = undefined), { signal });
    }
    return () => {
      stop.abort();
      cancelAnimationFrame(frame);
    };
  }, [element]);
}
