/**
 * What other processes send of a session's spans: reads their requests, and decides which of the ends in them count.
 *
 * Every call is synchronous and runs inside a caller's transaction.
 */
import type { Resource } from "@valet/shared/tracing";
import type { NamedLosses } from "./named-losses.ts";
import { type ReceivedSpan, readRequest, type SpanGroup, sealOf, writeSpans } from "./otlp-request.ts";
import type { NamingLimits } from "./own-span.ts";
import { type KnownOfSpans, stampGroup } from "./stamp.ts";
import type { TailEntry } from "./tail-parts.ts";
import type { SpanRef, TraceAccounts } from "./trace-accounts.ts";
import type { TraceDrops } from "./trace-drops.ts";
import type { TraceOpenSpans } from "./trace-open-spans.ts";
import type { TraceOrigin } from "./trace-origin.ts";

/** OTLP/JSON from a runner, the Worker or the broker. */
export interface ReceivedRequest {
  readonly otlp: string;
  readonly runnerInstanceId?: string;
  /** The spans in it, if its sender has named them beside it. */
  readonly named?: readonly SpanRef[] | undefined;
}

export interface ReceivedRequestsOptions {
  readonly sessionId: string;
  /** The resource of the object's own spans, with the deployment's attributes. */
  readonly resource: Resource;
  /** Whether a runner's spans must be in traces of the session. */
  readonly ownTracesOnly?: boolean;
  readonly limits?: NamingLimits | undefined;
  readonly known?: KnownOfSpans;
  readonly open: Pick<TraceOpenSpans, "known" | "endReceived">;
  readonly origin: Pick<TraceOrigin, "keepOwn">;
  readonly accounts: Pick<TraceAccounts, "addSealed">;
  readonly drops: TraceDrops;
  readonly losses: NamedLosses;
}

/** Far below the maximum of a row (2 MB), in UTF-16 units of up to three bytes. */
export const MAX_TEXT_LENGTH = 512 * 1024;

export class ReceivedRequests {
  readonly #options: ReceivedRequestsOptions;

  constructor(options: ReceivedRequestsOptions) {
    this.#options = options;
  }

  /** Returns the spans that are the session's, with what it stamps on them. The others are counted. */
  read(requests: readonly ReceivedRequest[]): SpanGroup[] {
    const { sessionId, resource, ownTracesOnly, limits, known, losses, origin, drops } = this.#options;
    return requests.flatMap(({ otlp: text, runnerInstanceId, named }) => {
      const isTooLarge = text.length > MAX_TEXT_LENGTH;
      const request = isTooLarge ? undefined : readRequest(text, sessionId, limits);
      if (request === undefined) {
        losses.request(isTooLarge ? "too_large" : "invalid", named);
        return [];
      }
      const mayBeForeign = ownTracesOnly && runnerInstanceId !== undefined;
      const own = mayBeForeign ? origin.keepOwn(request.groups) : { groups: request.groups, refused: 0 };
      if (request.refused > 0) losses.ofRequest(request, named);
      // Spans of other traces are none of this session's.
      drops.foreign(own.refused);
      const stamp = { sessionId, resource, runnerInstanceId, known };
      return own.groups.map((group) => stampGroup(group, stamp));
    });
  }

  /**
   * Ends the spans, which are open no longer.
   * @param hasEnded whether the end of a span is known
   * @returns those whose end counts
   */
  end(groups: readonly SpanGroup[], hasEnded: (spanId: string) => boolean): TailEntry[] {
    const { open, drops } = this.#options;
    const idsOf = (some: readonly SpanGroup[]) => some.flatMap(({ spans }) => spans.map(({ spanId }) => spanId));
    const received = groups.flatMap(({ isAdopted, spans }) => (isAdopted ? [] : spans));
    // A span of another program ends none of Valet's.
    const taken = open.known(idsOf(groups.filter(({ isAdopted }) => isAdopted)));
    const ended = open.endReceived(received.map(({ spanId }) => spanId));
    const entries: TailEntry[] = [];
    for (const { resource, scope, isAdopted, spans } of groups) {
      const refused = isAdopted ? taken : ended.ownOpen;
      // The first end of a span counts.
      const kept = spans.filter(({ spanId }) => !refused.has(spanId) && !ended.sealed.has(spanId) && !hasEnded(spanId));
      if (isAdopted) drops.foreign(spans.length - kept.length);
      this.#noteSealed(kept);
      for (const sampled of [true, false]) {
        const part = kept.filter((span) => span.sampled === sampled);
        if (part.length > 0) entries.push({ resource, scope, sampled, spans: part, body: writeSpans(part) });
      }
    }
    drops.refused(received.filter(({ spanId }) => ended.ownOpen.has(spanId)));
    drops.late(received.filter(({ spanId }) => ended.late.has(spanId)));
    return entries;
  }

  /** Notes the spans that a runner ended for the one before it. */
  #noteSealed(spans: readonly ReceivedSpan[]): void {
    for (const span of spans) if (span.isSealed) this.#options.accounts.addSealed(sealOf(span), [span]);
  }
}
