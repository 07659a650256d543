import type { FromRunner } from "../../packages/shared/src/protocol/runner-link.ts";
import { sessionAttributes } from "../../packages/shared/src/spans.ts";
import { encodeTraces, type ReadableSpan, SpanKind, Tracer } from "../../packages/shared/src/tracing/index.ts";

export const SESSION_ID = "ses_01k9z3v5wq8x7r2m4n6p0d1f3h";
/** As in the runner's outbox. */
export const FRAME_SPANS = 50;

export interface Load {
  readonly traceId: string;
  /** The frames to send over the WebSocket. */
  readonly frames: readonly string[];
}

/** The message that the load is about. */
const MESSAGE = { "valet.message.id": "msg_01k9z3v5wq8x7r2m4n6p0d1f3h" };

/** Returns the frames of a message with one long turn: model calls, and the tools that they call. */
export function makeLoad(frames: number): Load {
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "@valet/runner" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  });
  const session = sessionAttributes(SESSION_ID);
  const attributes = { ...session, ...MESSAGE };
  const prompt = tracer.startSpan("valet.prompt", { attributes });
  const dispatch = tracer.startSpan("valet.prompt.dispatch", { parent: prompt, attributes });
  const turn = tracer.startSpan("valet.turn", { kind: SpanKind.CONSUMER, parent: dispatch, attributes });
  const around = [turn, dispatch, prompt];
  const resource = { "service.name": "valet-runner", "service.instance.id": "run_bench", "service.version": "0.1.0" };
  const texts = Array.from({ length: frames }, (_, index) => {
    const calls = FRAME_SPANS - (index === frames - 1 ? around.length : 0);
    for (let i = 0; i < calls; i++) {
      const call = index * FRAME_SPANS + i;
      const span =
        i % 2 === 0
          ? tracer.startSpan("chat claude-sonnet-4-5", {
              kind: SpanKind.CLIENT,
              parent: turn,
              attributes: { ...session, ...modelCall(call) },
            })
          : tracer.startSpan("execute_tool bash", { parent: turn, attributes: { ...session, ...toolCall(call) } });
      if (i % 2 === 0) span.addEvent("gen_ai.first_token", { "valet.time_to_first_token_ms": 312 + (call % 400) });
      span.end();
    }
    if (calls < FRAME_SPANS) for (const span of around) span.end();
    const otlp = encodeTraces(resource, ended.splice(0));
    return JSON.stringify({ type: "spans", instanceId: "run_bench", seq: index + 1, otlp } satisfies FromRunner);
  });
  return { traceId: turn.context.traceId, frames: texts };
}

function modelCall(call: number) {
  return {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.response.id": `msg_${call.toString(36).padStart(24, "0")}`,
    "gen_ai.response.finish_reasons": ["tool_use"],
    "gen_ai.usage.input_tokens": 20_000 + call,
    "gen_ai.usage.output_tokens": 150 + (call % 900),
    "gen_ai.usage.cache_read.input_tokens": 18_000 + call,
    "gen_ai.usage.cache_write.input_tokens": call % 2000,
    "gen_ai.usage.cache_creation.input_tokens": call % 2000,
    "valet.cost_usd": 0.012 + call / 1e7,
    ...MESSAGE,
    "server.address": "api.anthropic.com",
    "server.port": 443,
  };
}

function toolCall(call: number) {
  return {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "bash",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.call.id": `toolu_${call.toString(36).padStart(24, "0")}`,
    "valet.tool.input_length": 64 + (call % 512),
    "valet.tool.output_length": 2048 + (call % 4096),
    ...MESSAGE,
    "valet.outcome": "ok",
  };
}
