/**
 * Parses the events of OpenCode's stream, only with the fields that the runner uses. It ignores events of other types or with
 * unexpected fields: OpenCode has many more, and another version may change them.
 */
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import { z } from "zod";
import type { ModelRequestEvent } from "./model-request.ts";

const id = z.string().min(1);
const ms = z.number();
/** The model's id of a tool call. Some servers provide none, for which OpenCode uses an empty one. */
const callId = z.string();

/**
 * A count that is not a number is unknown: OpenCode's sums of unknown counts are `null` in JSON. Other counts are the
 * provider's, even if impossible.
 */
const amount = z.number().catch(0);

export const Tokens = z.object({
  /** The provider's own count, if it has one. */
  total: z.number().optional().catch(undefined),
  input: amount,
  output: amount,
  reasoning: amount,
  cache: z.object({ read: amount, write: amount }),
});
export type Tokens = z.infer<typeof Tokens>;

/** An error. `data` quotes the provider, so it is recorded only where content is. */
export const AgentError = z.object({
  name: z.string(),
  data: z.object({ message: z.string().optional(), statusCode: z.number().optional() }).optional(),
});
export type AgentError = z.infer<typeof AgentError>;

const UserMessage = z.object({
  role: z.literal("user"),
  id,
  sessionID: id,
  time: z.object({ created: ms }),
  agent: z.string().optional(),
});

const AssistantMessage = z.object({
  role: z.literal("assistant"),
  id,
  sessionID: id,
  /** The user message that it answers. */
  parentID: id,
  time: z.object({ created: ms, completed: ms.optional() }),
  agent: z.string().optional(),
  providerID: z.string(),
  modelID: z.string(),
  finish: z.string().optional(),
  error: AgentError.optional(),
});

export const Message = z.discriminatedUnion("role", [UserMessage, AssistantMessage]);
export type UserMessage = z.infer<typeof UserMessage>;
export type AssistantMessage = z.infer<typeof AssistantMessage>;

const partBase = { id, messageID: id, sessionID: id };
const input = z.record(z.string(), z.unknown());
const metadata = z
  .object({
    /** `task`: the child session that does the work. */
    sessionId: z.string().optional().catch(undefined),
    /** `bash`: the command's exit code. */
    exit: z.number().nullable().optional().catch(undefined),
    /** What a running command has written so far; empty when it starts. */
    output: z.string().optional().catch(undefined),
  })
  .optional()
  .catch(undefined);

const ToolState = z.discriminatedUnion("status", [
  z.object({ status: z.literal("pending") }),
  z.object({
    status: z.literal("running"),
    input,
    title: z.string().optional(),
    metadata,
    time: z.object({ start: ms }),
  }),
  z.object({
    status: z.literal("completed"),
    input,
    output: z.string(),
    title: z.string().optional(),
    metadata,
    time: z.object({ start: ms, end: ms }),
  }),
  z.object({
    status: z.literal("error"),
    input,
    error: z.string(),
    metadata,
    time: z.object({ start: ms, end: ms }),
  }),
]);
export type ToolState = z.infer<typeof ToolState>;

const textPart = { ...partBase, text: z.string(), time: z.object({ start: ms, end: ms.optional() }).optional() };

export const Part = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text"), ...textPart, synthetic: z.boolean().optional() }),
  z.object({ type: z.literal("reasoning"), ...textPart }),
  z.object({ type: z.literal("tool"), ...partBase, tool: z.string(), callID: callId, state: ToolState }),
  z.object({ type: z.literal("step-start"), ...partBase }),
  z.object({ type: z.literal("step-finish"), ...partBase, reason: z.string(), cost: amount, tokens: Tokens }),
  z.object({ type: z.literal("compaction"), ...partBase, auto: z.boolean() }),
]);
export type Part = z.infer<typeof Part>;
export type ToolPart = Extract<Part, { type: "tool" }>;

const SessionStatus = z.discriminatedUnion("type", [
  z.object({ type: z.literal("idle") }),
  z.object({ type: z.literal("busy") }),
  z.object({ type: z.literal("retry"), attempt: z.number(), message: z.string(), next: ms }),
]);
export type SessionStatus = z.infer<typeof SessionStatus>;

const Question = z.object({
  question: z.string(),
  header: z.string().catch(""),
  options: z.array(z.object({ label: z.string(), description: z.string().catch("") })).catch([]),
  multiple: z.boolean().optional().catch(undefined),
});
export type Question = z.infer<typeof Question>;

const askedBy = z.object({ messageID: id, callID: callId }).optional();
const ofSession = { sessionID: id };

/** A permission request, in `permission.asked` and in the list of pending requests. */
const PermissionRequest = z.object({
  ...ofSession,
  id,
  permission: z.string(),
  patterns: z.array(z.string()).catch([]),
  metadata: z
    .object({
      /** `bash`: the whole command. Its patterns lack what is no command by itself, such as assignments. */
      command: z.string().optional().catch(undefined),
    })
    .optional()
    .catch(undefined),
  tool: askedBy,
});
/** Questions that the agent asks together. */
const QuestionRequest = z.object({ ...ofSession, id, questions: z.array(Question), tool: askedBy });

const event = <T extends string, P extends z.ZodType>(type: T, properties: P) =>
  z.object({ id: z.string().optional(), type: z.literal(type), properties });

const KnownEvent = z.discriminatedUnion("type", [
  event("server.connected", z.object({})),
  event("session.created", z.object({ ...ofSession, info: z.object({ parentID: z.string().optional() }) })),
  event("session.status", z.object({ ...ofSession, status: SessionStatus })),
  event("session.error", z.object({ sessionID: z.string().optional(), error: AgentError.optional() })),
  event("message.updated", z.object({ info: Message })),
  event("message.part.updated", z.object({ part: Part })),
  event(
    "message.part.delta",
    z.object({ ...ofSession, messageID: id, partID: id, field: z.string(), delta: z.string() }),
  ),
  event("permission.asked", PermissionRequest),
  event("permission.replied", z.object({ ...ofSession, requestID: id, reply: z.enum(["once", "always", "reject"]) })),
  event("question.asked", QuestionRequest),
  event("question.replied", z.object({ ...ofSession, requestID: id })),
  event("question.rejected", z.object({ ...ofSession, requestID: id })),
  // Also when the server has ended.
  event("mcp.tools.changed", z.object({})),
]);
/** Reported by Valet's plugin, not by OpenCode's stream. */
interface ProviderCallEvent {
  readonly id?: undefined;
  readonly type: "provider.call";
  readonly properties: { readonly sessionID: string; readonly call: ProviderCall };
}
/** Also from our plugin: a provider has sent bytes of an answer. That alone is no progress. */
interface ProviderBytesEvent {
  readonly id?: undefined;
  readonly type: "provider.bytes";
  readonly properties: { readonly sessionID: string; readonly atMs: number };
}
/** Derived from OpenCode's lists of pending requests: a request is no longer pending. Its answer is unknown. */
interface RequestClosedEvent {
  readonly id?: undefined;
  readonly type: "request.closed";
  readonly properties: { readonly sessionID: string; readonly requestID: string };
}
export type AgentEvent =
  | z.infer<typeof KnownEvent>
  | ModelRequestEvent
  | ProviderCallEvent
  | ProviderBytesEvent
  | RequestClosedEvent;
export type AgentEventOf<T extends AgentEvent["type"]> = Extract<AgentEvent, { type: T }>;
/** A request of the agent to a person. */
export type AskedEvent = AgentEventOf<"permission.asked"> | AgentEventOf<"question.asked">;

/** Parses an event of OpenCode; `undefined` if it is unknown or invalid. Never throws. */
export function readEvent(json: unknown): AgentEvent | undefined {
  return KnownEvent.safeParse(json).data;
}

/** Parses the answer of `GET /session/status`: the sessions that are not idle. Never throws. */
export function readStatuses(json: unknown): ReadonlyMap<string, SessionStatus> {
  const entries = Object.entries(z.record(z.string(), z.unknown()).safeParse(json).data ?? {});
  return new Map(
    entries.flatMap(([session, value]) => {
      const status = SessionStatus.safeParse(value).data;
      return status === undefined ? [] : [[session, status] as const];
    }),
  );
}

/** Parses the answers of `GET /permission` and `GET /question`, and returns the pending requests as events. Never throws. */
export function readPending(permissions: unknown, questions: unknown): AskedEvent[] {
  return [
    ...itemsOf(permissions, PermissionRequest).map((properties) => ({ type: "permission.asked", properties }) as const),
    ...itemsOf(questions, QuestionRequest).map((properties) => ({ type: "question.asked", properties }) as const),
  ];
}

function itemsOf<T extends z.ZodType>(json: unknown, schema: T): z.infer<T>[] {
  return (z.array(z.unknown()).safeParse(json).data ?? []).flatMap((item) => schema.safeParse(item).data ?? []);
}

/** Returns the OpenCode session of an event; `undefined` for an event of the whole server. */
export function sessionOf({ type, properties }: AgentEvent): string | undefined {
  if (type === "message.updated") return properties.info.sessionID;
  if (type === "message.part.updated") return properties.part.sessionID;
  return "sessionID" in properties ? properties.sessionID : undefined;
}

/** Ids of events contain 48 bits of `ms * 4096 + counter`. The time repeats every 2^36 ms, a little over two years. */
const ID_PERIOD_MS = 2 ** 36;

/**
 * Returns when OpenCode created an event, in epoch ms, according to its id. The runner may read it up to a second later, since
 * OpenCode sends events in batches.
 * @param readMs when it was read, which completes the id's time, and replaces it if there is none
 */
export function eventTime({ id }: { readonly id?: string | undefined }, readMs: number): number {
  const digits = /^evt_([0-9a-f]{12})/.exec(id ?? "")?.[1];
  if (digits === undefined) return readMs;
  const withinPeriod = Math.floor(Number.parseInt(digits, 16) / 4096);
  const madeMs = readMs - ((((readMs - withinPeriod) % ID_PERIOD_MS) + ID_PERIOD_MS) % ID_PERIOD_MS);
  // An id slightly later than the reader's clock would otherwise seem to be two years old.
  return readMs - madeMs > ID_PERIOD_MS / 2 ? madeMs + ID_PERIOD_MS : madeMs;
}
