/** Deltas of the agent's answer: what was added to a part, instead of the whole part. `part-delta-codec.ts` makes and applies them. */
import { z } from "zod";
import { PartId } from "./message-part.ts";

/**
 * A delta: from UTF-16 code unit `from` on, the part's field is `text`. Applying it is idempotent. A receiver with less of the part
 * than `from` has missed something, and waits for the whole part.
 */
export const PartDelta = z.object({
  partId: PartId,
  /** `text` of a text or reasoning part, `output` of a tool part. */
  field: z.enum(["text", "output"]),
  from: z.int().nonnegative(),
  text: z.string(),
});
export type PartDelta = z.infer<typeof PartDelta>;
