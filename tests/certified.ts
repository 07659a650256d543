/** Compares the certificates of a session's traces with the spans that a backend has received. */
import { expect } from "vitest";
import type { ApiClient } from "../packages/cli/src/api-client.ts";
import { type Verified, verifyTraces } from "../packages/cli/src/verify-traces.ts";
import type { TraceReceiver } from "./otlp-receiver.ts";

const WAIT_MS = 60_000;

/** Waits until nothing of the session is pending, and checks that each certificate names the spans that the receiver has, and no others. */
export async function certified(api: ApiClient, sessionId: string, receiver: TraceReceiver): Promise<Verified> {
  const ids = (await api.traces(sessionId)).map(({ traceId }) => traceId);
  const verified = await verifyTraces(api, sessionId, ids, { backend: undefined, waitMs: WAIT_MS, report: () => {} });
  const received = Map.groupBy(receiver.spansById().values(), ({ traceId }) => traceId);
  for (const traceId of ids) {
    const { spanIds = { acknowledged: [], others: [] } } = await api.certifyTrace(sessionId, traceId, true);
    const there = (received.get(traceId) ?? []).map(({ spanId }) => spanId);
    expect(new Set(spanIds.acknowledged), `trace ${traceId}`).toEqual(new Set(there));
  }
  return verified;
}
