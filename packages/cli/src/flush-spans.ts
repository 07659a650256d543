/**
 * Flushes the sessions' spans before a system stops: the sessions send what is waiting, if the backend accepts it in
 * time.
 */
import { RESEND_WAIT_MS, type ResentSpans } from "@valet/shared/protocol/session-api";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { type EnvironmentRecord, readTracingConfig } from "@valet/shared/tracing";
import { ApiClient } from "./api-client.ts";
import { report } from "./context.ts";
import { counted } from "./counted.ts";
import type { Connection } from "./system/state.ts";

/** Spans that had not reached the backend when the flush ended. */
export interface LeftSpans {
  readonly sessions: number;
  readonly waitingSpans: number;
  /** The export problem of the session with the most waiting spans. */
  readonly reason?: string | undefined;
  readonly hint?: string | undefined;
  /** Sessions that did not answer in time; their spans may or may not have arrived. */
  readonly unanswered: number;
}

/**
 * How long a stopping system waits for its sessions. A session that waits for the backend in vain answers within
 * `RESEND_WAIT_MS`.
 */
const FLUSH_MS = RESEND_WAIT_MS + 2000;
/** A session without activity for longer has sent its spans, or reports an export problem. */
const RECENT_MS = 60 * 60_000;
/** How many sessions are flushed concurrently. */
const CONCURRENCY = 8;

/** Reports the spans that were waiting when the system last stopped; the cause may be fixed by now. Never rejects. */
export async function reportWaiting(system: Connection, env: EnvironmentRecord): Promise<void> {
  if (readTracingConfig(env).endpoint === undefined) return;
  const health = await new ApiClient(system).health().catch(() => undefined);
  const { sessions = 0, waitingSpans = 0 } = health?.export ?? {};
  if (sessions === 0) return;
  const what = `${counted(waitingSpans, "span")} of ${counted(sessions, "session")}`;
  report(`${what} have not reached the backend yet; \`pnpm valet resend --all\` sends them now.`);
}

/**
 * Flushes a system that exports spans, and reports the spans that remain. Never rejects.
 * @param isKept whether the state directory outlives the system
 */
export async function flushBeforeStop(system: Connection, env: EnvironmentRecord, isKept = true): Promise<void> {
  if (readTracingConfig(env).endpoint === undefined) return;
  for (const line of leftLines(await flushSpans(new ApiClient(system), FLUSH_MS), isKept)) report(line);
}

/** Has every session that may have waiting spans send them, and waits at most `timeoutMs`. Never rejects. */
export async function flushSpans(api: Pick<ApiClient, "sessions" | "resend">, timeoutMs: number): Promise<LeftSpans> {
  const answers = new Map<string, ResentSpans>();
  let flushed: string[] = [];
  let isOver = false;
  const ask = async () => {
    const sessions = await api.sessions();
    flushed = sessions.filter(mayHaveSpans).map(({ id }) => id);
    const queue = flushed.values();
    const work = async () => {
      for (const id of queue) {
        if (isOver) return;
        const resent = await api.resend(id).catch(() => undefined);
        if (resent !== undefined) answers.set(id, resent);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
  };
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  await Promise.race([ask().catch(() => {}), late]);
  isOver = true;
  clearTimeout(timer);
  const left = [...answers.values()].filter(({ waitingSpans }) => waitingSpans > 0);
  const [most] = left.toSorted((a, b) => b.waitingSpans - a.waitingSpans);
  return {
    sessions: left.length,
    waitingSpans: left.reduce((sum, { waitingSpans }) => sum + waitingSpans, 0),
    reason: most?.reason,
    hint: most?.hint,
    unanswered: flushed.length - answers.size,
  };
}

const KEPT =
  "They are kept and sent when Valet runs again; `valet resend --all` also sends those that are no longer retried.";
const LOST = "They are lost with this run's temporary state directory; name one with --state to keep it.";

/** Returns what to report to whoever stops the system; empty when all spans have arrived. */
export function leftLines({ sessions, waitingSpans, reason, hint, unanswered }: LeftSpans, isKept: boolean): string[] {
  const lines: string[] = [];
  if (waitingSpans > 0) {
    const why = reason === undefined ? "" : `: ${reason}${hint === undefined ? "" : ` (${hint})`}`;
    lines.push(`${counted(waitingSpans, "span")} of ${counted(sessions, "session")} did not reach the backend${why}.`);
  }
  if (unanswered > 0) {
    lines.push(
      `${counted(unanswered, "session")} did not report in time whether their spans have reached the backend.`,
    );
  }
  if (lines.length > 0) lines.push(isKept ? KEPT : LOST);
  return lines;
}

function mayHaveSpans({ status, updatedAt, exportProblem }: SessionView): boolean {
  const isAtRest = status === "hibernated" || status === "terminated" || status === "error";
  return exportProblem !== undefined || !isAtRest || Date.now() - Date.parse(updatedAt) < RECENT_MS;
}
