/** Converts a reply's steps into frames for the wire, without any I/O. */
import type { Reply, Step } from "./scenario.ts";

/** The `delta` of one Chat Completions chunk. */
export interface Delta {
  content?: string;
  reasoning_content?: string;
  tool_calls?: ToolCallDelta[];
}

/** A tool call, or a piece of its arguments; only the first piece has id, type and name. */
export interface ToolCallDelta {
  index: number;
  id?: string;
  type?: "function";
  function: { name?: string; arguments: string };
}

/**
 * The provider's `usage` object: `prompt_tokens` includes cached tokens, `completion_tokens` includes reasoning tokens.
 */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
}

/** The server's next action. Every reply ends with exactly one `finish`, `error`, `cut` or `hang`. */
export type Frame =
  | { type: "delta"; delta: Delta }
  | { type: "wait"; ms: number }
  | { type: "hold"; name: string }
  | { type: "comment" }
  | { type: "finish"; reason: string | undefined; usage: UsageSent | undefined }
  | { type: "error"; status: number; headers: Record<string, string>; body: unknown }
  | { type: "cut" }
  | { type: "hang" };

/** About four tokens, so that a sentence has several pieces. */
const pieceLength = 16;

/** Splits between code points, so that no piece holds half a surrogate pair. */
function pieces(text: string): string[] {
  const points = Array.from(text);
  const result: string[] = [];
  for (let start = 0; start < points.length; start += pieceLength) {
    result.push(points.slice(start, start + pieceLength).join(""));
  }
  return result;
}

function* paced(deltas: Delta[], chunkMs: number | undefined): Generator<Frame> {
  for (const [index, delta] of deltas.entries()) {
    if (index > 0 && chunkMs !== undefined) yield { type: "wait", ms: chunkMs };
    yield { type: "delta", delta };
  }
}

function toolDeltas(step: Extract<Step, { tool: string }>, index: number, id: string): Delta[] {
  const text = typeof step.arguments === "string" ? step.arguments : JSON.stringify(step.arguments);
  const first: ToolCallDelta = { index, id, type: "function", function: { name: step.tool, arguments: "" } };
  const rest = pieces(text).map((piece): ToolCallDelta => ({ index, function: { arguments: piece } }));
  return [first, ...rest].map((call) => ({ tool_calls: [call] }));
}

/** The usage to send: the providers' own shape, or the scenario's replacement. */
export type UsageSent = Usage | Readonly<Record<string, unknown>>;

type UsageStep = Extract<Step, { usage: unknown }>["usage"];

function usageOf({ input, output, cached, reasoning }: UsageStep): Usage {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
  };
}

/**
 * Plays a reply.
 * @param newCallId creates the id of each tool call.
 */
export function* framesOf(reply: Reply, newCallId: () => string): Generator<Frame> {
  let calls = 0;
  let finish: string | undefined;
  let usage: UsageSent | undefined;
  for (const step of reply) {
    if (step === "cut" || step === "hang") {
      yield { type: step };
      return;
    }
    if ("text" in step) {
      yield* paced(
        pieces(step.text).map((content) => ({ content })),
        step.chunkMs,
      );
    } else if ("reasoning" in step) {
      yield* paced(
        pieces(step.reasoning).map((piece) => ({ reasoning_content: piece })),
        step.chunkMs,
      );
    } else if ("tool" in step) {
      yield* paced(toolDeltas(step, calls++, step.id ?? newCallId()), step.chunkMs);
    } else if ("delayMs" in step) {
      yield { type: "wait", ms: step.delayMs };
    } else if ("hold" in step) {
      yield { type: "hold", name: step.hold };
    } else if ("ping" in step) {
      const { everyMs, forMs = Number.POSITIVE_INFINITY } = step.ping;
      for (let passedMs = 0; passedMs < forMs; passedMs += everyMs) {
        yield { type: "comment" };
        yield { type: "wait", ms: everyMs };
      }
      if (forMs === Number.POSITIVE_INFINITY) return;
    } else if ("usage" in step) {
      usage = usageOf(step.usage);
    } else if ("rawUsage" in step) {
      usage = step.rawUsage;
    } else if ("finish" in step) {
      finish = step.finish;
    } else if ("page" in step) {
      const { contentType, body } = step.page;
      yield { type: "error", status: 200, headers: { "content-type": contentType }, body };
      return;
    } else {
      const { status, headers, message, body } = step.error;
      yield { type: "error", status, headers, body: body ?? errorBody(status, message ?? `scripted ${status}`) };
      return;
    }
  }
  const reason = finish === "none" ? undefined : (finish ?? (calls > 0 ? "tool_calls" : "stop"));
  yield { type: "finish", reason, usage };
}

/** An error in the shape that OpenAI-compatible providers use. */
export function errorBody(status: number, message: string, code?: string): unknown {
  const type = status === 429 ? "rate_limit_error" : status < 500 ? "invalid_request_error" : "server_error";
  return { error: { message, type, param: null, code: code ?? null } };
}
