/**
 * The WebSocket between a session's SessionAgent and the runner in its sandbox. One JSON object a text frame, at most
 * {@link MAX_LINK_FRAME_BYTES}. Unknown fields are ignored and unknown types skipped, so that either side may be older;
 * what is known must be well-formed.
 */
import { z } from "zod";
import { FAILURE_POLICIES, marked } from "../spans.ts";
import { ChildSessionAnswer, ChildSessionRequest } from "./child-sessions.ts";
import { LINK_PROTOCOL, LinkProtocols } from "./link-protocol.ts";
import { MessagePart } from "./message-part.ts";
import { PartDelta } from "./part-delta.ts";
import { MAX_WORKFLOW_STEPS, WorkflowStep, WorkflowStepState } from "./workflow.ts";

/** Far below what workerd stops taking. A sender splits, a receiver refuses. */
export const MAX_LINK_FRAME_BYTES = 512 * 1024;
/** What the runner sends when it has nothing to say; answered by the platform without waking the object. */
export const LINK_PING = "ping";
export const LINK_PONG = "pong";

/** Open spans in one frame, and of one runner in all: a runner with more is not one of ours. */
export const MAX_OPEN_SPANS = 500;

const id = z.string().min(1).max(128);
const millis = z.number().nonnegative();
/** W3C Trace Context; absent from an older peer, and then the work begins a trace of its own. */
const traceContext = { traceparent: z.string().max(256).optional(), tracestate: z.string().max(1024).optional() };

/** A model as `provider/model`, or as its name alone ({@link withProvider}). */
export const ModelRef = z.string().min(1).max(200);

export const Attachment = z.object({
  filename: z.string().max(255),
  mediaType: z.string().max(127),
  /** A `data:` URL. */
  url: z.string().max(400_000).startsWith("data:"),
});
export type Attachment = z.infer<typeof Attachment>;

/** What every attempt comes with, whatever it is an attempt at. */
const attempt = {
  /** This attempt. Never worked on twice. */
  attemptId: id,
  /** Which attempt of the message or workflow this is, from 1. */
  attempt: z.number().int().positive(),
  /** Asked for by the message; tried first. */
  model: ModelRef.optional(),
  /** The session's preferences, in order; the failover chain. */
  models: z.array(ModelRef).max(10).default([]),
  /** Whether a model that the agent does not know ends the work: what was asked for by name is not answered by another. */
  refuseUnknownModels: z.boolean().optional(),
  channel: id,
  /** The OpenCode session of this channel, if there has been one. */
  opencodeSessionId: id.optional(),
  /** What a new OpenCode session should know of what went before. */
  continuationContext: z.string().optional(),
  /** How it waited, which the span of its work repeats. */
  queue: z.object({
    waitMs: millis,
    reason: z.string().max(64),
    mode: z.string().max(64),
    collectBufferMs: millis.optional(),
  }),
  ...traceContext,
};

/** Everything about one attempt to have a message, or one collected batch, worked on: one object from wire to handler. */
export const PromptDispatch = z.object({
  ...attempt,
  /** The message; in a collected batch the first. */
  messageId: id,
  /** All messages of a collected batch, in order; one for a plain message. */
  messageIds: z.array(id).min(1).max(1000),
  content: z.string(),
  author: z.object({ id: z.string().max(200), name: z.string().max(200).optional() }).optional(),
  attachments: z.array(Attachment).max(20).default([]),
  threadId: id.optional(),
  replyChannel: id.optional(),
});
export type PromptDispatch = z.infer<typeof PromptDispatch>;

/** Everything about one attempt to have a workflow executed. */
export const WorkflowDispatch = z.object({
  ...attempt,
  executionId: id,
  name: z.string().min(1).max(128),
  steps: z.array(WorkflowStep).min(1).max(MAX_WORKFLOW_STEPS),
  onFailure: z.enum(FAILURE_POLICIES),
  /** Where to begin, from 0: what comes before has been done in an earlier attempt. */
  firstStep: z.number().int().nonnegative().default(0),
});
export type WorkflowDispatch = z.infer<typeof WorkflowDispatch>;

/** The id of the provider behind the deployment's own, OpenAI-compatible endpoint. */
export const OWN_PROVIDER = "valet";

/** Returns a model as `provider/model`: a name without a provider can only be one of the deployment's own endpoint. */
export function withProvider(model: string): string {
  return model.includes("/") ? model : `${OWN_PROVIDER}/${model}`;
}

/** Keys of providers that OpenCode knows, by the variable it reads. */
export const PROVIDER_KEYS = [
  "ANTHROPIC_API_KEY",
  "OPENAI_API_KEY",
  "GEMINI_API_KEY",
  "GOOGLE_GENERATIVE_AI_API_KEY",
  "GROQ_API_KEY",
  "MISTRAL_API_KEY",
  "OPENROUTER_API_KEY",
  "XAI_API_KEY",
  "DEEPSEEK_API_KEY",
] as const;

/** In USD for a million tokens. */
export const ModelPrices = z.object({
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  cacheRead: z.number().nonnegative().optional(),
  cacheWrite: z.number().nonnegative().optional(),
});
export type ModelPrices = z.infer<typeof ModelPrices>;

/** What a turn may take at the most, and what is no sign that it goes in circles. */
export const TurnBounds = z.object({
  /** Model calls, retries and those of sub-agents included. */
  maxModelCalls: z.number().int().positive(),
  maxTurnMs: z.number().positive(),
  /** Tools that an agent may ask for the same again and again. */
  pollingTools: z.array(z.string().min(1).max(200)).max(100),
});
export type TurnBounds = z.infer<typeof TurnBounds>;

export const DEFAULT_TURN_BOUNDS: TurnBounds = {
  maxModelCalls: 500,
  maxTurnMs: 6 * 3_600_000,
  // How an agent looks after the work of its child sessions.
  pollingTools: ["list_sessions"],
};

/** How to reach models: the `OPENCODE_CONFIG_CONTENT` part that names providers, and the keys it refers to by variable. */
export const ModelAccess = z.object({
  /** The model to use when neither message nor session asks for one, as `provider/model`. */
  model: ModelRef,
  /** An OpenAI-compatible endpoint; its provider is {@link OWN_PROVIDER}. */
  openAiCompatible: z
    .object({
      baseUrl: z.url(),
      apiKey: z.string().optional(),
      /** Its models besides `model` that may be asked for; OpenCode refuses those it was not told of when it started. */
      models: z.array(ModelRef).max(50).optional(),
      /** What its models cost, in USD for a million tokens; without it a call's cost is not known. */
      prices: ModelPrices.optional(),
    })
    .optional(),
  /** Keys of providers that OpenCode knows, by environment variable. */
  providerKeys: z.record(z.string(), z.string()).default({}),
});
export type ModelAccess = z.infer<typeof ModelAccess>;

/** A question of the agent to a person, and the answers that it offers; others may be given too. */
export const AgentQuestion = z.object({
  question: z.string().max(2000),
  /** A few words for it. */
  header: z.string().max(200),
  options: z.array(z.object({ label: z.string().max(200), description: z.string().max(500) })).max(20),
  /** Whether more than one answer may be given. */
  multiple: z.boolean().optional(),
});
export type AgentQuestion = z.infer<typeof AgentQuestion>;
const MAX_QUESTIONS = 10;

/** To each question its answers, in their order. */
export const QuestionAnswers = z.array(z.array(z.string().max(2000)).max(20)).max(MAX_QUESTIONS);
export type QuestionAnswers = z.infer<typeof QuestionAnswers>;

/** What the SessionAgent sends. */
export const ToRunner = z.discriminatedUnion("type", [
  /** First after `hello`: what the runner needs to work. */
  z.object({
    type: z.literal("config"),
    sessionId: id,
    generation: z.number().int().positive(),
    modelAccess: ModelAccess,
    captureContent: z.boolean(),
    /** Whether the session records spans at all. */
    tracing: z.boolean(),
    /** Whether all of the repository's configuration of OpenCode counts, its plugins included. */
    trustRepositoryConfig: z.boolean().optional(),
    /** How long a turn may go without any event of the agent before it is ended as stuck. */
    stuckTurnMs: millis,
    /** The runner's own defaults where an older peer says nothing. */
    turnBounds: TurnBounds.optional(),
    /** What is left of the time that the sandbox has to be ready. Absent where none runs: the sandbox has been ready before. */
    startMs: millis.optional(),
    /** The runner's clock minus the SessionAgent's, measured at this connection's hello. */
    clockOffsetMs: z.number().optional(),
    /**
     * The generation's first runner has reached a stage that it takes secrets for: model keys and the repository's credentials
     * are not sent again. A successor in the same sandbox takes those that its predecessor kept.
     */
    hasSecrets: z.boolean().optional(),
  }),
  /** After `config`, always: what to have in the workspace. Without `repoUrl` it stays empty. */
  z.object({
    type: z.literal("repo-config"),
    repoUrl: z.string().max(2000).optional(),
    branch: z.string().max(255).optional(),
    ref: z.string().max(255).optional(),
    /** For https: kept out of spans, of `.git/config` and of the agent's environment. */
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
  /** The answers to what the agent asked; `null` where the person declines to answer. */
  z.object({ type: z.literal("question-reply"), questionId: id, answers: QuestionAnswers.nullable() }),
  /** Spans up to and with `seq` of this instance are durable. */
  z.object({ type: z.literal("spans-ack"), instanceId: id, seq: z.number().int().nonnegative() }),
  /** The `turn-ended` or `workflow-ended` of this attempt is durable. */
  z.object({ type: z.literal("turn-ended-ack"), attemptId: id }),
  /** The answer to the agent's request of this id; again if the request came again. */
  z.object({ type: z.literal("child-session-response"), requestId: id, answer: ChildSessionAnswer }),
  /** Asks what goes on in the background: `background` is the answer. */
  z.object({ type: z.literal("background-check"), requestId: id }),
  /** End turns, hand over what is left, exit; `stopped` is the answer. */
  z.object({ type: z.literal("shutdown"), reason: z.string().max(64) }),
  /** A frame was not understood and is ignored. Names the field, never its value. */
  z.object({ type: z.literal("error"), error: z.string().max(500) }),
  z.object({
    type: z.literal("refused"),
    reason: z.enum(["stale_generation", "token_refused", "superseded", "protocol_unsupported"]),
    /** With `protocol_unsupported`. */
    protocols: LinkProtocols.optional(),
  }),
]);
export type ToRunner = z.infer<typeof ToRunner>;
export type ToRunnerOf<T extends ToRunner["type"]> = Extract<ToRunner, { type: T }>;

const countOf = z.number().int().nonnegative();

/**
 * What one turn cost and gave, from the runner's monotonic clock: durations only. Tokens and cost are sums over the calls of
 * which they are known, and `null` where that comes to 0 and some are missing; the three counts at the end say what the sums lack, and
 * are absent where they are 0.
 */
export const TurnSummary = z.object({
  turnMs: millis,
  /** From the start of the first model call that answered to its first token. Whole milliseconds. */
  timeToFirstTokenMs: millis.optional(),
  /** Until a model was first called: what the agent does before that. Absent from an older peer. */
  prepareMs: millis.optional(),
  modelMs: millis,
  toolMs: millis,
  permissionWaitMs: millis,
  modelCalls: countOf,
  toolCalls: countOf,
  toolErrors: countOf,
  retries: countOf,
  tokens: z.object({
    /** Cached ones included. */
    input: millis.nullable(),
    /** Reasoning included. */
    output: millis.nullable(),
    cacheRead: millis.nullable(),
    cacheWrite: millis.nullable(),
    reasoning: millis.nullable(),
  }),
  costUsd: z.number().nonnegative().nullable(),
  /** Model calls that may have been charged, of which the provider has not said what they used. */
  callsWithoutUsage: countOf.optional(),
  /** Those, and those whose price is not known. */
  callsWithoutCost: countOf.optional(),
  /** Calls of which the provider counted a part as larger than its whole, or told figures that cannot be. */
  callsWithOddUsage: countOf.optional(),
  /** The model that gave the answer. */
  model: ModelRef.optional(),
});
export type TurnSummary = z.infer<typeof TurnSummary>;

/** What the runner sends. */
export const FromRunner = z.discriminatedUnion("type", [
  /** First on every connection. */
  z.object({
    type: z.literal("hello"),
    protocol: z.literal(LINK_PROTOCOL),
    instanceId: id,
    generation: z.number().int().positive(),
    /** The runner's wall clock, epoch ms: the difference to the object's is `valet.clock.offset_ms`. */
    clockMs: z.number(),
    /** Attempts that it is working on or has finished unacknowledged. */
    attempts: z.array(id).max(1000),
    /** Whether it has been idle or working before: no bootstrap is to be expected. */
    ready: z.boolean(),
    version: z.string().max(64),
  }),
  /** How far the bootstrap has come; the object knows the last one when the runner never gets ready. */
  z.object({
    type: z.literal("stage"),
    stage: z.enum(["connected", "opencode_starting", "git_setup", "ready", "failed"]),
    errorType: z.string().max(64).optional(),
  }),
  /** What is amiss though work goes on, all that this process knows; kept for the generation. Types that are not known are ignored. */
  z.object({ type: z.literal("warnings"), warnings: z.array(z.string().max(64)).max(20) }),
  /**
   * Work on the attempt's job begins, or began before this connection. `span` is `valet.turn` or
   * `valet.workflow.execute`, open, as `serialiseSpan` writes it, so that the object shows it at once; only the first counts, since
   * from then on span frames say what is open.
   */
  z.object({ type: z.literal("attempt-accepted"), attemptId: id, span: z.string().max(65_536).optional() }),
  z.object({ type: z.literal("attempt-refused"), attemptId: id, errorType: z.string().max(64) }),
  /** Live view of the answer; the last one of a part id counts. */
  z.object({ type: z.literal("part"), attemptId: id, part: MessagePart }),
  /** What was added to a part, which is told whole again every few seconds: whoever has less of it than `from` waits for that. */
  z.object({ type: z.literal("part-delta"), attemptId: id, delta: PartDelta }),
  /**
   * The attempt is worked on though nothing else is heard of it: its agent waits for a person, or for a tool that has a time limit
   * of its own. Sent whenever the runner's own watchdog finds that silence right, so that the object's does too.
   */
  z.object({ type: z.literal("working"), attemptId: id }),
  z.object({
    type: z.literal("permission-asked"),
    attemptId: id,
    permissionId: id,
    permission: z.string().max(200),
    /** What exactly, shown to people, never recorded. */
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
   * The agent asks for something about its child sessions. Sent until answered; the same id is the same request. The context
   * is that of the tool call that asks.
   */
  z.object({
    type: z.literal("child-session-request"),
    requestId: id,
    /** The attempt whose agent asks, if that is known: its channel is told what becomes of the child. */
    attemptId: id.optional(),
    request: ChildSessionRequest,
    ...traceContext,
  }),
  /** The agent is idle again. Sent until acknowledged. */
  z.object({
    type: z.literal("turn-ended"),
    attemptId: id,
    outcome: z.enum(["ok", "error", "aborted"]),
    errorType: z.string().max(64).optional(),
    /** Where every model failed: why the last one did, and which that was. */
    cause: z.string().max(64).optional(),
    causeOf: ModelRef.optional(),
    opencodeSessionId: id.optional(),
    parts: z.array(MessagePart).max(2000),
    /** Absent where nothing is known of the work. */
    summary: TurnSummary.optional(),
  }),
  /**
   * How far a step has come; the last one of an index counts. `span` is the step's own, open, where it has just begun.
   * Told again on a new connection; all that must not be lost is in `workflow-ended`.
   */
  z.object({
    type: z.literal("workflow-step"),
    attemptId: id,
    state: WorkflowStepState,
    span: z.string().max(65_536).optional(),
  }),
  /** No step is in work any more. Sent until acknowledged. */
  z.object({
    type: z.literal("workflow-ended"),
    attemptId: id,
    outcome: z.enum(["ok", "error", "aborted"]),
    errorType: z.string().max(64).optional(),
    /** What lies behind it, as in `turn-ended`. */
    cause: z.string().max(64).optional(),
    causeOf: ModelRef.optional(),
    opencodeSessionId: id.optional(),
    /** Of the steps that this attempt has begun or skipped, in order. */
    steps: z.array(WorkflowStepState).max(MAX_WORKFLOW_STEPS),
    /** Of all prompt steps together; absent where nothing is known of them. */
    summary: TurnSummary.optional(),
  }),
  /**
   * A span frame: an `ExportTraceServiceRequest` as OTLP/JSON text with about 50 ended spans, or none. Numbered from 1 within the
   * instance, sent in order and again until acknowledged; a successor delivers what its predecessor left under the
   * predecessor's instance id.
   */
  z.object({
    type: z.literal("spans"),
    instanceId: id,
    seq: z.number().int().positive(),
    otlp: z.string(),
    /**
     * Spans that are open by now and have been for a while, as `serialiseSpan` writes them; the last one of a span id counts.
     * They are in order with the ends: none of them has ended in this frame or one before it.
     */
    open: z.array(z.string().max(65_536)).max(MAX_OPEN_SPANS).optional(),
    /** What attempts have cost and done so far, where that has changed; kept if the runner is lost. */
    progress: z
      .array(z.object({ attemptId: id, summary: TurnSummary }))
      .max(100)
      .optional(),
  }),
  /** How many processes that the agent or a command has started go on without them. */
  z.object({ type: z.literal("background"), requestId: id, processes: z.number().int().nonnegative() }),
  z.object({ type: z.literal("stopped") }),
]);
export type FromRunner = z.infer<typeof FromRunner>;
export type FromRunnerOf<T extends FromRunner["type"]> = Extract<FromRunner, { type: T }>;

export type Parsed<T> = { readonly ok: true; readonly message: T } | { readonly ok: false; readonly error: string };

/**
 * What runners before version 0.3.0 call their frames. Modal's snapshots hold the runner, so that a session that wakes may run
 * one of them.
 */
const EARLIER_TYPES: ReadonlyMap<unknown, FromRunner["type"]> = new Map([
  ["prompt-accepted", "attempt-accepted"],
  ["prompt-refused", "attempt-refused"],
]);

const ReceivedFromRunner: z.ZodType<FromRunner> = z.preprocess((json) => {
  const type = typeof json === "object" && json !== null && "type" in json ? EARLIER_TYPES.get(json.type) : undefined;
  return type === undefined ? json : { ...(json as object), type };
}, FromRunner);

/** Reads a frame of the runner. Never throws; the error names the field and never its value. */
export function parseFromRunner(text: string): Parsed<FromRunner> {
  return parse(ReceivedFromRunner, text);
}

/** Reads a frame of the SessionAgent, likewise. */
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
