/**
 * The Worker as it is deployed, with one more door: it stores sessions as if they had lived, by the same code that stores real ones. No
 * runner of Valet sends a trace with cycles, and a conversation of thousands of messages would take days.
 */
import type { Env } from "../../packages/worker/src/bindings.ts";
import { composeSession, type SessionParts } from "../../packages/worker/src/durable-objects/compose.ts";
import { NO_LINK } from "../../packages/worker/src/durable-objects/core/session-state.ts";
import worker, { SessionAgent as PlainSessionAgent } from "../../packages/worker/src/index.ts";
import { addLargeTrace } from "../../packages/worker/test/large-trace.ts";
import { type MessageSeed, SEED_PATH, type Seed, type SessionSeed, type WorkflowSeed } from "./seeds.ts";

export { Capacity } from "../../packages/worker/src/index.ts";

/** The most statements of a batch. */
const STATEMENTS = 100;
const IDLE_MS = 3_600_000;
const RUNNER = "run_seeded";

type JobStore = SessionParts["queue"]["jobs"];
type JobSeed = Pick<MessageSeed, "id" | "atMs" | "lastedMs" | "channel" | "outcome"> &
  Pick<Parameters<JobStore["addJob"]>[0], "kind" | "sizeBytes"> & { readonly errorType?: "workflow_step_failed" };

export class SessionAgent extends PlainSessionAgent {
  readonly #seeded: SessionParts;
  readonly #tables: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    const parts = composeSession(ctx, env);
    super(ctx, env, parts);
    this.#seeded = parts;
    this.#tables = ctx.storage.sql;
  }

  async seed(seed: SessionSeed): Promise<void> {
    const { transactions, state, traces, boundary } = this.#seeded;
    const { id, ownerId, messages, workflows = [], frames, trace, ...settings } = seed;
    transactions.run(() => {
      state.create({
        ...settings,
        id,
        ownerId,
        userId: ownerId,
        models: [],
        queueMode: "followup",
        idleTimeoutMs: IDLE_MS,
        state: "hibernated",
        generation: 1,
        link: NO_LINK,
        recovery: { attempts: 0, readyMs: 0 },
      });
      for (const [index, message] of messages.entries()) this.#addMessage(message, index + 1);
      for (const [index, workflow] of workflows.entries()) this.#addWorkflow(workflow, messages.length + index + 1);
      // One after the other: a frame's open spans may be in a trace that an earlier one began.
      for (const [index, { otlp, open }] of frames.entries()) {
        traces.acceptFrames([{ instanceId: RUNNER, seq: index + 1, otlp, open: [...open] }]);
      }
      if (trace !== undefined) addLargeTrace(this.#tables, id, trace.spans, trace.startMs);
    });
    boundary();
  }

  #addMessage({ content, author, parts, ...job }: MessageSeed, seq: number): void {
    const body = { content, attachments: [], ...(author !== undefined && { author: { id: author } }) };
    const attemptId = this.#addJob({ ...job, kind: "message", sizeBytes: content.length }, body, seq);
    this.#seeded.conversation.finish(attemptId, parts);
  }

  #addWorkflow({ name, steps, ...job }: WorkflowSeed, seq: number): void {
    const { workflows } = this.#seeded;
    const body = { name, steps: steps.map(({ name, run }) => ({ name, run })), onFailure: "continue" as const };
    const hasFailed = steps.some(({ exitCode }) => exitCode !== 0);
    const outcome = hasFailed ? { outcome: "error" as const, errorType: "workflow_step_failed" as const } : {};
    this.#addJob({ ...job, ...outcome, kind: "workflow", sizeBytes: 100 }, body, seq);
    for (const [index, { exitCode }] of steps.entries()) {
      workflows.record(job.id, {
        index,
        status: "done",
        outcome: exitCode === 0 ? "ok" : "error",
        exitCode,
        durationMs: job.lastedMs / steps.length,
        output: "",
      });
    }
  }

  /** Adds a job that is done, with its only attempt. @returns the attempt's id */
  #addJob(job: JobSeed, body: Parameters<JobStore["addJob"]>[1], seq: number): string {
    const { id, kind, sizeBytes, atMs, lastedMs = 2_000, channel = "main", outcome = "ok", errorType = null } = job;
    const { queue } = this.#seeded;
    const attemptId = `att_${id}`;
    const context = { traceId: hex(seq, 32), spanId: hex(seq, 16), traceFlags: 1, traceState: "", isRemote: false };
    const times = { dispatchedMs: atMs + 20, acceptedMs: atMs + 40, endedMs: atMs + lastedMs };
    queue.jobs.addJob(
      {
        id,
        kind,
        seq,
        channel,
        mode: "followup",
        source: "user",
        initial: false,
        status: "done",
        sizeBytes,
        attachments: 0,
        notBeforeMs: 0,
        waitingSinceMs: atMs,
        reason: null,
        reasons: [],
        outcome,
        errorType,
        failure: null,
        asksFor: "",
        context,
        waitContext: context,
        waitedOn: null,
        attemptId,
        attempts: 1,
        lost: 0,
        unaccepted: 0,
        lastDispatch: context,
        userId: null,
        endedBy: null,
        ...times,
        acceptedMs: atMs,
      },
      body,
    );
    queue.jobs.addAttempt({
      id: attemptId,
      number: 1,
      generation: 1,
      channel,
      state: "ended",
      jobIds: [id],
      context,
      waitMs: 20,
      stop: null,
      progress: null,
      ...times,
    });
    return attemptId;
  }
}

/** Returns a number as an id of some digits. */
function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

async function store(env: Env, { sessions, statements }: Seed): Promise<void> {
  for (const session of sessions) {
    const stub = env.SESSION_AGENT.get(env.SESSION_AGENT.idFromName(session.id));
    await (stub as unknown as Pick<SessionAgent, "seed">).seed(session);
  }
  for (let from = 0; from < statements.length; from += STATEMENTS) {
    const batch = statements.slice(from, from + STATEMENTS);
    await env.DB.batch(batch.map(({ sql, params }) => env.DB.prepare(sql).bind(...params)));
  }
}

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== SEED_PATH) return worker.fetch(request, env, ctx);
    await store(env, await request.json<Seed>());
    return new Response(null, { status: 204 });
  },
} satisfies ExportedHandler<Env>;
