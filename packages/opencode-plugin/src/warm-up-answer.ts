/** What the model of a warm-up prompt answers: a word, in the protocol of the model's provider. */

const TEXT = "Ready.";
/** OpenCode retries no request that is answered with this. */
const REFUSED_STATUS = 400;

const CHAT_COMPLETION = sse(
  ...[{ role: "assistant", content: TEXT }, {}].map((delta, index) => ({
    id: "warm-up",
    object: "chat.completion.chunk",
    created: 0,
    model: "warm-up",
    choices: [{ index: 0, delta, finish_reason: index === 0 ? null : "stop" }],
    ...(index === 1 && { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }),
  })),
  "[DONE]",
);

const ANTHROPIC_MESSAGE = sse(
  {
    type: "message_start",
    message: {
      type: "message",
      id: "warm-up",
      role: "assistant",
      model: "warm-up",
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { input_tokens: 0, output_tokens: 0 },
    },
  },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: TEXT } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 0 } },
  { type: "message_stop" },
);

const OPENAI_ITEM = { type: "message", id: "msg_warm_up", role: "assistant", content: [] };
const OPENAI_RESPONSE = sse(
  { type: "response.created", response: { id: "resp_warm_up", created_at: 0, model: "warm-up" } },
  { type: "response.output_item.added", output_index: 0, item: OPENAI_ITEM },
  { type: "response.output_text.delta", output_index: 0, content_index: 0, item_id: OPENAI_ITEM.id, delta: TEXT },
  { type: "response.output_item.done", output_index: 0, item: OPENAI_ITEM },
  { type: "response.completed", response: { usage: { input_tokens: 0, output_tokens: 0 } } },
);

const GOOGLE_CONTENT = sse({
  candidates: [{ index: 0, content: { role: "model", parts: [{ text: TEXT }] }, finishReason: "STOP" }],
  usageMetadata: { promptTokenCount: 0, candidatesTokenCount: 0, totalTokenCount: 0 },
});

const STREAMS: Readonly<Record<string, string>> = {
  "@ai-sdk/openai-compatible": CHAT_COMPLETION,
  "@ai-sdk/anthropic": ANTHROPIC_MESSAGE,
  "@ai-sdk/openai": OPENAI_RESPONSE,
  "@ai-sdk/google": GOOGLE_CONTENT,
};

/**
 * Returns the answer to a warm-up's model call. Providers whose protocol is not known here refuse the request, after which
 * OpenCode is ready but for reading a stream.
 * @param provider the npm package of the model's provider
 */
export function warmUpAnswer(provider: string): Response {
  const stream = STREAMS[provider];
  if (stream !== undefined) return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  return Response.json({ error: { message: "This is a warm-up.", type: "warm_up" } }, { status: REFUSED_STATUS });
}

/** Server-sent events, with their types where they have any. */
function sse(...events: readonly (string | { readonly [key: string]: unknown })[]): string {
  return events
    .map((event) => {
      if (typeof event === "string") return `data: ${event}\n\n`;
      const type = event.type === undefined ? "" : `event: ${event.type}\n`;
      return `${type}data: ${JSON.stringify(event)}\n\n`;
    })
    .join("");
}
