/** A backend that takes nothing, beside the whole system as a process: what the user is told, what is kept, and that it arrives. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { ApiClient } from "../packages/cli/src/api-client.ts";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";

const CLI = resolve(import.meta.dirname, "../packages/cli/src/bin.ts");

let state: string;
let receiver: TraceReceiver;
const children: ChildProcess[] = [];

beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), "valet-export-"));
  receiver = await startOtlpReceiver(({ headers }) => ({ status: headers.authorization === "right" ? 200 : 401 }));
});

afterAll(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await receiver.close();
  rmSync(state, { recursive: true, force: true });
});

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly token: string;
  /** What it has written to standard error. */
  readonly errors: () => string;
}

function valet(key: string, ...args: string[]): { child: ChildProcess; output: { stdout: string; stderr: string } } {
  const env = {
    ...process.env,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=${key}`,
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
  };
  const child = spawn(process.execPath, [CLI, "--state", state, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => (output.stdout += chunk));
  child.stderr.on("data", (chunk) => (output.stderr += chunk));
  return { child, output };
}

async function up(key: string): Promise<Running> {
  const { child, output } = valet(key, "up", "--json");
  await vi.waitFor(
    () => {
      if (child.exitCode !== null) throw new Error(output.stderr);
      expect(output.stdout).toContain("\n");
    },
    { timeout: 60_000, interval: 50 },
  );
  return { child, errors: () => output.stderr, ...JSON.parse(output.stdout) };
}

async function run(key: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { child, output } = valet(key, ...args);
  const [code] = await once(child, "close");
  return { code, ...output };
}

async function stop({ child }: Running): Promise<void> {
  child.kill("SIGTERM");
  await once(child, "close");
}

test("a wrong key is named, loses nothing, and all arrives once it is right", async () => {
  const wrong = await up("wrong");
  const api = new ApiClient(wrong);
  const { id } = await api.createSession({});
  await vi.waitFor(() => expect(wrong.errors()).toContain('"type":"export_failed"'), { timeout: 30_000, interval: 50 });
  const line =
    wrong
      .errors()
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
    stdout: expect.stringMatching(new RegExp(`^${id}  \\d+ spans? waits?: HTTP 401 \\(`)),
  });

  await stop(wrong);
  expect(wrong.errors()).toMatch(/\d+ spans of 1 session did not reach the backend: HTTP 401/);
  expect(wrong.errors()).toContain("valet resend --all");
  expect(receiver.taken).toEqual([]);

  const right = await up("right");
  const sent = await run("right", "resend", id, "--json");
  expect(sent).toMatchObject({ code: 0 });
  expect(JSON.parse(sent.stdout)).toEqual({ sessions: [{ sessionId: id, exported: true, waitingSpans: 0 }] });
  const names = receiver.spans().map(({ name }) => name);
  expect(names).toContain("POST /api/sessions");

  // Nothing was lost: whatever the session has of ended spans, the backend has.
  const rightApi = new ApiClient(right);
  await rightApi.change(id, "terminate");
  await stop(right);
  expect(right.errors()).not.toContain("did not reach");
  const last = await up("right");
  const traces = await new ApiClient(last).traces(id);
  const spans = await Promise.all(
    traces.map(async ({ traceId }) => readSpans(await new ApiClient(last).trace(id, traceId))),
  );
  const ended = spans.flat().filter(({ endMs }) => endMs !== undefined);
  expect(ended.length).toBeGreaterThan(3);
  await run("right", "resend", id);
  const taken = receiver.spansById();
  expect(ended.filter(({ spanId }) => !taken.has(spanId)).map(({ name }) => name)).toEqual([]);
  expect(JSON.stringify([...taken.values()].map(({ name }) => name))).not.toContain("resend");
  await stop(last);
  expect(new Set(receiver.deliveries.map(({ headers }) => headers.authorization))).toEqual(new Set(["wrong", "right"]));
}, 180_000);

test("up that is stopped beside a backend that never answers is over in time, and says what waits", async () => {
  receiver.hold();
  const running = await up("right");
  await new ApiClient(running).createSession({});
  await receiver.held();
  await stop(running);
  expect(running.child.exitCode).toBe(0);
  expect(running.errors()).toMatch(/did not reach the backend: waiting|did not say in time/);
  receiver.release();
}, 120_000);

test("resend --all finds nothing where all arrives, and bad arguments are told", async () => {
  const running = await up("right");
  expect(await run("right", "resend", "--all")).toMatchObject({
    code: 0,
    stdout: "No session has spans that do not arrive.\n",
  });
  expect(await run("right", "resend")).toMatchObject({ code: 2, stderr: expect.stringContaining("--all") });
  expect(await run("right", "resend", "ses_x", "--all")).toMatchObject({ code: 2 });
  expect(await run("right", "resend", "ses_00000000000000000000000000")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("valet sessions"),
  });
  await stop(running);
}, 120_000);
