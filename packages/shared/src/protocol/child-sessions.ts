/**
 * The requests of a session's agent about its child sessions. A tool inside OpenCode calls the runner on loopback ({@link
 * ToolCall}), and the runner calls the SessionAgent over the link; both receive the same answer. The SessionAgent validates
 * repository and branch, as it does for the HTTP API.
 */
import { z } from "zod";

/** Even fully escaped, a text of this length fits into a frame of the link. In UTF-16 code units. */
const MAX_TEXT_LENGTH = 50_000;

const id = z.string().min(1).max(128);
const text = z.string().min(1).max(MAX_TEXT_LENGTH);

/** The arguments that spawn a child session. */
export const SpawnSession = z.object({
  prompt: text.describe(
    "The task of the new session. It does not see this conversation, so include everything that it needs to know",
  ),
  title: z.string().min(1).max(200).describe("A few words that distinguish it from other sessions").optional(),
  repo: z
    .string()
    .min(1)
    .max(2000)
    .describe("https or ssh URL of the git repository that it works on; your own repository by default")
    .optional(),
  branch: z.string().min(1).max(255).describe("The branch to check out").optional(),
});

export const MessageSession = z.object({
  session: id.describe("The id of the session"),
  message: text.describe("The message to send"),
});

export const EndSession = z.object({ session: id.describe("The id of the session") });

export const ChildSessionRequest = z.discriminatedUnion("action", [
  SpawnSession.extend({ action: z.literal("spawn") }),
  z.object({ action: z.literal("list") }),
  MessageSession.extend({ action: z.literal("message") }),
  EndSession.extend({ action: z.literal("end") }),
]);
export type ChildSessionRequest = z.infer<typeof ChildSessionRequest>;
/** The agent's tool for each action. The plugin defines one for each, and the object handles each. */
export const CHILD_SESSION_TOOLS = {
  spawn: "spawn_session",
  list: "list_sessions",
  message: "message_session",
  end: "end_session",
} as const satisfies Record<ChildSessionRequest["action"], string>;

export type ChildSessionRequestOf<A extends ChildSessionRequest["action"]> = Extract<
  ChildSessionRequest,
  { action: A }
>;

/** A child session, as its parent's agent reads it. */
export const ChildSession = z.object({
  id,
  title: z.string().max(200).optional(),
  /** The status of the API; absent if it was not looked up. */
  status: z.string().max(64).optional(),
  agent: z.string().max(64).optional(),
  queueLength: z.int().nonnegative().optional(),
  /** The known part of the cost; absent if nothing is known. */
  costUsd: z.number().nonnegative().optional(),
  /** Whether the cost lacks some calls. */
  isCostPartial: z.boolean().optional(),
});
export type ChildSession = z.infer<typeof ChildSession>;

export const ChildSessionAnswer = z.discriminatedUnion("ok", [
  /** The sessions of the request. */
  z.object({ ok: z.literal(true), sessions: z.array(ChildSession).max(100) }),
  /** An error text for the agent. It never quotes the request. */
  z.object({ ok: z.literal(false), error: z.string().max(1000) }),
]);
export type ChildSessionAnswer = z.infer<typeof ChildSessionAnswer>;

/** The body of a tool's request to the runner: the request, and the tool call of OpenCode that makes it. */
export const ToolCall = z.object({
  opencodeSessionId: id,
  messageId: id,
  /** The model's id of the call; some servers send an empty one. */
  callId: z.string().max(128),
  request: ChildSessionRequest,
});
export type ToolCall = z.infer<typeof ToolCall>;

const usd = z.number().nonnegative();

/** The last millisecond whose nanoseconds a span's times can hold (OTLP: `fixed64`). */
const MAX_EPOCH_MS = 18_446_744_073_709;
/** A time that a span may get, epoch ms. */
export const SpanTime = z.number().min(0).max(MAX_EPOCH_MS);

/** The kinds of tokens that have prices of their own. */
export const TokenKind = z.enum(["input", "output", "cacheRead", "cacheWrite"]);
export type TokenKind = z.infer<typeof TokenKind>;

/** A request to a provider, observed in OpenCode's process. It is reported when the response begins, and when it has ended. */
export const ProviderCall = z.object({
  callId: id,
  opencodeSessionId: id,
  /** When the response began, epoch ms. */
  startedMs: SpanTime,
  status: z.int(),
  endedMs: SpanTime.optional(),
  /** The provider's finish reason. */
  finish: z.string().max(64).optional(),
  /** Token counts in OpenCode's terms, also impossible ones; absent if the provider reported none. */
  tokens: z
    .object({
      total: z.number(),
      input: z.number(),
      output: z.number(),
      reasoning: z.number(),
      cache: z.object({ read: z.number(), write: z.number() }),
    })
    .optional(),
  costUsd: usd.optional(),
  /** The model's prices of input in USD per million tokens; absent if they are unknown, or depend on the input's length. */
  prices: z.object({ input: usd, cacheRead: usd, cacheWrite: usd }).optional(),
  /** The kinds of tokens without a price, of a model that has prices of others; absent if there are none. */
  unpriced: z.array(TokenKind).max(TokenKind.options.length).optional(),
});
export type ProviderCall = z.infer<typeof ProviderCall>;

/** A provider has sent bytes of an answer, text or not: comments and empty events count, too. */
export const ProviderBytes = z.object({
  opencodeSessionId: id,
  /** When they arrived, epoch ms. */
  atMs: SpanTime,
});
export type ProviderBytes = z.infer<typeof ProviderBytes>;

/**
 * The body of our plugin's request for permission to make a model call. It names OpenCode's session, the assistant message that
 * the call produces, and the user message that this one answers.
 */
export const ModelCallRef = z.object({ opencodeSessionId: id, messageId: id, userMessageId: id });
export type ModelCallRef = z.infer<typeof ModelCallRef>;

/** The response: the call's trace context, unless the runner does not know the call; and whether it must not be made. */
export const ModelCallPermit = z.object({
  traceparent: z.string().max(256).optional(),
  tracestate: z.string().max(4096).optional(),
  /** The hosts to which the call may carry the `tracestate`. */
  tracestateHosts: z.array(z.string().max(300)).max(100).optional(),
  /** The runner has decided to end the work that the call is for. */
  isRefused: z.literal(true).optional(),
});
export type ModelCallPermit = z.infer<typeof ModelCallPermit>;

/**
 * The end of the OpenCode message id of a warm-up prompt, by which the plugin knows it and answers its model call. All other
 * message ids end in random characters, and neither agents nor people choose them.
 */
export const WARM_UP_MARK = "0warmupbyvalet";
