/**
 * The skeleton of a trace: what is needed to draw it, without most attributes and without events, in about 25 bytes a span. It consists of
 * chunks. Each has its columns: a text or a list with a value for each of its spans, in order. If a span is in several chunks, the
 * last one counts: a span that was open has ended since. `skeleton-codec.ts` writes and reads chunks.
 */
import { z } from "zod";
import { OUTCOMES } from "../spans/outcomes.ts";

const digits = z.string().regex(/^\d*$/);
const vlq = z.string().regex(/^[A-Za-z0-9+/]*$/);

export const SkeletonChunk = z.object({
  ids: z.string().describe("The span ids of 8 bytes each, together as one base64 text without padding"),
  names: z.array(z.string()).describe("The different names"),
  name: vlq.describe("VLQ: the index of each span's name"),
  kinds: digits.describe("A digit for each span: OTLP's `SpanKind`"),
  parents: z.array(z.string()).describe("The ids of parents that are not in this chunk"),
  parent: vlq.describe("VLQ: 0 for no parent; n for the chunk's span n, from 1; -n for the nth of `parents`, from 1"),
  startUs: z.number().describe("A time in microseconds since 1970"),
  start: vlq.describe(
    "VLQ: each span's start less that of the span before; the first one's less `startUs`. In microseconds",
  ),
  duration: vlq.describe("VLQ: each span's duration in microseconds, plus 1; 0 for an open span"),
  outcomes: digits.describe(
    `A digit for each span: 0 for no outcome, ${OUTCOMES.map((outcome, index) => `${index + 1} for \`${outcome}\``).join(", ")}`,
  ),
  errors: vlq.describe("VLQ: the indexes of spans whose status is an error"),
  sealed: vlq.describe("VLQ: the indexes of spans that the session ended because their runner was lost"),
  usage: z
    .array(z.tuple([z.int(), z.number().nullable(), z.number().nullable(), z.number().nullable()]))
    .optional()
    .describe(
      "The index of a model call, its input tokens, how many of these the provider had cached, and its cost in US dollars; null for what is not known. Chunks of earlier versions have none",
    ),
  seen: z
    .array(z.tuple([z.int(), z.number()]))
    .optional()
    .describe(
      "The index of a sealed span, and the last sign of life of its runner, in ms since 1970. Chunks of earlier versions have none",
    ),
  adopted: vlq
    .describe(
      "VLQ: the indexes of spans of programs that had begun a trace of their own. Absent if there are none, or the session is older",
    )
    .optional(),
  partial: vlq
    .describe(
      "VLQ: the indexes of model calls whose cost is a lower bound by their own usage, and of failed tries of model calls that may have been charged: the cost of the call above such a try is a lower bound, too. Absent if there are none, or the chunk is of an earlier version",
    )
    .optional(),
  links: z
    .array(z.tuple([z.int(), z.string(), z.string(), z.string().nullable()]))
    .describe("The index of a span, and the trace id, the span id and the `valet.link.type` of a link of that span"),
});
export type SkeletonChunk = z.infer<typeof SkeletonChunk>;

export const TraceSkeleton = z.object({
  chunks: z.array(SkeletonChunk),
  next: z
    .string()
    .describe(
      "For the query `after`: the answer then has only the chunks that are new since, and all spans that may still change",
    ),
  isComplete: z
    .boolean()
    .describe(
      "Whether nothing follows at the moment. Otherwise the next page is at `after=<next>`, and open spans are on the last one",
    ),
});
export type TraceSkeleton = z.infer<typeof TraceSkeleton>;
