// `valet verify` with a backend to compare with. The backends are stand-ins: they answer as the documents of Tempo's and Jaeger's query
// API say (`GET /api/traces/:id`, Tempo's `GET /api/echo`), with as many copies of a span as they were given.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { TraceCertificate } from "@valet/shared/protocol/certificate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackendQuery } from "./backend-query.ts";
import { verifiedLines } from "./verify-text.ts";
import { verifyTraces } from "./verify-traces.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const [A, B, C, FOREIGN] = ["a", "b", "c", "f"].map((digit) => digit.repeat(16)) as [string, string, string, string];

/** Answers of a backend for a trace. */
interface Form {
  readonly kind: "Tempo" | "Jaeger";
  readonly found: (traceId: string, spanIds: readonly string[]) => object;
  readonly notFound: string;
}

const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");

const FORMS: readonly Form[] = [
  {
    kind: "Tempo",
    // Each block that has a part of the trace is a batch; ids are base64, as in protobuf's JSON.
    found: (traceId, spanIds) => ({
      batches: spanIds.map((id) => ({
        resource: { attributes: [] },
        scopeSpans: [{ spans: [{ traceId: base64(traceId), spanId: base64(id), name: "x" }] }],
      })),
    }),
    notFound: "trace not found",
  },
  {
    kind: "Jaeger",
    found: (traceId, spanIds) => ({
      data: [{ traceID: traceId, spans: spanIds.map((spanID) => ({ traceID: traceId, spanID, references: [] })) }],
      total: 0,
      limit: 0,
      offset: 0,
      errors: null,
    }),
    notFound: '{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}',
  },
];

const CERTIFICATE: TraceCertificate = {
  traceId: TRACE,
  state: "complete",
  sentence: "The backend has acknowledged every span that is to be sent: 2.",
  known: 3,
  lastFrameAt: "2026-01-01T00:00:00.000Z",
  open: 0,
  ended: 3,
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
  unsampled: 1,
  removed: 0,
  export: { acknowledged: 2, waiting: 0, reason: null, stopped: false },
  missing: [],
  openSpans: [],
  // C is not sampled, so the backend need not have it.
  spanIds: { acknowledged: [A, B], others: [C] },
};

describe.each(FORMS)("with $kind", ({ kind, found, notFound }) => {
  let server: Server;
  let url: string;
  /** What the backend has at each query, the last of them for ever. */
  let states: (readonly string[])[] = [];
  let queries = 0;

  beforeAll(async () => {
    server = createServer(({ url: path = "" }, response) => {
      if (path === "/api/echo") return response.end("echo");
      queries++;
      const isKnown = path === `/api/traces/${TRACE}`;
      const spans = isKnown ? ((states.length > 1 ? states.shift() : states[0]) ?? []) : [];
      if (spans.length === 0) return response.writeHead(404).end(notFound);
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(found(TRACE, spans)));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server.close());

  async function verify(certificate: TraceCertificate, backendHas: (readonly string[])[], waitMs = 1) {
    states = backendHas;
    queries = 0;
    const backend = new BackendQuery({ kind, url, authorization: undefined });
    await backend.check();
    const api = { certifyTrace: async () => certificate };
    const verified = await verifyTraces(api, "ses_1", [TRACE], { backend, waitMs, report: () => {} });
    const [{ comparison } = {}] = verified.traces;
    return { ok: verified.ok, comparison, lines: verifiedLines("Session ses_1", verified) };
  }

  test("it has what it acknowledged", async () => {
    const { ok, comparison, lines } = await verify(CERTIFICATE, [[A, B]]);
    expect(ok).toBe(true);
    expect(comparison).toMatchObject({ spans: 2, missing: [], unknown: [], repeated: [] });
    expect(lines[0]).toBe("Session ses_1 is complete: 1 trace.");
  });

  test("it shows a span only later: that is waited for", async () => {
    expect(await verify(CERTIFICATE, [[], [A], [A, B]], 10_000)).toMatchObject({ ok: true });
    // The check's, and one for each state.
    expect(queries).toBe(4);
  });

  test("it lacks a span, or all", async () => {
    expect(await verify(CERTIFICATE, [[B]])).toMatchObject({ ok: false, comparison: { missing: [A] } });
    const { ok, comparison, lines } = await verify(CERTIFICATE, [[]]);
    expect(ok).toBe(false);
    expect(comparison?.missing).toEqual([A, B]);
    expect(lines[0]).toBe("Session ses_1 is complete, but the backend differs: 1 trace.");
    expect(lines).toContain(`  missing there: ${A} ${B}`);
  });

  test("it has a span twice, or more often: that is said once", async () => {
    const { ok, comparison, lines } = await verify(CERTIFICATE, [[A, B, B, B]]);
    expect({ ok, repeated: comparison?.repeated, spans: comparison?.spans }).toEqual({
      ok: false,
      repeated: [B],
      spans: 2,
    });
    expect(lines).toContain(`  more than once there: ${B}`);
  });

  test("it has a span that the session does not know, unless the session may have deleted it", async () => {
    const { ok, lines } = await verify(CERTIFICATE, [[A, B, FOREIGN]]);
    expect(ok).toBe(false);
    expect(lines).toContain(`  unknown to the session: ${FOREIGN}`);
    expect(await verify({ ...CERTIFICATE, removed: 1 }, [[A, B, FOREIGN]])).toMatchObject({ ok: true });
  });

  test("it has a span that was not sampled: the session knows it", async () => {
    expect(await verify(CERTIFICATE, [[A, B, C]])).toMatchObject({ ok: true });
  });

  test("it has all, and the session has lost a span before it was sent", async () => {
    const lost: TraceCertificate = { ...CERTIFICATE, state: "incomplete", missing: [C] };
    expect(await verify(lost, [[A, B]])).toMatchObject({ ok: false, comparison: { missing: [] } });
  });

  test("this Valet exports nothing, so there is nothing to compare", async () => {
    await expect(verify({ ...CERTIFICATE, export: null }, [[A]])).rejects.toThrow("exports no spans");
  });
});
