/** The certificate of a trace, or of a message over all of its traces: what became of each span. */
import { z } from "zod";
import { DROP_REASONS } from "../spans.ts";

/**
 * - `complete`: every known span has ended, and the backend has acknowledged it; without a backend it is stored.
 * - `pending`: some spans are open, or wait to be sent.
 * - `incomplete`: some spans are lost.
 * - `undetermined`: spans were lost that may or may not be of this trace.
 * - `not_sampled`: every known span has ended, and none is to be sent.
 */
export const CERTIFICATE_STATES = ["complete", "pending", "incomplete", "undetermined", "not_sampled"] as const;
export const CertificateState = z.enum(CERTIFICATE_STATES);
export type CertificateState = z.infer<typeof CertificateState>;

/** How many ids a certificate lists. */
export const MAX_LISTED_SPANS = 100;

const count = z.int().nonnegative();
const time = z.iso.datetime();
const state = CertificateState.describe(
  "`complete`: every known span has ended, and the backend has acknowledged it; without a backend it is stored. `pending`: some are " +
    "open, or wait to be sent. `incomplete`: some are lost. `undetermined`: spans were lost that may or may not be of this trace. " +
    "`not_sampled`: all have ended, and none is to be sent",
);
const sentence = z.string().describe("The state in a sentence");

export const TraceCertificate = z.object({
  traceId: z.string(),
  state,
  sentence,
  known: count.describe(
    "Distinct spans of which the session has heard, announced or received: the sum of the ended, open and lost",
  ),
  lastFrameAt: time
    .nullable()
    .describe("When the session last stored something of the trace. `null` if that is not known any more"),
  open: count.describe("Spans that have not ended"),
  ended: count.describe("Spans whose end is stored, or was"),
  sealed: z
    .array(
      z.object({
        cause: z.string().nullable().describe("Their `error.type`; `null` if it is not known"),
        spans: count,
        unseenAfter: time
          .nullable()
          .describe(
            "The last frame of the process that is gone: what it began after this time is not known to anybody",
          ),
      }),
    )
    .describe("Of the ended spans those that the session, or a new runner, ended for a process that is gone"),
  dropped: z.array(z.object({ reason: z.enum(DROP_REASONS), spans: count })).describe("Lost spans, by reason"),
  rejected: count.describe("Spans that the backend rejected without saying which, of requests with this trace alone"),
  rejectedWithOthers: count.describe("Likewise, of requests that held other traces, too: these may be theirs"),
  doubtful: count
    .default(0)
    .describe("Spans of requests that the backend has accepted, where it could not be read whether it rejected some"),
  unnamed: count.describe("Spans that the session lost while this trace lasted, and that nobody can name"),
  refused: count.describe("Ends that were not taken, since the span is another process's; its own end counts"),
  late: count.describe("Ends of spans that had been sealed; the sealed end counts, and nothing is lost"),
  repeated: count.describe("Spans that the session has received more than once"),
  adopted: count.describe("Spans of programs with a trace id of their own, which have become part of this trace"),
  sampled: count.describe("Ended spans that are to be sent"),
  unsampled: count.describe("Ended spans that are not to be sent"),
  removed: count.describe("Ended spans that the session has deleted since, to keep its store small"),
  export: z
    .object({
      acknowledged: count.describe("Spans that the backend has acknowledged"),
      waiting: count.describe("Ended spans that have not been sent, or not been acknowledged yet"),
      reason: z
        .string()
        .nullable()
        .describe("Why they wait: the last failure of the export; `null` if nothing has failed"),
      stopped: z
        .boolean()
        .describe("Whether the export has stopped by itself: it continues with the next span, or on `resend`"),
    })
    .nullable()
    .describe("`null`: no backend is configured, and a trace whose spans are all stored is `complete`"),
  missing: z.array(z.string()).max(MAX_LISTED_SPANS).describe("The ids of lost spans; of many the first 100"),
  openSpans: z.array(z.string()).max(MAX_LISTED_SPANS).describe("The ids of open spans; of many the first 100"),
  spanIds: z
    .object({
      acknowledged: z.array(z.string()).describe("Those that the backend has acknowledged"),
      others: z.array(z.string()).describe("All others"),
    })
    .optional()
    .describe("The ids of all known spans, if `spanIds` is asked for; without those that the session has deleted"),
});
export type TraceCertificate = z.infer<typeof TraceCertificate>;

/** The certificate of a message. */
export const MessageCertificate = z.object({
  sessionId: z.string(),
  messageId: z.string(),
  state: CertificateState.describe("The worst state of its traces: `incomplete`, then `pending`, then `undetermined`"),
  sentence,
  traces: z.array(TraceCertificate).describe("Its own trace, and those of its attempts in batches"),
});
export type MessageCertificate = z.infer<typeof MessageCertificate>;

/** The query of a trace's certificate. */
export const CertificateQuery = z.strictObject({
  spanIds: z.enum(["true", "false"]).describe("Whether the answer has the ids of all known spans").optional(),
});

/** The states from the worst on. */
const WORST: readonly CertificateState[] = ["incomplete", "pending", "undetermined", "complete", "not_sampled"];

/** Returns the worst of states; a trace that is not sampled takes nothing from the others. */
export function worstOf(states: readonly CertificateState[]): CertificateState {
  return WORST.find((each) => states.includes(each)) ?? "not_sampled";
}
