import type { TraceCertificate } from "@valet/shared/protocol/certificate";
import { expect, test } from "vitest";
import { verifiedLines } from "./verify-text.ts";
import { compare, type VerifiedTrace, verifyTraces } from "./verify-traces.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const [A, B, C] = ["a", "b", "c"].map((digit) => digit.repeat(16)) as [string, string, string];

const COMPLETE: TraceCertificate = {
  traceId: TRACE,
  state: "complete",
  sentence: "The backend has acknowledged every span that is to be sent: 2.",
  known: 2,
  lastFrameAt: "2026-01-01T00:00:00.000Z",
  open: 0,
  ended: 2,
  sealed: [],
  dropped: [],
  rejected: 0,
  rejectedWithOthers: 0,
  doubtful: 0,
  unnamed: 0,
  refused: 0,
  late: 0,
  repeated: 0,
  adopted: 0,
  sampled: 2,
  unsampled: 0,
  removed: 0,
  export: { acknowledged: 2, waiting: 0, reason: null, stopped: false },
  missing: [],
  openSpans: [],
};
const PENDING: TraceCertificate = {
  ...COMPLETE,
  state: "pending",
  sentence: "1 span of 2 is open.",
  open: 1,
  openSpans: [A],
};

/** An API that answers with each of the certificates in turn, and with the last one for ever. */
const answering = (...certificates: TraceCertificate[]) => ({
  certifyTrace: async () => (certificates.length > 1 ? certificates.shift() : certificates[0]) as TraceCertificate,
});

test("what is pending is waited for, with progress", async () => {
  const said: string[] = [];
  const options = { backend: undefined, waitMs: 10_000, report: (line: string) => void said.push(line) };
  const verified = await verifyTraces(answering(PENDING, PENDING, COMPLETE), "ses_1", [TRACE], options);
  expect(verified).toMatchObject({ ok: true, state: "complete" });
  expect(said).toEqual([`${TRACE}: 1 span of 2 is open.`]);
});

test("what stays pending is said after the wait", async () => {
  const options = { backend: undefined, waitMs: 1, report: () => {} };
  const verified = await verifyTraces(answering(PENDING), "ses_1", [TRACE], options);
  expect(verified).toMatchObject({ ok: false, state: "pending" });
  expect(verifiedLines("Message msg_1", verified)).toEqual([
    "Message msg_1 is pending: 1 trace.",
    `${TRACE}  pending. 1 span of 2 is open.`,
    `  open: ${A}`,
  ]);
});

test("a backend's ids are compared: missing, unknown and repeated ones", () => {
  const there = { spanIds: new Set([B, C]), repeatedIds: [C] };
  const known = { acknowledged: [A, B], others: [] };
  expect(compare({ removed: 0 }, known, there, "Tempo")).toMatchObject({ missing: [A], unknown: [C], repeated: [C] });
  expect(compare({ removed: 0 }, { acknowledged: [A, B], others: [C] }, there, "Tempo").unknown).toEqual([]);
});

test("what was lost, sealed and repeated is said with its ids", () => {
  const trace: VerifiedTrace = {
    ...COMPLETE,
    state: "incomplete",
    sentence: "1 span lost: not_retryable.",
    missing: [A],
    late: 1,
    sealed: [{ cause: "runner_lost", spans: 2, unseenAfter: "2026-01-01T00:00:00.000Z" }],
    comparison: { backend: "Jaeger", spans: 1, missing: [B], unknown: [C], repeated: [C], removed: 0 },
  };
  expect(verifiedLines("Session ses_1", { ok: false, state: "incomplete", traces: [trace] })).toEqual([
    "Session ses_1 is incomplete: 1 trace.",
    `${TRACE}  incomplete. 1 span lost: not_retryable.`,
    "  2 spans sealed (runner_lost); what its process began after 2026-01-01T00:00:00.000Z is unknown",
    `  lost: ${A}`,
    "  1 span ended after they were sealed, which loses nothing",
    "  Jaeger has 1 span",
    `  missing there: ${B}`,
    `  unknown to the session: ${C}`,
    `  more than once there: ${C}`,
  ]);
});
