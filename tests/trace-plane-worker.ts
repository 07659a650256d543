/**
 * A Durable Object with the trace plane and a little state that its spans describe, to test crashes and rates in a
 * workerd of its own. It composes the parts as the SessionAgent does.
 */
import { DurableObject } from "cloudflare:workers";
import type { WhyJob } from "../packages/shared/src/answers/why/spans.ts";
import { why } from "../packages/shared/src/answers/why/why.ts";
import { parseFromRunner, type ToRunner } from "../packages/shared/src/protocol/runner-link.ts";
import type { SpanFrame } from "../packages/shared/src/protocol/span-frame.ts";
import type { WhyView } from "../packages/shared/src/protocol/why.ts";
import { Tracer } from "../packages/shared/src/tracing/index.ts";
import { upgradeSchema } from "../packages/worker/src/durable-objects/core/schema.ts";
import { SESSION_MIGRATIONS } from "../packages/worker/src/durable-objects/session-schema.ts";
import { type SegmentList, segmentAfter } from "../packages/worker/src/durable-objects/traces/segment-cursor.ts";
import { TraceExport } from "../packages/worker/src/durable-objects/traces/trace-export.ts";
import { TraceFrames } from "../packages/worker/src/durable-objects/traces/trace-frames.ts";
import { TraceStore } from "../packages/worker/src/durable-objects/traces/trace-store.ts";
import type { TracePlaneConfig } from "./trace-plane-config.ts";

interface Env {
  readonly TRACE_PLANE: DurableObjectNamespace<TracePlane>;
  readonly CONFIG: TracePlaneConfig;
}

/** More than any load has. */
const MAX_SPANS = 60_000;
/** Longer than any test waits. */
const HANG_MS = 30_000;

export class TracePlane extends DurableObject<Env> {
  readonly #store: TraceStore;
  readonly #export: TraceExport;
  readonly #tracer: Tracer;
  readonly #frames = new TraceFrames((frames) => this.#storeFrames(frames));
  #socket: WebSocket | undefined;
  #armedMs: number | undefined;
  /** Counted since the object started. */
  readonly #written = { rows: 0, alarms: 0 };

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sessionId, exportUrl, exportTimeoutMs, segmentDelayMs } = env.CONFIG;
    upgradeSchema(ctx.storage, SESSION_MIGRATIONS);
    const storage = countRows(ctx.storage, this.#written);
    this.#store = new TraceStore(storage.sql, {
      transact: (work) => storage.transactionSync(work),
      sessionId,
      resource: { "service.name": "valet-worker" },
      segmentDelayMs,
      maxBytes: 1e9,
      now: Date.now,
    });
    this.#export = new TraceExport(storage.sql, this.#store, {
      sessionId,
      url: exportUrl,
      headers: {},
      compression: "gzip",
      timeoutMs: exportTimeoutMs,
      now: Date.now,
      onDiagnostic: () => {},
      fetch: (input, init) => this.#post(input as string, init as RequestInit),
    });
    this.#tracer = new Tracer({ scope: { name: "trace-plane" }, processor: this.#store });
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS crash_jobs (name TEXT PRIMARY KEY, span_id TEXT, done INTEGER)");
  }

  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const job = url.searchParams.get("job") ?? "";
    switch (url.pathname) {
      case "/begin":
        this.#begin(job, url.searchParams.has("hang"));
        return new Response();
      case "/end":
        this.#end(job);
        return new Response();
      case "/jobs":
        return Response.json(this.#jobs());
      case "/fold":
        this.#frames.flush();
        this.#store.fold();
        this.#arm();
        return new Response();
      case "/traces":
        return Response.json(this.#store.reader.traces());
      case "/written":
        return Response.json(this.#written);
      case "/runner":
        return this.#accept();
      default:
        return new Response(null, { status: 404 });
    }
  }

  /** By RPC, as with the SessionAgent. */
  spans(): ReadableStream<Uint8Array> {
    return this.#store.reader.spans();
  }

  /** @param cursor of the next page; the first if omitted */
  trace(traceId: string, cursor?: string): ReadableStream<Uint8Array> | undefined {
    return this.#store.reader.trace(traceId, undefined, this.#segmentAfter("trace", traceId, cursor));
  }

  skeleton(traceId: string, cursor?: string): string | undefined {
    return this.#store.reader.skeletons.read(traceId, this.#segmentAfter("skeleton", traceId, cursor))?.text;
  }

  /** Answers about the message of a trace, which has ended with its last span. */
  why(traceId: string): WhyView {
    const { sessionId } = this.env.CONFIG;
    const spans = this.#store.reader.plainSpans(traceId, MAX_SPANS);
    const prompt = spans.find(({ name }) => name === "valet.prompt");
    const { startMs = 0, endMs = null, attributes = {} } = prompt ?? {};
    const job: WhyJob = {
      ...{ sessionId, id: String(attributes["valet.message.id"]), kind: "message", traceId, state: "ended" },
      ...{ acceptedAtMs: startMs, endedAtMs: endMs, outcome: "ok", failure: null, outcomeReason: null },
    };
    return why({ job, turns: [], spans, nowMs: Date.now() });
  }

  /** @throws for a cursor of another list, at which a reader would begin again and again */
  #segmentAfter(what: SegmentList["what"], traceId: string, cursor: string | undefined): number {
    const after = segmentAfter({ sessionId: this.env.CONFIG.sessionId, what, traceId }, cursor);
    if (after === undefined) throw new Error("the cursor is not one of this list");
    return after;
  }

  /** Stores the job, its open span and an ended span atomically. */
  #begin(job: string, hang: boolean): void {
    this.ctx.storage.transactionSync(() => {
      const attributes = { "valet.session.id": this.env.CONFIG.sessionId };
      const span = this.#tracer.startSpan(`job ${job}`, { attributes });
      this.#tracer.startSpan(`begin ${job}`, { parent: span, attributes }).end();
      this.ctx.storage.sql.exec("INSERT INTO crash_jobs VALUES (?, ?, 0)", job, span.context.spanId);
      if (!hang) return;
      console.error("in the transaction");
      for (const until = Date.now() + HANG_MS; Date.now() < until; );
    });
    this.#arm();
  }

  #end(job: string): void {
    this.ctx.storage.transactionSync(() => {
      const query = "UPDATE crash_jobs SET done = 1 WHERE name = ? RETURNING span_id";
      const { span_id } = this.ctx.storage.sql.exec<{ span_id: string }>(query, job).one();
      const open = this.#store.openSpan(span_id);
      if (open !== undefined) this.#tracer.resumeSpan(open).end();
    });
    this.#arm();
  }

  #jobs() {
    const rows = this.ctx.storage.sql.exec<{ name: string; span_id: string; done: number }>("SELECT * FROM crash_jobs");
    return rows.toArray().map(({ name, span_id, done }) => ({
      name,
      isDone: done === 1,
      isOpen: this.#store.openSpan(span_id) !== undefined,
    }));
  }

  #accept(): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): void {
    const parsed = parseFromRunner(data as string);
    if (!parsed.ok || parsed.message.type !== "spans") return socket.close(1008, "only span frames are taken here");
    this.#socket = socket;
    if (this.env.CONFIG.gather === false) this.#storeFrames([parsed.message]);
    else this.#frames.add(parsed.message);
  }

  #storeFrames(frames: readonly SpanFrame[]): void {
    for (const [instanceId, seq] of this.#store.acceptFrames(frames)) {
      this.#socket?.send(JSON.stringify({ type: "spans-ack", instanceId, seq } satisfies ToRunner));
    }
    this.#arm();
  }

  /** Never awaits the network, but where a test holds it: starts what is due, sets the next alarm and returns. */
  override async alarm(): Promise<void> {
    this.#armedMs = undefined;
    await this.#breakpoint("before the fold");
    if ((this.#store.dueAtMs() ?? Infinity) <= Date.now()) this.#store.fold((id) => this.#export.isSettled(id));
    if ((this.#export.dueAtMs() ?? Infinity) <= Date.now()) {
      this.ctx.waitUntil(this.#export.start().then(() => this.#arm()));
    }
    this.#arm();
  }

  #arm(): void {
    const dueMs = Math.min(this.#store.dueAtMs() ?? Infinity, this.#export.dueAtMs() ?? Infinity);
    // An earlier alarm stays: it finds nothing due and sets the next one.
    if (dueMs === Infinity || (this.#armedMs !== undefined && this.#armedMs <= dueMs)) return;
    this.#armedMs = dueMs;
    this.#written.alarms++;
    this.ctx.storage.setAlarm(dueMs);
  }

  async #post(url: string, init: RequestInit): Promise<Response> {
    await this.#breakpoint("before the POST");
    const response = await fetch(url, init);
    await this.#breakpoint("after the answer");
    return response;
  }

  async #breakpoint(name: string): Promise<void> {
    const { breakpointUrl } = this.env.CONFIG;
    if (breakpointUrl === undefined) return;
    const answer = await fetch(`${breakpointUrl}/${encodeURIComponent(name)}`);
    await answer.body?.cancel();
  }
}

/**
 * Returns a storage that counts the rows that its statements write; a statement's count is known when the next one
 * runs.
 */
function countRows(storage: DurableObjectStorage, written: { rows: number }): DurableObjectStorage {
  let last: { cursor: { readonly rowsWritten: number }; counted: number } | undefined;
  const sql = {
    exec: (query: string, ...bindings: SqlStorageValue[]) => {
      if (last !== undefined) written.rows += last.cursor.rowsWritten - last.counted;
      const cursor = storage.sql.exec(query, ...bindings);
      last = { cursor, counted: cursor.rowsWritten };
      written.rows += last.counted;
      return cursor;
    },
  } as SqlStorage;
  return { sql, transactionSync: (work: () => unknown) => storage.transactionSync(work) } as DurableObjectStorage;
}

export default {
  async fetch(request, { TRACE_PLANE }) {
    const plane = TRACE_PLANE.get(TRACE_PLANE.idFromName("session"));
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/spans") return new Response(await plane.spans());
    const [id, cursor] = [searchParams.get("id") ?? "", searchParams.get("cursor") ?? undefined];
    if (pathname === "/trace") return new Response(await plane.trace(id, cursor));
    if (pathname === "/why") return Response.json(await plane.why(id));
    if (pathname === "/skeleton") return new Response(await plane.skeleton(id, cursor));
    return plane.fetch(request);
  },
} satisfies ExportedHandler<Env>;
