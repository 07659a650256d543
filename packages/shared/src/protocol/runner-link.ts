/**
 * The WebSocket between a session's SessionAgent and the runner in its sandbox. Each text frame is one JSON object of at most
 * {@link MAX_LINK_FRAME_BYTES}. Unknown fields are ignored and unknown types are skipped, so that either side may be older; known
 * fields must be valid.
 */
import { z } from "zod";
import { MAX_TURN_KEYS, StepDurations } from "../answers/verdict/durations.ts";
import { marked } from "../spans.ts";
import { AgentQuestion, MAX_QUESTIONS, QuestionAnswers } from "./agent-question.ts";
import { AskBefore } from "./ask-before.ts";
import { ContentMaxBytes } from "./captured-content.ts";
import { turnChangesFields } from "./changes.ts";
import { ChildSessionAnswer, ChildSessionRequest } from "./child-sessions.ts";
import { PromptDispatch, WorkflowDispatch } from "./dispatch.ts";
import { LINK_PROTOCOL, LinkProtocols } from "./link-protocol.ts";
import { MessagePart } from "./message-part.ts";
import { ModelAccess, ModelRef } from "./model-access.ts";
import { PartDelta } from "./part-delta.ts";
import { ProviderContext } from "./provider-context.ts";
import { SpanFrame, SpansAck } from "./span-frame.ts";
import { ReportedSummary, TurnBounds } from "./turn.ts";
import { id, LATEST_MS, millis, traceContext } from "./wire-fields.ts";
import { MAX_WORKFLOW_STEPS, stepIndex, WorkflowStepState } from "./workflow.ts";

/** The largest frame, far below workerd's limit. A sender splits what is larger, a receiver refuses it. */
export const MAX_LINK_FRAME_BYTES = 512 * 1024;
/** The runner's ping; the platform answers it without waking the object. */
export const LINK_PING = "ping";
export const LINK_PONG = "pong";

/** The frames that the SessionAgent sends. */
export const ToRunner = z.discriminatedUnion("type", [
  /** The first frame after `hello`: the runner's configuration. */
  z.object({
    type: z.literal("config"),
    sessionId: id,
    generation: z.number().int().positive(),
    modelAccess: ModelAccess,
    captureContent: z.boolean(),
    /** How long one attribute with content may be; the runner's own limit if absent, because the peer is older. */
    contentMaxBytes: ContentMaxBytes.optional(),
    /** What model calls carry to providers; the default if absent, because the peer is older. */
    providerContext: ProviderContext.optional(),
    /** Whether the session records spans at all. */
    tracing: z.boolean(),
    /** Whether all of the repository's configuration of OpenCode is used, including its plugins. */
    trustRepositoryConfig: z.boolean().optional(),
    /** Whether programs of the agent's commands send their traces to the runner; only if the session records spans. */
    agentOtlp: z.boolean().optional(),
    /** What the agent asks a person for before it does it; nothing if absent. */
    askBefore: AskBefore.optional(),
    /** After this time without an event of the agent, a turn is ended as stuck. */
    stuckTurnMs: millis,
    /** If absent, because the peer is older, the runner uses its own defaults. */
    turnBounds: TurnBounds.optional(),
    /** The time left until the start's deadline. Absent if the sandbox has been ready before. */
    startMs: millis.optional(),
    /**
     * Whether `turn-ended` and `workflow-ended` may carry the last span frame. Absent if the peer is older: it would ignore that
     * frame, and take the next one as if nothing were missing.
     */
    takesSpansInEnds: z.boolean().optional(),
    /** Whether the SessionAgent takes `turn-changes`. Absent if the peer is older: then the runner does not measure them. */
    takesChanges: z.boolean().optional(),
    /** Whether the SessionAgent sends `workflow-step-ack`. Absent if the peer is older: then no command waits for one. */
    acknowledgesSteps: z.boolean().optional(),
    /** The runner's clock minus the SessionAgent's, measured at this connection's hello. */
    clockOffsetMs: z.number().optional(),
    /**
     * Whether a runner of this generation has used its secrets: model keys and the repository's credentials are not sent again. A
     * restarted runner in the same sandbox uses those that its predecessor kept.
     */
    hasSecrets: z.boolean().optional(),
  }),
  /** Always follows `config`: the repository of the workspace. Without `repoUrl` the workspace stays empty. */
  z.object({
    type: z.literal("repo-config"),
    repoUrl: z.string().max(2000).optional(),
    branch: z.string().max(255).optional(),
    ref: z.string().max(255).optional(),
    /** Credentials for https. They never enter spans, `.git/config` or the agent's environment. */
    credentials: z.object({ username: z.string(), password: z.string() }).optional(),
    ...traceContext,
  }),
  z.object({ type: z.literal("prompt"), dispatch: PromptDispatch }),
  z.object({ type: z.literal("workflow-execute"), dispatch: WorkflowDispatch }),
  z.object({
    type: z.literal("abort"),
    attemptId: id,
    reason: z.enum(marked("aborts")),
  }),
  /** The answer to a permission request of the agent. */
  z.object({ type: z.literal("permission-reply"), permissionId: id, reply: z.enum(["once", "always", "reject"]) }),
  /** The answers to the agent's questions; `null` if the person declines to answer. */
  z.object({ type: z.literal("question-reply"), questionId: id, answers: QuestionAnswers.nullable() }),
  SpansAck.extend({ type: z.literal("spans-ack") }),
  /** The `turn-ended` or `workflow-ended` of this attempt is durable. So is the span frame that it carried, if `spans` is present. */
  z.object({ type: z.literal("turn-ended-ack"), attemptId: id, spans: SpansAck.optional() }),
  /** The `turn-changes` of this attempt are durable, and the span frame that they carried if `spans` is present. */
  z.object({ type: z.literal("turn-changes-ack"), attemptId: id, spans: SpansAck.optional() }),
  /** That this step of a running attempt has begun is durable: its command may run. Answers a `workflow-step` that `waits`. */
  z.object({ type: z.literal("workflow-step-ack"), attemptId: id, index: stepIndex }),
  /** The answer to the agent's request with this id; sent again if the request arrives again. */
  z.object({ type: z.literal("child-session-response"), requestId: id, answer: ChildSessionAnswer }),
  /** Asks for the number of background processes; the runner answers with `background`. */
  z.object({ type: z.literal("background-check"), requestId: id }),
  /** Asks the runner to end its turns, to deliver its spans, and to exit. The runner answers with `stopped`. */
  z.object({ type: z.literal("shutdown"), reason: z.string().max(64) }),
  /** A frame was invalid and has been ignored. The error names the field, never its value. */
  z.object({ type: z.literal("error"), error: z.string().max(500) }),
  z.object({
    type: z.literal("refused"),
    reason: z.enum(["stale_generation", "token_refused", "superseded", "protocol_unsupported"]),
    /** Present with `protocol_unsupported`. */
    protocols: LinkProtocols.optional(),
  }),
]);
export type ToRunner = z.infer<typeof ToRunner>;
export type ToRunnerOf<T extends ToRunner["type"]> = Extract<ToRunner, { type: T }>;

/** A frame that ends an attempt may carry the last span frame, if the configuration allows it. */
const lastSpans = { spans: SpanFrame.optional() };
/** How long the attempt's model calls and tools took. Absent if there were none, or the peer is older. */
const durations = { stepDurations: z.array(StepDurations).max(MAX_TURN_KEYS).optional() };

/** The frames that the runner sends. */
export const FromRunner = z.discriminatedUnion("type", [
  /** The first frame of every connection. */
  z.object({
    type: z.literal("hello"),
    protocol: z.literal(LINK_PROTOCOL),
    instanceId: id,
    generation: z.number().int().positive(),
    /** The runner's wall clock, epoch ms, until the year 9999: the difference to the object's is `valet.clock.offset_ms`. */
    clockMs: z.number().nonnegative().max(LATEST_MS),
    /** The attempts that it is working on, or has ended without an acknowledgement. */
    attempts: z.array(id).max(1000),
    /** Whether it has been ready before: then no bootstrap follows. */
    ready: z.boolean(),
    version: z.string().max(64),
    /** Whether it obeys `askBefore`. Absent if the peer is older: then it is refused where a session has that. */
    asksBefore: z.boolean().optional(),
  }),
  /** The stage that the bootstrap has reached. If the runner never becomes ready, the object knows the last one. */
  z.object({
    type: z.literal("stage"),
    stage: z.enum(["connected", "opencode_starting", "git_setup", "ready", "failed"]),
    errorType: z.string().max(64).optional(),
  }),
  /** All current warnings of this process; the object stores them for the generation. Unknown types are ignored. */
  z.object({ type: z.literal("warnings"), warnings: z.array(z.string().max(64)).max(20) }),
  /**
   * Work on the attempt's job begins, or began before this connection. `span` is `valet.turn` or
   * `valet.workflow.execute`, open, as `serialiseSpan` writes it, so that the object shows it at once; only the first counts, since
   * from then on span frames say what is open.
   */
  z.object({ type: z.literal("attempt-accepted"), attemptId: id, span: z.string().max(65_536).optional() }),
  z.object({ type: z.literal("attempt-refused"), attemptId: id, errorType: z.string().max(64) }),
  /** A part of the unfinished answer; the last frame of a part's id counts. */
  z.object({ type: z.literal("part"), attemptId: id, part: MessagePart }),
  /** An addition to a part. The runner sends the whole part every few seconds, for receivers that have less of it than `from`. */
  z.object({ type: z.literal("part-delta"), attemptId: id, delta: PartDelta }),
  /**
   * The attempt is running, though other frames may not show it: its agent's events come (a model call is tried again, say), or its
   * silence is accepted, since it waits for a person, or for a tool with a timeout of its own. The object's watchdog accepts what
   * the runner's does.
   */
  z.object({ type: z.literal("working"), attemptId: id }),
  z.object({
    type: z.literal("permission-asked"),
    attemptId: id,
    permissionId: id,
    permission: z.string().max(200),
    /** What the agent wants to do. Shown to people, never recorded. */
    detail: z.string().max(4000),
  }),
  z.object({
    type: z.literal("question-asked"),
    attemptId: id,
    questionId: id,
    /** Shown to people, never recorded. */
    questions: z.array(AgentQuestion).min(1).max(MAX_QUESTIONS),
  }),
  /**
   * A request of the agent about its child sessions. Sent until it is answered; idempotent by its id. The trace context is that of
   * the tool call.
   */
  z.object({
    type: z.literal("child-session-request"),
    requestId: id,
    /** The attempt whose agent asks, if known: its channel receives the child's report. */
    attemptId: id.optional(),
    request: ChildSessionRequest,
    ...traceContext,
  }),
  /** The turn has ended. Sent until acknowledged. */
  z.object({
    type: z.literal("turn-ended"),
    attemptId: id,
    outcome: z.enum(["ok", "error", "aborted"]),
    errorType: z.string().max(64).optional(),
    /** If every model failed: why the last one failed, and its name. Of a lost runner: the limit of the sandbox that ended it, if known. */
    cause: z.string().max(64).optional(),
    causeOf: ModelRef.optional(),
    opencodeSessionId: id.optional(),
    parts: z.array(MessagePart).max(2000),
    /** Absent if nothing is known about the work. */
    summary: ReportedSummary,
    ...durations,
    ...lastSpans,
  }),
  /**
   * The state of a step; the last frame of an index counts. `span` is the step's open span if the step has just begun. Sent again
   * on a new connection; `workflow-ended` holds everything that must not be lost.
   */
  z.object({
    type: z.literal("workflow-step"),
    attemptId: id,
    state: WorkflowStepState,
    span: z.string().max(65_536).optional(),
    /** Whether the step's command waits for `workflow-step-ack`. Absent if it does not, or the peer is older. */
    waits: z.boolean().optional(),
  }),
  /** The workflow has ended: no step is running any more. Sent until acknowledged. */
  z.object({
    type: z.literal("workflow-ended"),
    attemptId: id,
    outcome: z.enum(["ok", "error", "aborted"]),
    errorType: z.string().max(64).optional(),
    /** The cause, as in `turn-ended`. */
    cause: z.string().max(64).optional(),
    causeOf: ModelRef.optional(),
    opencodeSessionId: id.optional(),
    /** The states of the steps that this attempt began or skipped, in order. */
    steps: z.array(WorkflowStepState).max(MAX_WORKFLOW_STEPS),
    /** The sum over all prompt steps; absent if nothing is known about them. */
    summary: ReportedSummary,
    ...durations,
    ...lastSpans,
  }),
  /**
   * What the attempt changed in the workspace. Follows its end, if the configuration allows it; sent until acknowledged, idempotent by
   * the attempt.
   */
  z.object({ type: z.literal("turn-changes"), ...turnChangesFields }),
  SpanFrame.extend({ type: z.literal("spans") }),
  /** The number of background processes that the agent or a command has started. */
  z.object({ type: z.literal("background"), requestId: id, processes: z.number().int().nonnegative() }),
  z.object({ type: z.literal("stopped") }),
]);
export type FromRunner = z.infer<typeof FromRunner>;
export type FromRunnerOf<T extends FromRunner["type"]> = Extract<FromRunner, { type: T }>;

export type Parsed<T> = { readonly ok: true; readonly message: T } | { readonly ok: false; readonly error: string };

/**
 * The names of frames in runners before version 0.3.0. Modal's snapshots contain the runner, so a session that wakes may run an
 * older one.
 */
const EARLIER_TYPES: ReadonlyMap<unknown, FromRunner["type"]> = new Map([
  ["prompt-accepted", "attempt-accepted"],
  ["prompt-refused", "attempt-refused"],
]);

const ReceivedFromRunner: z.ZodType<FromRunner> = z.preprocess((json) => {
  const type = typeof json === "object" && json !== null && "type" in json ? EARLIER_TYPES.get(json.type) : undefined;
  return type === undefined ? json : { ...(json as object), type };
}, FromRunner);

/** Parses a frame of the runner. Never throws; the error names the field, never its value. */
export function parseFromRunner(text: string): Parsed<FromRunner> {
  return parse(ReceivedFromRunner, text);
}

/** Parses a frame of the SessionAgent. Never throws; the error names the field, never its value. */
export function parseToRunner(text: string): Parsed<ToRunner> {
  return parse(ToRunner, text);
}

function parse<T>(schema: z.ZodType<T>, text: string): Parsed<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, error: "not JSON" };
  }
  const result = schema.safeParse(json);
  if (result.success) return { ok: true, message: result.data };
  const [issue] = result.error.issues;
  return { ok: false, error: `${issue?.path.join(".") || "type"}: ${issue?.code ?? "invalid"}` };
}
