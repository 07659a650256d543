/** Spans for tests, as a message's trace has them. Times are milliseconds since the message was accepted. */
import { KINDS, type Outcome } from "../../spans.ts";
import type { AttributeValue, WhyInput, WhyJob, WhyLink, WhySpan } from "./spans.ts";

/** When the sample message was accepted, in milliseconds since 1970. */
export const ACCEPTED_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
export const SESSION = "ses_00000000000000000000000001";
export const MESSAGE = "msg_1";
const TRACE = "1".repeat(32);

interface More {
  readonly id?: string;
  readonly parent?: string | null;
  readonly trace?: string;
  readonly outcome?: Outcome;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly links?: readonly WhyLink[];
  readonly reasons?: readonly (readonly [atMs: number, reason: string])[];
  readonly sealed?: boolean;
  readonly session?: string;
}

const OBJECTS =
  /^valet\.(?:prompt|queue|workflow(?:\.dispatch)?$|sandbox\.(?:spawn|restore|hibernate|create)|capacity|child)/;
const BROKERS = /^(?:POST|valet\.sandbox\.)/;

/** @param endMs `null` for an open span */
export function span(name: string, startMs: number, endMs: number | null, more: More = {}): WhySpan {
  const { id = name, parent = null, trace = TRACE, attributes = {}, links = [], reasons = [], sealed = false } = more;
  const outcome = more.outcome ?? (endMs === null ? null : "ok");
  return {
    sessionId: more.session ?? SESSION,
    traceId: trace,
    spanId: id,
    parentId: parent,
    name,
    kind: name.startsWith("POST") ? KINDS.SERVER : KINDS.INTERNAL,
    startMs: ACCEPTED_MS + startMs,
    endMs: endMs === null ? null : ACCEPTED_MS + endMs,
    outcome,
    attributes: { ...(outcome !== null && { "valet.outcome": outcome }), ...attributes },
    events: reasons.map(([atMs, reason]) => ({
      name: "valet.queue.reason",
      atMs: ACCEPTED_MS + atMs,
      attributes: { "valet.queue.reason": reason },
    })),
    links,
    isSealed: sealed,
    service: OBJECTS.test(name) ? "valet-worker" : BROKERS.test(name) ? "valet-broker" : "valet-runner",
  };
}

export function linkTo({ traceId, spanId }: WhySpan, type = "waited_on"): WhyLink {
  return { traceId, spanId, type };
}

export function message(endedMs: number | null, more: Partial<WhyJob> = {}): WhyJob {
  return {
    sessionId: SESSION,
    id: MESSAGE,
    kind: "message",
    traceId: TRACE,
    state: endedMs === null ? "running" : "ended",
    acceptedAtMs: ACCEPTED_MS,
    endedAtMs: endedMs === null ? null : ACCEPTED_MS + endedMs,
    outcome: endedMs === null ? null : "ok",
    failure: null,
    outcomeReason: null,
    ...more,
  };
}

/** @param nowMs after the acceptance */
export function input(job: WhyJob, spans: readonly WhySpan[], nowMs = 1_000_000): WhyInput {
  return { job, spans, turns: [], nowMs: ACCEPTED_MS + nowMs };
}

/**
 * A message's own spans: waits until `dispatchMs`, is accepted 10 ms later; its turn lasts until 10 ms before its end, of which the
 * last 100 ms are finalizing.
 */
export function messageSpans(
  endMs: number | null,
  dispatchMs: number,
  {
    id = MESSAGE,
    trace = TRACE,
    startMs = 0,
    wait = {},
  }: { id?: string; trace?: string; startMs?: number; wait?: More } = {},
): { all: WhySpan[]; wait: WhySpan; dispatch: WhySpan } {
  const attributes = { "valet.message.id": id, "valet.channel.id": "main" };
  const inTrace = { trace, attributes };
  const waitSpan = span("valet.queue.wait", startMs, dispatchMs, {
    ...wait,
    ...inTrace,
    id: `${id}-wait`,
    parent: `${id}-prompt`,
    attributes: { ...attributes, ...wait.attributes },
  });
  const dispatch = span("valet.prompt.dispatch", dispatchMs, dispatchMs + 10, {
    ...inTrace,
    id: `${id}-dispatch`,
    parent: `${id}-prompt`,
    attributes: { ...attributes, "valet.dispatch.attempt": 1 },
  });
  const turnEnd = endMs === null ? null : endMs - 10;
  return {
    wait: waitSpan,
    dispatch,
    all: [
      span("valet.prompt", startMs, endMs, { ...inTrace, id: `${id}-prompt` }),
      waitSpan,
      dispatch,
      span("valet.turn", dispatchMs + 10, turnEnd, { ...inTrace, id: `${id}-turn`, parent: `${id}-dispatch` }),
      span("invoke_agent build", dispatchMs + 20, turnEnd === null ? null : turnEnd - 100, {
        trace,
        id: `${id}-agent`,
        parent: `${id}-turn`,
      }),
      ...(turnEnd === null
        ? []
        : [span("valet.turn.finalize", turnEnd - 100, turnEnd, { trace, id: `${id}-end`, parent: `${id}-turn` })]),
    ],
  };
}
