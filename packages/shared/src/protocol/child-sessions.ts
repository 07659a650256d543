/**
 * What a session's agent may ask about the sessions that it spawns. A tool inside OpenCode asks the runner on loopback
 * ({@link ToolCall}), and the runner asks the SessionAgent over the link; both are answered alike. What is no repository or
 * branch the SessionAgent says, as it does to whoever calls the API.
 */
import { z } from "zod";

/** However it is escaped, it fits a frame of the link. */
const MAX_TEXT_LENGTH = 50_000;

const id = z.string().min(1).max(128);
const text = z.string().min(1).max(MAX_TEXT_LENGTH);

/** What a child session is spawned with. */
export const SpawnSession = z.object({
  prompt: text.describe(
    "What it is to do. It knows nothing of this conversation: say everything that it needs to know",
  ),
  title: z.string().min(1).max(200).describe("A few words by which to tell it from others").optional(),
  repo: z
    .string()
    .min(1)
    .max(2000)
    .describe("https or ssh URL of the git repository it works on; the one you work on unless given")
    .optional(),
  branch: z.string().min(1).max(255).describe("The branch that it begins with").optional(),
});

export const MessageSession = z.object({
  session: id.describe("The id of the session"),
  message: text.describe("What to say to it"),
});

export const EndSession = z.object({ session: id.describe("The id of the session") });

export const ChildSessionRequest = z.discriminatedUnion("action", [
  SpawnSession.extend({ action: z.literal("spawn") }),
  z.object({ action: z.literal("list") }),
  MessageSession.extend({ action: z.literal("message") }),
  EndSession.extend({ action: z.literal("end") }),
]);
export type ChildSessionRequest = z.infer<typeof ChildSessionRequest>;
export type ChildSessionRequestOf<A extends ChildSessionRequest["action"]> = Extract<
  ChildSessionRequest,
  { action: A }
>;

/** A child session, as its parent's agent sees it. */
export const ChildSession = z.object({
  id,
  title: z.string().max(200).optional(),
  /** As the API has it; none where it was not looked up. */
  status: z.string().max(64).optional(),
  agent: z.string().max(64).optional(),
  queueLength: z.int().nonnegative().optional(),
  /** As far as it is known; absent where it is not known at all. */
  costUsd: z.number().nonnegative().optional(),
  /** Whether some of its calls are not in the cost. */
  isCostPartial: z.boolean().optional(),
});
export type ChildSession = z.infer<typeof ChildSession>;

export const ChildSessionAnswer = z.discriminatedUnion("ok", [
  /** Those that the request was about. */
  z.object({ ok: z.literal(true), sessions: z.array(ChildSession).max(100) }),
  /** For the agent to read; never quotes what it sent. */
  z.object({ ok: z.literal(false), error: z.string().max(1000) }),
]);
export type ChildSessionAnswer = z.infer<typeof ChildSessionAnswer>;

/** The body of a tool's request to the runner: which call of which of OpenCode's sessions asks for what. */
export const ToolCall = z.object({
  opencodeSessionId: id,
  messageId: id,
  /** The model's own; some servers give an empty one. */
  callId: z.string().max(128),
  request: ChildSessionRequest,
});
export type ToolCall = z.infer<typeof ToolCall>;

const tokens = z.number().nonnegative();

/** What is known of a request to a provider, from within OpenCode's process; told when it is answered, and when it has ended. */
export const ProviderCall = z.object({
  callId: id,
  opencodeSessionId: id,
  /** When the answer began, epoch ms. */
  startedMs: z.number(),
  status: z.int(),
  endedMs: z.number().optional(),
  /** The provider's own word for why it ended. */
  finish: z.string().max(64).optional(),
  /** As OpenCode counts; absent where the provider has not said. */
  tokens: z
    .object({
      ...{ total: tokens, input: tokens, output: tokens, reasoning: tokens },
      cache: z.object({ read: tokens, write: tokens }),
    })
    .optional(),
  costUsd: tokens.optional(),
});
export type ProviderCall = z.infer<typeof ProviderCall>;

/** The body of our plugin's request for the context of a model call: the answer of which of OpenCode's sessions it is to give. */
export const ModelCallRef = z.object({ opencodeSessionId: id, messageId: id });
export type ModelCallRef = z.infer<typeof ModelCallRef>;

/** What it is answered; nothing where the runner knows no such call. */
export const ModelCallContext = z.object({
  traceparent: z.string().max(256).optional(),
  tracestate: z.string().max(4096).optional(),
});
export type ModelCallContext = z.infer<typeof ModelCallContext>;

/** Where the tools find the runner, and what they show it: variables of OpenCode's environment. */
export const TOOLS_URL_VARIABLE = "VALET_TOOLS_URL";
export const TOOLS_SECRET_VARIABLE = "VALET_TOOLS_SECRET";
/** Names, with commas between, of the variables that nothing may see that the agent starts. */
export const SECRET_VARIABLES_VARIABLE = "VALET_SECRET_VARIABLES";
/** `1` where the session trusts its repository: its code may run in the agent's process. */
export const TRUST_VARIABLE = "VALET_TRUSTS_REPOSITORY";
