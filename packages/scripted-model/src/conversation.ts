/** The properties of a request that rules can match, read from the request alone. */
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

/** The part of a Chat Completions request that the server reads; other fields are kept unchanged. */
export const chatRequestSchema = z.looseObject({
  model: z.string(),
  messages: z.array(messageSchema).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
});

export type ChatRequest = z.output<typeof chatRequestSchema>;

/** Who sends the request: OpenCode's title or compaction call, or any other caller. */
export type AgentKind = "worker" | "title" | "compaction";

/** The properties of a request that rules match. */
export interface Conversation {
  model: string;
  agent: AgentKind;
  lastUserText: string;
  /** Assistant messages with tool calls since the last user message: the responses of this turn so far. */
  rounds: number;
  /** Tool results since the last user message. */
  toolResults: number;
  /** Equal for retries of the same request only: another session, or one more message, changes it. */
  key: string;
}

/** The beginnings of the system prompts of the two calls that OpenCode 1.18 makes on its own. */
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
 * @param sessionId OpenCode's `x-session-id` header, which distinguishes two sessions with equal texts; other clients
 * send none.
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
