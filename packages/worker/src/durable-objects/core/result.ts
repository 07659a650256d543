/** What is wrong with a request, after RFC 9457. */
export interface Problem {
  readonly status: number;
  /** Stable; clients tell problems apart by it. */
  readonly type: string;
  readonly title: string;
  /** For people. Never quotes content or secrets. */
  readonly detail: string;
}

/** What a call across a boundary comes to: failures that are expected are values, not exceptions. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: Problem };

export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

const PROBLEMS = {
  "session-not-found": [404, "No such session"],
  "session-exists": [409, "The session exists already"],
  "session-ended": [409, "The session is terminated"],
  "session-busy": [409, "The session is busy"],
  "transition-refused": [409, "The session's state does not allow this"],
  "message-not-found": [404, "No such message"],
  "workflow-not-found": [404, "No such workflow"],
  "workflow-not-queued": [409, "The workflow is not queued any more"],
  "workflow-too-large": [413, "The workflow is too large"],
  "id-taken": [409, "The id is that of something else"],
  "message-not-queued": [409, "The message is not queued any more"],
  "message-too-large": [413, "The message is too large"],
  "model-not-known": [422, "The session does not know the model"],
  "queue-full": [429, "The queue is full"],
  "child-session-refused": [409, "No child session can be made"],
  "request-not-found": [404, "No such request of the agent"],
  "runner-disconnected": [409, "The runner is not connected"],
  "trace-not-found": [404, "No such trace"],
  "invalid-cursor": [400, "The cursor is not one of ours"],
} as const satisfies Record<string, readonly [number, string]>;
export type ProblemName = keyof typeof PROBLEMS;

export function refuse(name: ProblemName, detail: string): { readonly ok: false; readonly problem: Problem } {
  const [status, title] = PROBLEMS[name];
  return { ok: false, problem: { status, type: `urn:valet:problem:${name}`, title, detail } };
}
