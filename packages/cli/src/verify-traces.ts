/** Reads certificates until none is pending, and compares them with what a backend has. */
import { setTimeout as sleep } from "node:timers/promises";
import { type CertificateState, type TraceCertificate, worstOf } from "@valet/shared/protocol/certificate";
import type { ApiClient } from "./api-client.ts";
import type { BackendQuery, BackendTrace } from "./backend-query.ts";
import { UserError } from "./errors.ts";

/** What a backend has of a trace, beside what the session knows. */
export interface Comparison {
  readonly backend: string;
  /** How many different spans it has. */
  readonly spans: number;
  /** The ids of spans that it has acknowledged and does not have. */
  readonly missing: readonly string[];
  /** The ids of spans that the session does not know. */
  readonly unknown: readonly string[];
  /** The ids of spans that it has more than once. */
  readonly repeated: readonly string[];
  /** Spans of the trace that the session has deleted since: the backend's may be among the unknown ones. */
  readonly removed: number;
}

export interface VerifiedTrace extends TraceCertificate {
  readonly comparison?: Comparison;
}

export interface Verified {
  readonly state: CertificateState;
  /** Whether the state is `complete`, and the backend, if there is one to compare with, agrees. */
  readonly ok: boolean;
  readonly traces: readonly VerifiedTrace[];
}

export interface VerifyOptions {
  readonly backend: BackendQuery | undefined;
  /** How long to wait for what is pending, and for the backend to show what it has acknowledged, in ms. */
  readonly waitMs: number;
  readonly report: (line: string) => void;
}

const POLL_MS = 500;

/** Verifies traces of a session. @throws UserError if the backend cannot be asked */
export async function verifyTraces(
  api: Pick<ApiClient, "certifyTrace">,
  sessionId: string,
  traceIds: readonly string[],
  { backend, waitMs, report }: VerifyOptions,
): Promise<Verified> {
  const deadline = Date.now() + waitMs;
  const verified = new Map<string, VerifiedTrace>();
  let left = traceIds;
  let said = "";
  for (;;) {
    for (const traceId of left) verified.set(traceId, await verifyTrace(api, sessionId, traceId, backend));
    left = left.filter((traceId) => mayChange(verified.get(traceId)));
    const [first] = left;
    if (first === undefined || Date.now() > deadline) break;
    const line = progressLine(verified.get(first), left.length);
    if (line !== said) report(line);
    said = line;
    await sleep(POLL_MS);
  }
  const traces = traceIds.flatMap((traceId) => verified.get(traceId) ?? []);
  const state = worstOf(traces.map((trace) => trace.state));
  return { state, ok: state === "complete" && traces.every(({ comparison }) => isEqual(comparison)), traces };
}

async function verifyTrace(
  api: Pick<ApiClient, "certifyTrace">,
  sessionId: string,
  traceId: string,
  backend: BackendQuery | undefined,
): Promise<VerifiedTrace> {
  if (backend === undefined) return api.certifyTrace(sessionId, traceId);
  // The backend first: what it has by now, the session knows.
  const there = await backend.trace(traceId);
  if (there.problem !== undefined) throw new UserError(`${backend.kind}: ${there.problem}.`);
  const { spanIds, ...certificate } = await api.certifyTrace(sessionId, traceId, true);
  if (certificate.export === null) throw new UserError("This Valet exports no spans: no backend has them.");
  return { ...certificate, comparison: compare(certificate, spanIds, there, backend.kind) };
}

/** Compares the ids that a session knows with those that a backend has. Pure. */
export function compare(
  { removed }: Pick<TraceCertificate, "removed">,
  { acknowledged, others }: NonNullable<TraceCertificate["spanIds"]> = { acknowledged: [], others: [] },
  { spanIds, repeatedIds = [] }: BackendTrace,
  backend: string,
): Comparison {
  const known = new Set([...acknowledged, ...others]);
  return {
    backend,
    spans: spanIds.size,
    missing: acknowledged.filter((id) => !spanIds.has(id)),
    unknown: [...spanIds].filter((id) => !known.has(id)),
    repeated: [...repeatedIds],
    removed,
  };
}

/** Whether a backend has what it should; more than that only if the session may have forgotten it. */
function isEqual(comparison: Comparison | undefined): boolean {
  if (comparison === undefined) return true;
  const { missing, unknown, repeated, removed } = comparison;
  return missing.length === 0 && repeated.length === 0 && unknown.length <= removed;
}

/** Whether time may change the result: spans are pending, or the backend does not show them yet. */
function mayChange(trace: VerifiedTrace | undefined): boolean {
  if (trace === undefined) return false;
  return trace.state === "pending" || (trace.comparison?.missing.length ?? 0) > 0;
}

function progressLine(trace: VerifiedTrace | undefined, traces: number): string {
  const others = traces > 1 ? ` (and ${traces - 1} more)` : "";
  if (trace === undefined) return "";
  if (trace.state === "pending") return `${trace.traceId}${others}: ${trace.sentence}`;
  const { missing = [], backend = "" } = trace.comparison ?? {};
  return `${trace.traceId}${others}: ${backend} does not show ${missing.length} of its spans yet.`;
}
