/** Fields that the frames between a session's SessionAgent and its runner have in common. */
import { z } from "zod";

export const id = z.string().min(1).max(128);
export const millis = z.number().nonnegative();
/** The end of the year 9999, epoch ms, after which ISO 8601 needs a longer form. */
export const LATEST_MS = 253_402_300_799_999;
/** W3C Trace Context. If it is absent, because the peer is older, the work begins a trace of its own. */
export const traceContext = {
  traceparent: z.string().max(256).optional(),
  tracestate: z.string().max(1024).optional(),
};
