/** Gives the memory back that only the start of a long-lived process needed. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Collects garbage once, and keeps the space for young objects as small as it is then. Loading modules makes V8 extend that space to
 * 64 MB, which it never shrinks by itself.
 */
export function shrinkHeap(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: { type: "major"; flavor: "last-resort" }) => void;
  setFlagsFromString("--no-expose-gc");
  collect({ type: "major", flavor: "last-resort" });
}
