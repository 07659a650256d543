/**
 * A sandbox's runner, in memory, with the guarantees of the real one: it accepts an attempt once, sends unacknowledged frames
 * again on a new link, and after a restart reports the attempts that it had begun. It runs no agent: the course decides how a
 * turn ends.
 */
import { type FromRunner, parseToRunner, type ToRunnerOf } from "@valet/shared/protocol/runner-link";
import { nameSpans } from "@valet/shared/protocol/span-frame";
import type { ValetSpans } from "@valet/shared/spans";
import {
  encodeTraces,
  extractFromHeaders,
  type OpenSpan,
  parseOpenSpan,
  type ReadableSpan,
  type Span,
  type SpanContext,
  SpanKind,
  StatusCode,
  serialiseSpan,
  strictlyIncreasing,
  Tracer,
  wallClock,
} from "@valet/shared/tracing";
import { NO_WORK } from "../fake-runner.ts";
import type { StandInSandbox } from "./broker.ts";
import type { Host, HostLink } from "./host.ts";

type Dispatch = ToRunnerOf<"prompt">["dispatch"];
type Ended = Extract<FromRunner, { type: "turn-ended" }>;
export type TurnOutcome = "ok" | "error" | "aborted";

/** Is called for every turn that begins or ends, and for every span that the object has acknowledged. */
export interface RunnerWitness {
  begins(attemptId: string): void;
  ends(attemptId: string, outcome: TurnOutcome, errorType: string | undefined): void;
  delivers(spanId: string): void;
  /** The same of a span whose frame cannot be read. */
  loses(spanId: string, traceId: string): void;
}

interface SentSpan {
  readonly context: SpanContext;
  readonly isGarbled: boolean;
  readonly frame: Extract<FromRunner, { type: "spans" }>;
}

/** Close codes of refusals. */
const [TOKEN_REFUSED, STALE, SUPERSEDED] = [4401, 4409, 4410];

let instances = 0;

export class StandInRunner {
  readonly sandbox: StandInSandbox;
  readonly working = new Map<string, { readonly dispatch: Dispatch; readonly span: string }>();
  readonly #owed = new Map<string, Ended>();
  readonly #settled = new Set<string>();
  /** The agent's open requests for permission, by their ids. */
  readonly #asked = new Map<string, Extract<FromRunner, { type: "permission-asked" }>>();
  readonly #spans = new Map<number, SentSpan>();
  /** Those of earlier processes of this sandbox that were never acknowledged. */
  readonly #forgotten: SentSpan[] = [];
  readonly #host: Host;
  readonly #sessionId: string;
  readonly #witness: RunnerWitness;
  #tracer!: Tracer<ValetSpans>;
  #instanceId = "";
  #isReady = false;
  #seq = 0;
  #inbox: string[] = [];
  #link: HostLink | undefined;
  #last: FromRunner | undefined;
  /** The span frame that the next end carries. */
  #carried: Extract<FromRunner, { type: "spans" }> | undefined;
  #isCarrying = false;
  #garbles = false;
  /** Whether the object has refused it for good. */
  isOver = false;

  constructor(host: Host, sandbox: StandInSandbox, sessionId: string, witness: RunnerWitness) {
    this.#host = host;
    this.sandbox = sandbox;
    this.#sessionId = sessionId;
    this.#witness = witness;
    this.#begin();
  }

  get isUp(): boolean {
    return this.#link !== undefined;
  }

  get canRun(): boolean {
    return !this.isOver && this.sandbox.isAlive;
  }

  get instanceId(): string {
    return this.#instanceId;
  }

  /** Opens the link, sends a hello, and sends unacknowledged frames. */
  async connect(): Promise<void> {
    this.#link?.close();
    this.#link = undefined;
    this.#inbox = [];
    const { token, generation } = this.sandbox;
    let link: HostLink | undefined;
    link = await this.#host.connect(token, generation, {
      onText: (text) => this.#inbox.push(text),
      onClosed: (code) => {
        // Events of an abandoned link are ignored.
        if (this.#link !== link) return;
        this.#link = undefined;
        if (code === TOKEN_REFUSED || code === STALE || code === SUPERSEDED) this.isOver = true;
      },
    });
    if (link === undefined) {
      this.isOver = true;
      return;
    }
    this.#link = link;
    const attempts = [...this.working.keys(), ...this.#owed.keys()];
    const identity = { instanceId: this.#instanceId, generation, clockMs: Date.now(), ready: this.#isReady };
    this.#send({ type: "hello", protocol: 1, ...identity, attempts, version: "1" });
    for (const { frame } of this.#spans.values()) this.#send(frame);
    for (const [attemptId, { span }] of this.working) this.#send({ type: "attempt-accepted", attemptId, span });
    for (const frame of this.#asked.values()) this.#send(frame);
    for (const frame of this.#owed.values()) this.#send(frame);
  }

  /** Asks for a permission in a turn. */
  ask(permissionId: string, nth: number): void {
    const attemptId = [...this.working.keys()].at(nth % Math.max(1, this.working.size));
    if (attemptId === undefined) return;
    const asked = { type: "permission-asked", attemptId, permissionId, permission: "bash", detail: "ls" } as const;
    this.#asked.set(permissionId, asked);
    this.#send(asked);
  }

  /** Sends another end of an attempt whose end is acknowledged; without one, that of an attempt that there never was. */
  endOther(nth: number): void {
    const attemptId = [...this.#settled].at(-1 - nth) ?? "att_never";
    this.#send({ type: "turn-ended", attemptId, outcome: "error", errorType: "opencode_error", parts: [] });
  }

  /** Reports a stage of its start; `ready` is the last one. */
  stage(stage: "git_setup" | "ready" | "failed"): void {
    if (stage === "ready") this.#isReady = true;
    this.#send({ type: "stage", stage, ...(stage === "failed" && { errorType: "git_clone_failed" }) });
    if (stage === "failed") this.isOver = true;
  }

  /** Reads the received frames, and acts on them. */
  take(): void {
    for (const text of this.#inbox.splice(0)) {
      const parsed = parseToRunner(text);
      if (!parsed.ok) throw new Error(`the runner does not understand: ${parsed.error}`);
      const { message } = parsed;
      if (message.type === "prompt") this.#receive(message.dispatch);
      else if (message.type === "abort") this.end(message.attemptId, "aborted", message.reason);
      else if (message.type === "spans-ack") this.#acknowledge(message.seq);
      else if (message.type === "turn-ended-ack") {
        const { attemptId, spans } = message;
        if (spans?.instanceId === this.#instanceId) this.#acknowledge(spans.seq);
        if (this.#owed.delete(attemptId)) this.#settled.add(attemptId);
      } else if (message.type === "permission-reply") this.#asked.delete(message.permissionId);
      else if (message.type === "refused") this.isOver = true;
      else if (message.type === "background-check") {
        this.#send({ type: "background", requestId: message.requestId, processes: 0 });
      } else if (message.type === "shutdown") this.#stop(message.reason);
      else if (message.type === "error") throw new Error(`the object does not understand: ${message.error}`);
    }
  }

  /** Refuses the received attempts that have not begun. */
  refuse(): void {
    for (const text of this.#inbox.splice(0)) {
      const parsed = parseToRunner(text);
      if (!parsed.ok || parsed.message.type !== "prompt") continue;
      const { attemptId } = parsed.message.dispatch;
      this.#send({ type: "attempt-refused", attemptId, errorType: "not_accepted" });
    }
  }

  /** Ends a turn. */
  end(attemptId: string, outcome: TurnOutcome, errorType?: string): void {
    const turn = this.working.get(attemptId);
    if (turn === undefined) return;
    this.working.delete(attemptId);
    for (const [id, asked] of this.#asked) if (asked.attemptId === attemptId) this.#asked.delete(id);
    const span = this.#tracer.resumeSpan(parseOpenSpan(turn.span) as OpenSpan) as unknown as Span;
    const isLost = errorType === "runner_lost";
    span.setAttributes({
      "valet.outcome": isLost ? "lost" : outcome,
      ...(errorType !== undefined && {
        [outcome === "error" || isLost ? "error.type" : "valet.outcome.reason"]: errorType,
      }),
    });
    if (outcome === "error") span.setStatus(StatusCode.ERROR, errorType);
    // Every other end carries the turn's last spans; an older runner sends them ahead.
    this.#isCarrying = this.isUp && this.#seq % 2 === 0;
    span.end();
    this.#isCarrying = false;
    this.#owed.set(attemptId, {
      type: "turn-ended",
      attemptId,
      outcome,
      opencodeSessionId: "oc_1",
      summary: NO_WORK,
      parts: [{ type: "text", id: `prt_${attemptId}`, text: "done" }],
      ...(errorType !== undefined && { errorType }),
    });
    this.#witness.ends(attemptId, outcome, errorType);
    const { type: _, ...spans } = this.#carried ?? {};
    const ended = this.#owed.get(attemptId) as Ended;
    this.#send(this.#carried === undefined ? ended : ({ ...ended, spans } as Ended));
    this.#carried = undefined;
  }

  /** Breaks the link; both ends notice. */
  drop(): void {
    const link = this.#link;
    this.#link = undefined;
    link?.close();
  }

  /** Breaks the link; neither end notices. */
  silence(): void {
    this.#link?.silence();
    this.#link = undefined;
  }

  /** Makes the process hang; nobody notices. */
  hang(): void {
    this.silence();
    this.isOver = true;
  }

  /** Kills the process; its successor reads the journal. */
  restart(): void {
    this.drop();
    this.#isReady = false;
    this.#begin();
    for (const attemptId of [...this.working.keys()]) this.end(attemptId, "error", "runner_lost");
  }

  /** The spans of unreadable frames that were never acknowledged, with their traces: only the object knows whether these came. */
  get mayBeLost(): readonly (readonly [spanId: string, traceId: string])[] {
    return [...this.#forgotten, ...this.#spans.values()].flatMap(({ context, isGarbled }) =>
      isGarbled ? [[context.spanId, context.traceId] as const] : [],
    );
  }

  /** Makes the next span frame unreadable. */
  garble(): void {
    this.#garbles = true;
  }

  /** Sends the last frame again. */
  repeat(): void {
    if (this.#last !== undefined) this.#send(this.#last);
  }

  #begin(): void {
    this.#instanceId = `run_${++instances}`;
    this.#seq = 0;
    this.#forgotten.push(...this.#spans.values());
    this.#spans.clear();
    this.#last = undefined;
    this.#tracer = new Tracer<ValetSpans>({
      scope: { name: "runner" },
      clock: strictlyIncreasing(wallClock),
      processor: { onStart: () => {}, onEnd: (span) => this.#record(span) },
    });
  }

  #receive(dispatch: Dispatch): void {
    const { attemptId } = dispatch;
    if (this.working.has(attemptId) || this.#owed.has(attemptId) || this.#settled.has(attemptId)) return;
    if (!this.#isReady) {
      this.#send({ type: "attempt-refused", attemptId, errorType: "not_accepted" });
      return;
    }
    this.#witness.begins(attemptId);
    const { queue, traceparent, tracestate } = dispatch;
    const id = this.#sessionId;
    const span = this.#tracer.startSpan("valet.turn", {
      kind: SpanKind.CONSUMER,
      parent: extractFromHeaders({ traceparent, tracestate }),
      attributes: {
        "valet.session.id": id,
        "session.id": id,
        "gen_ai.conversation.id": id,
        "valet.queue.wait_ms": queue.waitMs,
        "valet.queue.reason": queue.reason as "immediate",
        "valet.queue.mode": queue.mode as "followup",
        "valet.dispatch.attempt_id": attemptId,
        "valet.dispatch.attempt": dispatch.attempt,
        "valet.message.id": dispatch.messageId,
      },
    });
    const open = serialiseSpan(span as unknown as OpenSpan);
    this.working.set(attemptId, { dispatch, span: open });
    this.#send({ type: "attempt-accepted", attemptId, span: open });
  }

  #record(span: ReadableSpan): void {
    const { context } = span;
    const isGarbled = this.#garbles;
    this.#garbles = false;
    const resource = { "service.name": "valet-runner", "service.instance.id": this.#instanceId };
    const otlp = isGarbled ? "{" : encodeTraces(resource, [span]);
    const ids = nameSpans([context]);
    const frame = { type: "spans" as const, instanceId: this.#instanceId, seq: ++this.#seq, otlp, ids };
    this.#spans.set(frame.seq, { context, isGarbled, frame });
    if (this.#isCarrying) this.#carried = frame;
    else this.#send(frame);
  }

  #acknowledge(seq: number): void {
    for (const [known, { context, isGarbled }] of this.#spans) {
      if (known > seq) continue;
      this.#spans.delete(known);
      if (isGarbled) this.#witness.loses(context.spanId, context.traceId);
      else this.#witness.delivers(context.spanId);
    }
  }

  #stop(reason: string): void {
    const why = reason === "terminate" ? "session_terminated" : "session_hibernated";
    for (const attemptId of [...this.working.keys()]) this.end(attemptId, "aborted", why);
    this.#send({ type: "stopped" });
    this.isOver = true;
    this.drop();
  }

  #send(frame: FromRunner): void {
    this.#last = frame;
    this.#link?.send(JSON.stringify(frame));
  }
}
