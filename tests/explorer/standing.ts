import type { Locator } from "playwright-core";

/** A page that was drawn so often without a change has no row left to measure. */
const FRAMES = 30;

/**
 * Resolves when an element stands where it stays: nothing loads, and it was drawn in the same place again and again. Rows above it may
 * come before that, and be measured. @returns its distance from the top of the window, CSS px
 */
export function standing(element: Locator): Promise<number> {
  return element.evaluate((element, frames) => {
    return new Promise<number>((resolve, reject) => {
      let last = Number.NaN;
      let same = 0;
      const look = () => {
        if (!element.isConnected) return reject(new Error("it is gone"));
        const top = Math.round(element.getBoundingClientRect().top);
        const isBusy = document.querySelector('[aria-busy="true"]') !== null;
        same = top === last && !isBusy ? same + 1 : 0;
        last = top;
        if (same === frames) resolve(top);
        else requestAnimationFrame(look);
      };
      look();
    });
  }, FRAMES);
}

/** Returns the distance of an element from the top of the window now, CSS px. */
export function topOf(element: Locator): Promise<number> {
  return element.evaluate((element) => Math.round(element.getBoundingClientRect().top));
}
