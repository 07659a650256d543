/** What a rule can ask about a request, read from the request alone. */
import { createHash } from "node:crypto";
import { z } from "zod";

const contentSchema = z
  .union([z.string(), z.array(z.looseObject({ type: z.string(), text: z.string().optional() }))])
  .nullish();

const messageSchema = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: contentSchema,
  tool_calls: z.array(z.unknown()).nullish(),
});

type Message = z.output<typeof messageSchema>;

/** The part of a Chat Completions request that the server reads; the rest is kept as it came. */
export const chatRequestSchema = z.looseObject({
  model: z.string(),
  messages: z.array(messageSchema).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
});

export type ChatRequest = z.output<typeof chatRequestSchema>;

/** Who asks: OpenCode's title or compaction call beside a session's real work, or anyone else. */
export type AgentKind = "worker" | "title" | "compaction";

/** A request as a rule sees it. */
export interface Conversation {
  model: string;
  agent: AgentKind;
  lastUserText: string;
  /** Assistant messages with tool calls since the last user message: the responses of this turn so far. */
  rounds: number;
  /** Tool results since the last user message. */
  toolResults: number;
  /** The same for a retry of this request and for nothing else: another session or one more message changes it. */
  key: string;
}

/** The openings of the system prompts that OpenCode 1.18 gives to the two calls it makes of its own accord. */
const systemPrompts: [AgentKind, string][] = [
  ["title", "You are a title generator."],
  ["compaction", "You are a context summarization agent."],
];

function textOf(message: Message | undefined): string {
  const content = message?.content ?? "";
  if (typeof content === "string") return content;
  return content.flatMap((part) => (part.type === "text" ? [part.text ?? ""] : [])).join("\n");
}

function agentOf(messages: Message[]): AgentKind {
  const system = textOf(messages.find((message) => message.role === "system" || message.role === "developer"));
  return systemPrompts.find(([, opening]) => system.startsWith(opening))?.[0] ?? "worker";
}

/**
 * Reads a request.
 * @param sessionId OpenCode's `x-session-id` header, which parts two sessions with equal texts; absent for others.
 */
export function readConversation(request: ChatRequest, sessionId: string | undefined): Conversation {
  const { messages, model } = request;
  const lastUser = messages.findLastIndex((message) => message.role === "user");
  const turn = messages.slice(lastUser + 1);
  return {
    model,
    agent: agentOf(messages),
    lastUserText: textOf(messages[lastUser]),
    rounds: turn.filter((message) => message.role === "assistant" && (message.tool_calls?.length ?? 0) > 0).length,
    toolResults: turn.filter((message) => message.role === "tool").length,
    key: createHash("sha256")
      .update(JSON.stringify([sessionId, model, messages]))
      .digest("base64"),
  };
}
