/**
 * The whole system as a process with a backend that refuses everything: what the user sees, what is kept, and that it
 * arrives later.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { waitFor, waitForStatus } from "../packages/cli/src/wait.ts";
import type { Answer } from "../packages/shared/test/otlp-receiver.ts";
import { certified } from "./certified.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";
import { type CommandResult, endUp, hasEnded, runCli, startUp, type UpProcess } from "./valet-up.ts";

let state: string;
let receiver: TraceReceiver;
/** What the backend answers in place of taking spans. */
let fault: Answer | undefined;
const children: ChildProcess[] = [];

beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), "valet-export-"));
  receiver = await startOtlpReceiver(({ headers }) =>
    headers.authorization === "right" ? (fault ?? { status: 200 }) : { status: 401 },
  );
});

afterAll(async () => {
  for (const child of children) if (!hasEnded(child)) child.kill("SIGKILL");
  await receiver.close();
  rmSync(state, { recursive: true, force: true });
});

function variables(key: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=${key}`,
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
  };
}

function up(key: string, more: NodeJS.ProcessEnv = {}): Promise<UpProcess> {
  return startUp(state, { env: { ...variables(key), ...more }, onSpawn: (child) => children.push(child) });
}

function run(key: string, ...args: string[]): Promise<CommandResult> {
  return runCli(["--state", state, ...args], { env: variables(key), onSpawn: (child) => children.push(child) });
}

test("a wrong key is reported, loses nothing, and everything arrives once it is right; up stops in time with a backend that never answers, and reports the waiting spans", async () => {
  const wrong = await up("wrong");
  const { id } = await wrong.api.createSession({});
  await vi.waitFor(() => expect(wrong.log()).toContain('"type":"export_failed"'), { timeout: 30_000, interval: 50 });
  const line =
    wrong
      .log()
      .split("\n")
      .find((each) => each.includes("export_failed")) ?? "";
  const { host } = new URL(receiver.url);
  expect(JSON.parse(line.slice(line.indexOf("{")))).toMatchObject({
    host,
    session: id,
    status: 401,
    hint: expect.any(String),
  });

  const doctor = await run("wrong", "doctor", "--json");
  expect(doctor.code).toBe(1);
  expect(JSON.parse(doctor.stdout).findings).toContainEqual(
    expect.objectContaining({
      name: "backend",
      state: "missing",
      detail: expect.stringMatching(/HTTP 401; spans would be held/),
    }),
  );

  const again = await run("wrong", "resend", id);
  expect(again).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(new RegExp(`^${id}  \\d+ spans? waiting: HTTP 401 \\(`)),
  });

  await endUp(wrong);
  expect(wrong.log()).toMatch(/\d+ spans of 1 session did not reach the backend: HTTP 401/);
  expect(wrong.log()).toContain("valet resend --all");
  expect(receiver.taken).toEqual([]);

  const right = await up("right");
  const sent = await run("right", "resend", id, "--json");
  expect(sent).toMatchObject({ code: 0 });
  expect(JSON.parse(sent.stdout)).toEqual({ sessions: [{ sessionId: id, exported: true, waitingSpans: 0 }] });
  const names = receiver.spans().map(({ name }) => name);
  expect(names).toContain("POST /api/sessions");

  // Nothing was lost: the backend has every ended span of the session.
  await right.api.change(id, "terminate");
  await endUp(right);
  expect(right.log()).not.toContain("did not reach");
  const last = await up("right");
  const traces = await last.api.traces(id);
  const spans = await Promise.all(traces.map(async ({ traceId }) => readSpans(await last.api.trace(id, traceId))));
  const ended = spans.flat().filter(({ endMs }) => endMs !== undefined);
  expect(ended.length).toBeGreaterThan(3);
  await run("right", "resend", id);
  const taken = receiver.spansById();
  expect(await certified(last.api, id, receiver)).toMatchObject({ ok: true });
  expect(ended.filter(({ spanId }) => !taken.has(spanId)).map(({ name }) => name)).toEqual([]);
  expect(JSON.stringify([...taken.values()].map(({ name }) => name))).not.toContain("resend");
  expect(new Set(receiver.deliveries.map(({ headers }) => headers.authorization))).toEqual(new Set(["wrong", "right"]));

  // It stops in time with a backend that never answers.
  receiver.hold();
  await last.api.change(id, "abort");
  await receiver.held();
  expect(await endUp(last)).toBe(0);
  expect(last.log()).toMatch(/did not reach the backend: waiting|did not report in time/);
  receiver.release();
}, 300_000);

const PAGE = { status: 200, headers: { "content-type": "text/html" }, body: "<html>sign in</html>", isTaken: false };
/** Rejects all spans of a request: a hundred are more than it holds. The second is in protobuf. */
const REJECTING: readonly Answer[] = [
  {
    status: 200,
    headers: { "content-type": "application/json" },
    body: '{"partialSuccess":{"rejectedSpans":"100"}}',
    isTaken: false,
  },
  {
    status: 200,
    headers: { "content-type": "application/x-protobuf" },
    body: Uint8Array.of(0x0a, 2, 0x08, 100),
    isTaken: false,
  },
];

describe("with a backend that answers within a second, or not at all,", () => {
  let running: UpProcess;
  beforeAll(async () => {
    running = await up("right", { OTEL_EXPORTER_OTLP_TIMEOUT: "1000" });
  }, 60_000);
  afterAll(() => endUp(running), 60_000);

  test("resend --all finds nothing when everything arrives, and bad arguments are reported", async () => {
    expect(await run("right", "resend", "--all")).toMatchObject({
      code: 0,
      stdout: "No session has undelivered spans.\n",
    });
    expect(await run("right", "resend")).toMatchObject({ code: 2, stderr: expect.stringContaining("--all") });
    expect(await run("right", "resend", "ses_x", "--all")).toMatchObject({ code: 2 });
    expect(await run("right", "resend", "ses_00000000000000000000000000")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("valet sessions"),
    });
  }, 120_000);

  test("the certificate says what became of each span, whatever the backend answers, and agrees with what it has", async () => {
    const { api } = running;
    const { id } = await api.createSession({});
    // Its requests have traces all the same, and nothing else happens in it.
    await api.change(id, "terminate");
    await waitForStatus(api, id, ["terminated"], 60_000);
    /** Makes a request, which has a trace of its own. */
    const ask = async () => {
      const before = new Set((await api.traces(id)).map(({ traceId }) => traceId));
      await api.change(id, "abort");
      const isNew = ({ traceId, name }: { traceId: string; name?: string | undefined }) =>
        !before.has(traceId) && name?.endsWith("/abort");
      const find = async () => (await api.traces(id)).find(isNew);
      const found = await waitFor("the request's trace", find, (trace) => trace !== undefined, 30_000);
      return found?.traceId as string;
    };
    const until = (traceId: string, expected: object) =>
      vi.waitFor(async () => expect(await api.certifyTrace(id, traceId)).toMatchObject(expected), {
        timeout: 30_000,
        interval: 50,
      });
    const heal = async () => {
      fault = undefined;
      receiver.release();
      await api.resend(id);
    };
    const waits: [Answer | "hang", string][] = [
      [{ status: 429, headers: { "retry-after": "1" } }, "HTTP 429"],
      [{ status: 503 }, "HTTP 503"],
      [PAGE, "web page"],
      ["hang", "timeout"],
    ];
    for (const [answer, reason] of waits) {
      if (answer === "hang") receiver.hold();
      else fault = answer;
      const traceId = await ask();
      await until(traceId, { state: "pending", open: 0, export: { waiting: 1, reason } });
      await heal();
      await until(traceId, { state: "complete", export: { waiting: 0, acknowledged: 1 } });
    }
    const losses: [Answer, string][] = [
      [{ status: 400 }, "not_retryable"],
      ...REJECTING.map((answer): [Answer, string] => [answer, "rejected"]),
    ];
    const lost: string[] = [];
    for (const [answer, reason] of losses) {
      fault = answer;
      const traceId = await ask();
      await until(traceId, { state: "incomplete", dropped: [{ reason, spans: 1 }], missing: [expect.any(String)] });
      lost.push(...(await api.certifyTrace(id, traceId)).missing);
    }
    await heal();
    await certified(api, id, receiver);
    expect(lost.filter((spanId) => receiver.spansById().has(spanId))).toEqual([]);
    const { code, stdout } = await run("right", "verify", id, "--wait", "1s");
    expect(code).toBe(1);
    for (const spanId of lost) expect(stdout).toContain(`lost: ${spanId}`);
  }, 120_000);
});
