import { type RefObject, useEffect } from "react";

/**
 * Keeps the focus in the page when what has it goes away, as a question does once it is answered: the browser would put it nowhere, and
 * whoever uses a keyboard or a screen reader would begin at the top again. It goes to the nearest thing around that can have it.
 */
export function useKeptFocus(main: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const root = main.current;
    if (root === null) return;
    /** What has the focus and what is around it, from the inside to the outside; empty if that is not in the page. */
    let around: readonly HTMLElement[] = [];
    const note = ({ target }: FocusEvent) => {
      around = target instanceof HTMLElement && root.contains(target) ? upTo(root, target) : [];
    };
    const observer = new MutationObserver(() => {
      const [last] = around;
      if (last === undefined || last.isConnected || document.activeElement !== document.body) return;
      around.find((one) => one.isConnected && one.hasAttribute("tabindex"))?.focus({ preventScroll: true });
    });
    document.addEventListener("focusin", note);
    observer.observe(root, { childList: true, subtree: true });
    return () => {
      document.removeEventListener("focusin", note);
      observer.disconnect();
    };
  }, [main]);
}

function upTo(root: HTMLElement, inner: HTMLElement): HTMLElement[] {
  const path = [inner];
  for (let one = inner.parentElement; one !== null && path.at(-1) !== root; one = one.parentElement) path.push(one);
  return path;
}
