import { type RefObject, useEffect, useRef } from "react";

const WHEEL_ZOOM = 0.002;

/**
 * Ctrl and the wheel zoom at the pointer; a sideways wheel moves. Many events come in a frame; the picture changes once.
 * @param axis the horizontal axis of time
 * @param onWheel `zoom` above 1 zooms in, `pan` is the part of the axis to move by, `at` is the pointer on the axis, from 0 to 1
 */
export function useWheel(
  scroller: RefObject<HTMLElement | null>,
  axis: RefObject<HTMLElement | null>,
  onWheel: (zoom: number, pan: number, at: number) => void,
): void {
  const latest = useRef(onWheel);
  latest.current = onWheel;
  useEffect(() => {
    const node = scroller.current;
    if (node === null) return;
    let [zoom, pan, clientX, frame] = [1, 0, 0, 0];
    const show = () => {
      frame = 0;
      const box = axis.current?.getBoundingClientRect();
      if (box !== undefined) {
        const at = Math.min(1, Math.max(0, (clientX - box.left) / Math.max(1, box.width)));
        if (zoom !== 1) latest.current(zoom, 0, at);
        else latest.current(1, pan / Math.max(1, box.width), at);
      }
      [zoom, pan] = [1, 0];
    };
    const hear = (event: WheelEvent) => {
      const sideways = event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX;
      if (event.ctrlKey || event.metaKey) zoom *= Math.exp(-event.deltaY * WHEEL_ZOOM);
      else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) pan += sideways;
      else return;
      event.preventDefault();
      clientX = event.clientX;
      if (frame === 0) frame = requestAnimationFrame(show);
    };
    // React's own listener is passive, so that it could not keep the browser from zooming the page.
    node.addEventListener("wheel", hear, { passive: false });
    return () => {
      node.removeEventListener("wheel", hear);
      cancelAnimationFrame(frame);
    };
  }, [scroller, axis]);
}
