/** Compares the certificates of a session's traces with the spans that a backend has received. */
import { expect } from "vitest";
import type { ApiClient } from "../packages/cli/src/api-client.ts";
import { type Verified, verifyTraces } from "../packages/cli/src/verify-traces.ts";
import type { TraceReceiver } from "./otlp-receiver.ts";
import { disagreements } from "./soak/check-certificates.ts";

const WAIT_MS = 60_000;

/** Waits until nothing of the session is pending, and checks that each certificate names the spans that the receiver has, and no others. */
export async function certified(api: ApiClient, sessionId: string, receiver: TraceReceiver): Promise<Verified> {
  const ids = (await api.traces(sessionId)).map(({ traceId }) => traceId);
  const verified = await verifyTraces(api, sessionId, ids, { backend: undefined, waitMs: WAIT_MS, report: () => {} });
  expect(await disagreements(api, sessionId, ids, receiver)).toEqual([]);
  return verified;
}
