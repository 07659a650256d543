import { MAX_LINK_FRAME_BYTES, type ToRunner } from "@valet/shared/protocol/runner-link";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  dispatch,
  framesOf,
  type LinkServerOptions,
  startLinkServer,
  workflowDispatch,
} from "../../test/link-server.ts";
import { Link, type LinkHandlers, type LinkOptions } from "./link.ts";

function setUp(serverOptions: LinkServerOptions = {}, options: Partial<LinkOptions> = {}) {
  const server = startLinkServer(serverOptions);
  const handled: ToRunner[] = [];
  const problems: string[] = [];
  const refusals: string[] = [];
  const ups: number[] = [];
  const record = (message: ToRunner) => handled.push(message);
  const types = ["config", "repo-config", "prompt", "abort", "permission-reply"] as const;
  const more = ["spans-ack", "turn-ended-ack", "shutdown", "error", "refused"] as const;
  const link = new Link({
    url: server.url,
    token: "secret-token",
    generation: 7,
    instanceId: "instance-1",
    handlers: Object.fromEntries([...types, ...more].map((type) => [type, record])) as unknown as LinkHandlers,
    hello: () => ({
      type: "hello",
      protocol: 1,
      instanceId: "instance-1",
      generation: 7,
      clockMs: 1,
      attempts: [],
      ready: false,
      version: "0",
    }),
    onUp: () => ups.push(link.attemptCount),
    onDown: () => {},
    onRefused: (reason) => refusals.push(reason),
    onProblem: (problem) => problems.push(problem),
    firstDelayMs: 5,
    maxDelayMs: 20,
    ...options,
  });
  onTestFinished(() => link.close());
  link.start();
  return { server, link, handled, problems, refusals, ups };
}

const stage = { type: "stage", stage: "ready" } as const;

test("a connection identifies the runner, begins with hello, and then transports frames both ways", async () => {
  const { server, link, handled, ups } = setUp();
  await server.frame("hello");
  const [connection] = server.connections;
  expect(connection?.headers.get("authorization")).toBe("Bearer secret-token");
  expect(connection?.headers.get("x-valet-generation")).toBe("7");
  expect(connection?.headers.get("x-valet-instance")).toBe("instance-1");
  expect(link.send(stage)).toBe(true);
  await server.frame("stage");
  server.send({ type: "spans-ack", instanceId: "a", seq: 1 });
  await vi.waitFor(() => expect(handled).toEqual([{ type: "spans-ack", instanceId: "a", seq: 1 }]), 20_000);
  expect(server.received.map(({ type }) => type)).toEqual(["hello", "stage"]);
  expect(ups).toEqual([1]);
});

describe("a link that breaks", () => {
  test("is re-established with hello first, and sends nothing in the meantime", async () => {
    const takenMeanwhile: boolean[] = [];
    const { server, link } = setUp({}, { onDown: () => takenMeanwhile.push(link.send(stage)) });
    await server.hello(0);
    server.drop();
    await server.hello(1);
    expect(takenMeanwhile).toEqual([false]);
    expect(link.send(stage)).toBe(true);
    await server.frame("stage");
    expect(server.connections[1]?.frames.map(({ type }) => type)).toEqual(["hello", "stage"]);
  });

  test("is retried with growing delays until the peer sends a frame", async () => {
    const delays: number[] = [];
    const timer = vi.spyOn(globalThis, "setTimeout");
    onTestFinished(() => timer.mockRestore());
    const { server } = setUp({ status: 503 }, { random: () => 1, connectTimeoutMs: 9999 });
    await server.waitUntil(() => (server.connections.length >= 5 ? true : undefined));
    for (const [, ms] of timer.mock.calls) if (ms !== undefined && ms <= 20 && ms >= 5) delays.push(ms);
    expect(delays.slice(0, 4)).toEqual([5, 10, 20, 20]);
  });

  test("is detected by missing pongs", async () => {
    const { server, problems } = setUp({ answersPings: false }, { heartbeatMs: 10 });
    await server.hello(1);
    expect(problems).toContain("the SessionAgent does not answer pings");
    expect(server.connections[0]?.pings).toBe(2);
  });

  test("is not assumed while the peer answers pings", async () => {
    const { server } = setUp({}, { heartbeatMs: 5 });
    await server.waitUntil(() => ((server.connections[0]?.pings ?? 0) >= 6 ? true : undefined));
    expect(server.connections.length).toBe(1);
  });
});

describe("unusable frames", () => {
  test("are ignored, and the link stays up", async () => {
    const { server, handled, problems } = setUp();
    await server.hello(0);
    const hostile: (string | Uint8Array)[] = [
      "",
      "null",
      "[]",
      "{",
      '{"type":"a newer one","x":1}',
      '{"type":"abort","attemptId":5,"reason":"user_abort"}',
      '{"type":"__proto__"}',
      '{"type":"spans-ack","instanceId":"a","seq":1e999}',
      new Uint8Array([0, 255]),
      JSON.stringify({ type: "shutdown", reason: "x".repeat(MAX_LINK_FRAME_BYTES) }),
      "[".repeat(100_000),
    ];
    for (const data of hostile) server.sendRaw(data);
    server.send({ type: "shutdown", reason: "hibernate" });
    await vi.waitFor(() => expect(handled).toEqual([{ type: "shutdown", reason: "hibernate" }]), 20_000);
    expect(problems.length).toBe(hostile.length);
    expect(server.connections.length).toBe(1);
  });

  test("that dispatch an attempt are refused", async () => {
    const { server } = setUp();
    await server.hello(0);
    const broken = { ...dispatch("att_1"), messageIds: [] };
    server.sendRaw(JSON.stringify({ type: "prompt", dispatch: broken }));
    expect(await server.frame("attempt-refused")).toEqual({
      type: "attempt-refused",
      attemptId: "att_1",
      errorType: "_OTHER",
    });
    // A newer SessionAgent may know steps that this runner does not.
    const newer = { ...workflowDispatch("att_2"), steps: [{ name: "x", fetch: "https://example.invalid" }] };
    server.sendRaw(JSON.stringify({ type: "workflow-execute", dispatch: newer }));
    expect(await server.frame("attempt-refused", ({ attemptId }) => attemptId === "att_2")).toMatchObject({
      errorType: "workflow_invalid",
    });
  });

  test("nor do those whose handler throws end it", async () => {
    const failing = () => {
      throw new TypeError("secret");
    };
    const handled: string[] = [];
    const handlers = { shutdown: failing, error: () => handled.push("error") } as unknown as LinkHandlers;
    const { server, problems } = setUp({}, { handlers });
    await server.hello(0);
    server.send({ type: "shutdown", reason: "x" });
    server.send({ type: "error", error: "x" });
    await vi.waitFor(() => expect(handled).toEqual(["error"]), 20_000);
    expect(problems).toEqual(["handling shutdown failed: TypeError"]);
  });
});

describe("a refused connection is not retried", () => {
  test.each([
    [4401, "token_refused"],
    [4409, "stale_generation"],
    [4410, "superseded"],
    [4412, "protocol_unsupported"],
  ])("by close code %i", async (code, reason) => {
    const { server, refusals } = setUp();
    await server.hello(0);
    server.close(code);
    await vi.waitFor(() => expect(refusals).toEqual([reason]), 20_000);
    expect(server.connections.length).toBe(1);
  });

  test.each([401, 403])("by status %i", async (status) => {
    const { refusals } = setUp({ status });
    await vi.waitFor(() => expect(refusals[0]).toBe("token_refused"), 20_000);
  });
});

test("a frame that is too long is shortened; one that cannot be shortened is dropped and reported", async () => {
  const { server, link, problems } = setUp();
  await server.hello(0);
  const text = "x".repeat(MAX_LINK_FRAME_BYTES);
  link.send({ type: "part", attemptId: "att_1", part: { type: "text", id: "p1", text } });
  const { part } = await server.frame("part");
  expect(part).toMatchObject({ text: expect.stringMatching(/^x{60000,}…$/) });
  expect(link.send({ type: "spans", instanceId: "a", seq: 1, otlp: text })).toBe(true);
  expect(problems).toEqual(["a frame of type spans is too long for the link"]);
  expect(framesOf(server.received, "spans")).toEqual([]);
});

test("a closed link stays closed", async () => {
  const { server, link } = setUp();
  await server.hello(0);
  link.close();
  await server.waitUntil(() => (server.isUp() ? undefined : true));
  link.start();
  expect(link.isUp).toBe(false);
});
