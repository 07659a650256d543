import { useEffect, useRef } from "react";

/** So long the browser may have other things to do, ms. */
const AT_LATEST_MS = 5_000;
/** Where browsers do not say when they are idle, ms. */
const WITHOUT_NEWS_MS = 1_500;

/** Does something once, when the browser is idle. It may fail: whoever needs it does it again. */
export function useWhenIdle(work: () => Promise<unknown>): void {
  const first = useRef(work);
  useEffect(() => {
    const run = () => void first.current().catch(() => {});
    if (typeof requestIdleCallback === "undefined") {
      const timer = setTimeout(run, WITHOUT_NEWS_MS);
      return () => clearTimeout(timer);
    }
    const handle = requestIdleCallback(run, { timeout: AT_LATEST_MS });
    return () => cancelIdleCallback(handle);
  }, []);
}
