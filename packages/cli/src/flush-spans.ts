/** The last that a system does before it stops: what its sessions have not sent yet goes to the backend, if that takes it in time. */
import { RESEND_WAIT_MS, type ResentSpans } from "@valet/shared/protocol/session-api";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { type EnvironmentRecord, readTracingConfig } from "@valet/shared/tracing";
import { ApiClient } from "./api-client.ts";
import { report } from "./context.ts";
import type { Connection } from "./system/state.ts";

/** What has not arrived when it was over. */
export interface LeftSpans {
  readonly sessions: number;
  readonly waitingSpans: number;
  /** Of the session whose spans wait in the greatest number: why. */
  readonly reason?: string | undefined;
  readonly hint?: string | undefined;
  /** Sessions that did not answer in time, which may have sent all or nothing. */
  readonly unanswered: number;
}

/** How long a system that is to stop waits for the backend: sessions that wait for it in vain have said so by then. */
const FLUSH_MS = RESEND_WAIT_MS + 2000;
/** A session of which nothing has been heard for longer has sent what it had, or says that it has not. */
const RECENT_MS = 60 * 60_000;
/** Asked side by side. */
const CONCURRENCY = 8;

/** Reports what sessions said before the last stop of spans that wait: what kept them may have been mended. Never rejects. */
export async function reportWaiting(system: Connection, env: EnvironmentRecord): Promise<void> {
  if (readTracingConfig(env).endpoint === undefined) return;
  const health = await new ApiClient(system).health().catch(() => undefined);
  const { sessions = 0, waitingSpans = 0 } = health?.export ?? {};
  if (sessions === 0) return;
  const what = `${counted(waitingSpans, "span")} of ${counted(sessions, "session")}`;
  report(`${what} did not reach the backend before; \`pnpm valet resend --all\` sends them now.`);
}

/**
 * Flushes a system that exports spans, and reports what is left. Never rejects.
 * @param isKept whether the state outlives the system
 */
export async function flushBeforeStop(system: Connection, env: EnvironmentRecord, isKept = true): Promise<void> {
  if (readTracingConfig(env).endpoint === undefined) return;
  for (const line of leftLines(await flushSpans(new ApiClient(system), FLUSH_MS), isKept)) report(line);
}

/** Asks every session that may have spans left to send them, and waits for that no longer than `timeoutMs`. Never rejects. */
export async function flushSpans(api: Pick<ApiClient, "sessions" | "resend">, timeoutMs: number): Promise<LeftSpans> {
  const answers = new Map<string, ResentSpans>();
  let asked: string[] = [];
  let isOver = false;
  const ask = async () => {
    const sessions = await api.sessions();
    asked = sessions.filter(mayHaveSpans).map(({ id }) => id);
    const queue = asked.values();
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
    ...{ reason: most?.reason, hint: most?.hint, unanswered: asked.length - answers.size },
  };
}

const KEPT = "What waits is kept, and sent when Valet runs again; `valet resend --all` sends what has been given up.";
const LOST = "What waits is lost with the state, which was for this run alone: name one with --state to keep it.";

/** What to tell whoever stops the system; nothing where all has arrived. */
export function leftLines({ sessions, waitingSpans, reason, hint, unanswered }: LeftSpans, isKept: boolean): string[] {
  const lines: string[] = [];
  if (waitingSpans > 0) {
    const why = reason === undefined ? "" : `: ${reason}${hint === undefined ? "" : ` (${hint})`}`;
    lines.push(`${counted(waitingSpans, "span")} of ${counted(sessions, "session")} did not reach the backend${why}.`);
  }
  if (unanswered > 0) {
    lines.push(`${counted(unanswered, "session")} did not say in time whether all spans have reached the backend.`);
  }
  if (lines.length > 0) lines.push(isKept ? KEPT : LOST);
  return lines;
}

function mayHaveSpans({ status, updatedAt, exportProblem }: SessionView): boolean {
  const isAtRest = status === "hibernated" || status === "terminated" || status === "error";
  return exportProblem !== undefined || !isAtRest || Date.now() - Date.parse(updatedAt) < RECENT_MS;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
