/**
 * The whole system as a process with a backend that refuses everything: what the user sees, what is kept, and that it
 * arrives later.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";
import { type CommandResult, endUp, hasEnded, runCli, startUp, type UpProcess } from "./valet-up.ts";

let state: string;
let receiver: TraceReceiver;
const children: ChildProcess[] = [];

beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), "valet-export-"));
  receiver = await startOtlpReceiver(({ headers }) => ({ status: headers.authorization === "right" ? 200 : 401 }));
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

function up(key: string): Promise<UpProcess> {
  return startUp(state, { env: variables(key), onSpawn: (child) => children.push(child) });
}

function run(key: string, ...args: string[]): Promise<CommandResult> {
  return runCli(["--state", state, ...args], { env: variables(key), onSpawn: (child) => children.push(child) });
}

test("a wrong key is reported, loses nothing, and everything arrives once it is right", async () => {
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
  expect(ended.filter(({ spanId }) => !taken.has(spanId)).map(({ name }) => name)).toEqual([]);
  expect(JSON.stringify([...taken.values()].map(({ name }) => name))).not.toContain("resend");
  await endUp(last);
  expect(new Set(receiver.deliveries.map(({ headers }) => headers.authorization))).toEqual(new Set(["wrong", "right"]));
}, 180_000);

test("up stops in time with a backend that never answers, and reports the waiting spans", async () => {
  receiver.hold();
  const running = await up("right");
  await running.api.createSession({});
  await receiver.held();
  await endUp(running);
  expect(running.child.exitCode).toBe(0);
  expect(running.log()).toMatch(/did not reach the backend: waiting|did not say in time/);
  receiver.release();
}, 120_000);

test("resend --all finds nothing when everything arrives, and bad arguments are reported", async () => {
  const running = await up("right");
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
  await endUp(running);
}, 120_000);
