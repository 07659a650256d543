/** Helpers for tests of a session's family: the parent's runner sends the requests of its agent's tools. */
import { runInDurableObject } from "cloudflare:test";
import type { ChildSessionAnswer, ChildSessionRequest } from "@valet/shared/protocol/child-sessions";
import type { CreateSession } from "@valet/shared/protocol/session-api";
import { expect } from "vitest";
import { eventually } from "./eventually.ts";
import type { FakeRunner } from "./fake-runner.ts";
import { boot } from "./sandbox.ts";
import { TestSession } from "./session.ts";

/** The span of a tool call. It belongs to the test, and to no trace of the session unless the test passes one. */
export const TOOL_CALL = { traceId: "c".repeat(32), spanId: "b".repeat(16) };

let requests = 0;

/** Returns the frame of a request by the parent's agent; it can be sent again. */
export function requestOf(request: ChildSessionRequest, attemptId?: string, traceId = TOOL_CALL.traceId) {
  return {
    type: "child-session-request" as const,
    requestId: `req_${++requests}`,
    request,
    traceparent: `00-${traceId}-${TOOL_CALL.spanId}-03`,
    ...(attemptId !== undefined && { attemptId }),
  };
}

/** Sends a request in the trace in which the runner was started, and waits for the answer. */
export async function ask(
  runner: FakeRunner,
  request: ChildSessionRequest,
  attemptId?: string,
): Promise<ChildSessionAnswer> {
  const frame = requestOf(request, attemptId, startTraceOf(runner));
  runner.send(frame);
  const { requestId, answer } = await runner.next("child-session-response");
  expect(requestId).toBe(frame.requestId);
  return answer;
}

function startTraceOf(runner: FakeRunner): string | undefined {
  const traceparents = runner.heard.flatMap((frame) => (frame.type === "repo-config" ? [frame.traceparent] : []));
  return traceparents[0]?.split("-")[1];
}

/** Returns the id of the one session in an answer. */
export function sessionIn(answer: ChildSessionAnswer): string {
  if (!answer.ok) throw new Error(answer.error);
  const [session, ...others] = answer.sessions;
  if (session === undefined || others.length > 0) throw new Error(`${answer.sessions.length} sessions`);
  return session.id;
}

export interface Family {
  readonly parent: TestSession;
  readonly runner: FakeRunner;
  readonly child: TestSession;
}

/** Creates a running session and a child that its agent has spawned; the child's sandbox is starting. */
export async function spawned(input: CreateSession = {}): Promise<Family> {
  const { session: parent, runner } = await TestSession.running(input);
  const child = TestSession.of(sessionIn(await ask(runner, { action: "spawn", prompt: "count", title: "Counting" })));
  return { parent, runner, child };
}

/** Boots the child's runner, which accepts the first message. */
export async function working(child: TestSession): Promise<{ runner: FakeRunner; attemptId: string }> {
  const runner = await boot(child);
  const { attemptId } = await runner.accept();
  return { runner, attemptId };
}

/** Returns the stored children of a session with their states. */
export function childrenOf(session: TestSession): Promise<Record<string, string>> {
  return runInDurableObject(session.stub, (_object, { storage }) => {
    const rows = storage.sql.exec("SELECT id, state FROM children").toArray();
    return Object.fromEntries(rows.map(({ id, state }) => [id as string, state as string]));
  });
}

/** Waits for a system message of a session that contains a text. */
export async function systemMessage(session: TestSession, part: string) {
  return eventually(async () => {
    const result = await session.stub.messages();
    const found = result.ok ? result.value.messages.filter(({ content }) => content.includes(part)) : [];
    expect(found).toHaveLength(1);
    const [message] = found as [(typeof found)[number]];
    expect(message.source).toBe("system");
    return message;
  });
}
