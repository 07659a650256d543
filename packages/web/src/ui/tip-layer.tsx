/**
 * Shows the names of buttons that have only an icon, to who sees: on hover, and on the focus of the keyboard. One layer for the whole
 * page. Screen readers read the names themselves.
 */
import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";

interface Tip {
  readonly anchor: HTMLElement;
  readonly text: string;
}

/** So long a pointer rests until a tip shows, and is gone until it hides: meanwhile it may reach the tip. */
const REST_MS = 500;
const LEAVE_MS = 150;
/** Between the tip and its button, and the edge of the window, px. */
const GAP_PX = 6;
const EDGE_PX = 8;

export function TipLayer() {
  const own = useRef<HTMLDivElement>(null);
  const tip = useTip(own);
  useLayoutEffect(() => {
    const { current: node } = own;
    if (node === null || tip === undefined) return;
    const { left, top } = placeOf(tip.anchor.getBoundingClientRect(), node.getBoundingClientRect());
    node.style.left = `${left}px`;
    node.style.top = `${top}px`;
  }, [tip]);
  if (tip === undefined) return null;
  return createPortal(
    <div ref={own} className="tooltip is-tip" aria-hidden="true">
      {tip.text}
    </div>,
    document.body,
  );
}

/** Above the button if there is room, else below it; never beyond the sides of the window. */
function placeOf(anchor: DOMRect, { width, height }: DOMRect): { readonly left: number; readonly top: number } {
  const above = anchor.top - GAP_PX - height;
  const centred = anchor.left + (anchor.width - width) / 2;
  return {
    left: Math.max(EDGE_PX, Math.min(centred, document.documentElement.clientWidth - EDGE_PX - width)),
    top: above >= EDGE_PX ? above : anchor.bottom + GAP_PX,
  };
}

function useTip(own: RefObject<HTMLElement | null>): Tip | undefined {
  const [tip, setTip] = useState<Tip>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = (next: Tip | undefined) => {
      clearTimeout(timer);
      setTip((shown) => (shown?.anchor === next?.anchor ? shown : next));
    };
    const onOver = ({ target, pointerType }: PointerEvent) => {
      clearTimeout(timer);
      if (pointerType === "touch" || own.current?.contains(target as Node)) return;
      const next = tipOf(target);
      const focused = tipOf(document.querySelector(":focus-visible"));
      timer = setTimeout(() => show(next ?? focused), next === undefined ? LEAVE_MS : REST_MS);
    };
    const onFocus = ({ target }: FocusEvent) => {
      if (target instanceof Element && target.matches(":focus-visible")) show(tipOf(target));
    };
    const hide = () => show(undefined);
    const onKeyDown = ({ key }: KeyboardEvent) => key === "Escape" && hide();
    const stop = new AbortController();
    const { signal } = stop;
    document.addEventListener("pointerover", onOver, { signal });
    document.addEventListener("focusin", onFocus, { signal });
    document.addEventListener("focusout", hide, { signal });
    document.addEventListener("pointerdown", hide, { signal });
    document.addEventListener("keydown", onKeyDown, { signal });
    document.addEventListener("scroll", hide, { signal, capture: true, passive: true });
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [own]);
  return tip;
}

function tipOf(target: EventTarget | null): Tip | undefined {
  const anchor = target instanceof Element ? target.closest<HTMLElement>("[data-tip]") : null;
  return anchor === null ? undefined : { anchor, text: anchor.dataset.tip ?? "" };
}
