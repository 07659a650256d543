/** The broker's part of a trace: it continues the caller's context and returns its spans in the answer. */
import { SESSION_HEADER } from "@valet/shared/protocol/sandbox-broker";
import { readTracingConfig } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { type Answer, createRequest, STAY, startBroker } from "../test/broker.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CALLER = "b7ad6b7169203331";
const SAMPLED = { traceparent: `00-${TRACE}-${CALLER}-01`, tracestate: "vendor=1" };

interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  flags: number;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Record<string, string>;
  status: { code: number; message?: string };
}

function readSpans({ body }: Answer): OtlpSpan[] {
  const { resourceSpans } = JSON.parse(body.spans);
  expect(resourceSpans).toHaveLength(1);
  expect(attributesOf(resourceSpans[0].resource)).toMatchObject({ "service.name": "valet-broker" });
  return resourceSpans[0].scopeSpans[0].spans.map((span: object) => ({ ...span, attributes: attributesOf(span) }));
}

// biome-ignore lint/suspicious/noExplicitAny: OTLP's own shape
function attributesOf({ attributes = [] }: any): Record<string, string> {
  // biome-ignore lint/suspicious/noExplicitAny: likewise
  return Object.fromEntries(attributes.map(({ key, value }: any) => [key, String(Object.values(value)[0])]));
}

/** Returns the tree as `parent > child` lines, in order of start. */
function tree(spans: OtlpSpan[]): string[] {
  const names = new Map([[CALLER, "caller"], ...spans.map(({ spanId, name }) => [spanId, name] as const)]);
  return [...spans]
    .sort((a, b) => (BigInt(a.startTimeUnixNano) < BigInt(b.startTimeUnixNano) ? -1 : 1))
    .map(({ parentSpanId, name }) => `${names.get(parentSpanId)} > ${name}`);
}

test("each call continues the caller's trace and returns its spans, all with the session's id", async () => {
  const broker = await startBroker();
  const session = { [SESSION_HEADER]: "s1" };
  const created = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY), SAMPLED);
  const { id } = created.body.sandbox;
  const taken = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`, undefined, SAMPLED);
  const { snapshotId } = taken.body;
  const terminated = await broker.call("DELETE", `/v1/sandboxes/${id}`, undefined, SAMPLED);
  const again = { generation: 2, snapshotId };
  const restored = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY, again), SAMPLED);
  const deleted = await broker.call("DELETE", `/v1/snapshots/${snapshotId}`, undefined, { ...SAMPLED, ...session });
  const goneAlready = await broker.call("DELETE", `/v1/sandboxes/${id}`, undefined, { ...SAMPLED, ...session });

  const create = "POST /v1/sandboxes";
  expect(tree(readSpans(created))).toEqual([
    `caller > ${create}`,
    `${create} > valet.sandbox.prepare`,
    `${create} > valet.sandbox.process_start`,
  ]);
  const snapshot = "POST /v1/sandboxes/:id/snapshot";
  expect(tree(readSpans(taken))).toEqual([
    `caller > ${snapshot}`,
    `${snapshot} > valet.sandbox.pause`,
    "valet.sandbox.pause > valet.sandbox.copy",
    `${snapshot} > valet.sandbox.commit`,
  ]);
  const terminate = "DELETE /v1/sandboxes/:id";
  expect(tree(readSpans(terminated))).toEqual([
    `caller > ${terminate}`,
    `${terminate} > valet.sandbox.process_stop`,
    `${terminate} > valet.sandbox.remove`,
  ]);
  expect(tree(readSpans(restored))).toEqual([
    `caller > ${create}`,
    `${create} > valet.sandbox.prepare`,
    `${create} > valet.sandbox.copy`,
    `${create} > valet.sandbox.process_start`,
  ]);
  const deleteSnapshot = "DELETE /v1/snapshots/:id";
  expect(tree(readSpans(deleted))).toEqual([`caller > ${deleteSnapshot}`, `${deleteSnapshot} > valet.sandbox.remove`]);
  expect(tree(readSpans(goneAlready))).toEqual([`caller > ${terminate}`]);

  for (const answer of [created, taken, terminated, restored, deleted, goneAlready]) {
    const spans = readSpans(answer);
    const server = spans.find(({ kind }) => kind === 2);
    expect(server?.attributes).toMatchObject({
      "http.route": server?.name.split(" ")[1],
      "http.response.status_code": String(answer.status),
      "url.scheme": "http",
    });
    expect(spans.filter(({ kind }) => kind === 1)).toHaveLength(spans.length - 1);
    for (const span of spans) {
      expect(span).toMatchObject({ traceId: TRACE, traceState: "vendor=1", status: { code: 0 } });
      expect(span.flags & 0xff).toBe(1);
      expect(span.attributes).toMatchObject({
        "valet.session.id": "s1",
        "session.id": "s1",
        "gen_ai.conversation.id": "s1",
        "valet.sandbox.driver": "local",
      });
      // A child is within its parent's time.
      const parent = spans.find(({ spanId }) => spanId === span.parentSpanId) ?? span;
      expect(BigInt(span.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(parent.startTimeUnixNano));
      expect(BigInt(span.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(parent.endTimeUnixNano));
    }
  }
  const steps = [created, taken, terminated, restored, deleted].flatMap(readSpans).filter(({ kind }) => kind === 1);
  expect(steps.map(({ attributes }) => attributes["valet.outcome"])).toEqual(steps.map(() => "ok"));
  for (const span of [...readSpans(created), ...readSpans(taken), ...readSpans(terminated)]) {
    expect(span.attributes).toMatchObject({ "valet.sandbox.id": id, "valet.generation": "1" });
  }
  expect(readSpans(taken).at(-2)?.attributes).toMatchObject({
    "valet.snapshot.id": snapshotId,
    "valet.snapshot.size_bytes": String(taken.body.sizeBytes),
  });
});

test("an error's answer carries the spans too, and reveals no more than it should", async () => {
  const broker = await startBroker({ entrypoint: ["/no/such/program"] });
  const failed = await broker.call("POST", "/v1/sandboxes", createRequest("s1", "canary-script"), SAMPLED);
  const spans = readSpans(failed);
  expect(tree(spans)).toEqual([
    "caller > POST /v1/sandboxes",
    "POST /v1/sandboxes > valet.sandbox.prepare",
    "POST /v1/sandboxes > valet.sandbox.process_start",
    "POST /v1/sandboxes > valet.sandbox.process_stop",
    "POST /v1/sandboxes > valet.sandbox.remove",
  ]);
  expect(spans.find(({ kind }) => kind === 2)).toMatchObject({
    status: { code: 2 },
    attributes: { "http.response.status_code": "500", "error.type": "500" },
  });
  expect(spans.find(({ name }) => name.endsWith("process_start"))).toMatchObject({
    status: { code: 2 },
    attributes: { "valet.outcome": "error", "error.type": "broker_error" },
  });
  expect(JSON.stringify(failed.body)).not.toMatch(/canary|token-of-the-runner/);

  // A refused request is not an error of the broker.
  const refused = await broker.call("POST", "/v1/sandboxes/sb-0/snapshot", undefined, {
    ...SAMPLED,
    [SESSION_HEADER]: "s1",
  });
  expect(readSpans(refused)).toMatchObject([
    { status: { code: 0 }, attributes: { "http.response.status_code": "409", "valet.session.id": "s1" } },
  ]);
});

test("an unsampled caller gets unsampled spans; a caller without a trace, or without the secret, gets none", async () => {
  const broker = await startBroker();
  const list = (headers: Record<string, string>) =>
    broker.call("GET", "/v1/sandboxes?sessionId=s1", undefined, headers);
  const [span] = readSpans(await list({ traceparent: `00-${TRACE}-${CALLER}-00` }));
  expect(span).toMatchObject({ traceId: TRACE, parentSpanId: CALLER, name: "GET /v1/sandboxes" });
  expect((span?.flags ?? 1) & 1).toBe(0);
  for (const headers of [{}, { traceparent: "nonsense" }, { traceparent: `00-${"0".repeat(32)}-${CALLER}-01` }]) {
    expect((await list(headers)).body).toEqual({ sandboxes: [] });
  }
  expect((await list({ ...SAMPLED, authorization: "" })).body).not.toHaveProperty("spans");
  // An invalid session id is not recorded as an attribute.
  const [unnamed] = readSpans(
    await broker.call("GET", "/v1/sandboxes/sb-0", undefined, { ...SAMPLED, [SESSION_HEADER]: "a b" }),
  );
  expect(unnamed?.attributes).not.toHaveProperty("valet.session.id");
});

test("spans obey the deployment's limits", async () => {
  const { limits } = readTracingConfig({
    OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "4",
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "3",
  });
  const broker = await startBroker({ spanLimits: limits });
  const answer = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY), SAMPLED);
  const spans = readSpans(answer);
  expect(spans.length).toBeGreaterThan(2);
  for (const { attributes } of spans) {
    expect(Object.keys(attributes).length).toBeLessThanOrEqual(3);
    for (const value of Object.values(attributes)) expect(value.length).toBeLessThanOrEqual(4);
  }
});
