/** Checks that the certificates of an ended session account for each of its spans, and agree with what its backend has taken. */
import type { SessionParts } from "../../src/durable-objects/compose.ts";
import { type SeenSpan, spansIn } from "../session.ts";
import type { StandInBackend } from "./backend.ts";
import { check } from "./model.ts";

/**
 * @param lost the spans of frames that could not be read, with their traces
 * @param mayBeLost those of which only the session knows whether such a frame arrived
 * @param backend if spans are sent to one
 * @param isDeletion whether the session is about to be deleted
 */
export function checkCertificates(
  { traces, exporter }: SessionParts,
  lost: ReadonlyMap<string, string>,
  mayBeLost: ReadonlyMap<string, string>,
  backend: StandInBackend | undefined,
  isDeletion: boolean,
): void {
  const stored = Map.groupBy(storedSpans(traces), ({ traceId }) => traceId);
  for (const traceId of new Set([...stored.keys(), ...lost.values()])) {
    const position = exporter.position();
    const certificate = traces.certificates.of(traceId, position, true);
    if (certificate === undefined) throw new Error(`the trace ${traceId} has no certificate`);
    const { state, known, ended, open, sealed, missing, rejected, rejectedWithOthers, spanIds } = certificate;
    const says = (rule: string) => `${rule}: ${JSON.stringify(certificate)}`;
    const { acknowledged = [], others = [] } = spanIds ?? {};
    const ofTrace = stored.get(traceId) ?? [];
    const ids = new Set(ofTrace.map(({ spanId }) => spanId));
    const arrived = [...mayBeLost].filter(([spanId]) => missing.includes(spanId));
    const gone = [...new Map([...lost, ...arrived])].flatMap(([spanId, of]) =>
      of === traceId && !ids.has(spanId) ? [spanId] : [],
    );

    check(traces.certificates.stateOf(traceId, position) === state, says("a state is that of the certificate"));
    // A deletion waits for a backend that is away, but not for ever.
    const mayWait = isDeletion && backend?.hasFailed === true;
    check(open === 0, says("nothing of an ended session is open"));
    check(state !== "pending" || mayWait, says("nothing of an ended session waits for a backend that answers"));
    check(ended === ids.size && known === ids.size + gone.length, says("a certificate counts each span once"));
    const named = new Set([...acknowledged, ...others]);
    check(
      named.size === known && [...ids, ...gone].every((id) => named.has(id)),
      says("a certificate names each span"),
    );
    check(
      gone.every((id) => missing.includes(id)),
      says("a span whose frame could not be read is missing"),
    );
    const sealedNow = ofTrace.filter(({ attributes }) => attributes["valet.last_seen_ms"] !== undefined).length;
    const withCause = sealed.reduce((sum, { cause, spans }) => sum + (cause === null ? 0 : spans), 0);
    check(withCause === sealedNow, says("a certificate has each sealed span with its cause"));

    const isHarmed = gone.length > 0 || backend?.hasRefused === true;
    check(
      isHarmed || state === "complete" || (state === "pending" && mayWait),
      says("a trace of which nothing is lost is complete"),
    );
    check(
      gone.length === 0 || state === "incomplete" || (state === "pending" && mayWait),
      says("a trace of which a span is lost is not complete"),
    );
    if (backend === undefined) continue;
    const taken = [...backend.taken].flatMap(([spanId, of]) => (of === traceId ? [spanId] : []));
    const lacking = acknowledged.filter((id) => !backend.taken.has(id)).length;
    check(lacking <= rejected + rejectedWithOthers, says("the backend has what it has acknowledged"));
    check(
      taken.every((id) => named.has(id)),
      says("the backend has no span that the session does not know"),
    );
  }
}

function storedSpans({ segments }: SessionParts["traces"]): SeenSpan[] {
  const spans: SeenSpan[] = [];
  let cursor = 0;
  for (let next = segments.textAfter(0); next !== undefined; next = segments.textAfter(cursor)) {
    cursor = next.id;
    spans.push(...spansIn(next.text));
  }
  return spans;
}
