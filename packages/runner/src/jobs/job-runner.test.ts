/** Tests the port with another agent: its facts become the turn's spans and figures. */
import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { ValetSpans } from "@valet/shared/spans";
import { attributesToObject, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { dispatch } from "../../test/link-server.ts";
import type { Agent, AgentPrompt, AgentReply, PromptRequest } from "../agent/agent.ts";
import { AGENT_DIED } from "../agent/errors.ts";
import { FactLog } from "../agent/fact-log.ts";
import { type Ending, OK } from "../agent/facts.ts";
import { JobRunner } from "./job-runner.ts";

const PART: MessagePart = { type: "text", id: "part", text: "Echo." };

/** Answers every prompt immediately after a person's permission. */
class EchoAgent implements Agent {
  readonly restarts: string[] = [];
  readonly prompts: PromptRequest[] = [];
  readonly #ending: Ending;
  #onReply: (reply: AgentReply) => void = () => {};

  constructor(ending: Ending) {
    this.#ending = ending;
  }

  restart({ spanId }: { readonly spanId: string }): void {
    this.restarts.push(spanId);
  }

  async open() {
    return {
      id: "echo-session",
      isNew: true,
      prompt: (request: PromptRequest) => this.#prompt(request),
      reply: async (reply: AgentReply) => this.#onReply(reply),
    };
  }

  #prompt(request: PromptRequest): AgentPrompt {
    this.prompts.push(request);
    const { parent, attemptId, nowMs, onFacts, onPart, onAsked } = request;
    const spanId = "1".repeat(16);
    return {
      context: { ...parent.context, spanId },
      isWaiting: false,
      run: async () => {
        const log = new FactLog();
        const name = { "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "echo" } as const;
        log.begin("invoke_agent echo", spanId, undefined, nowMs(), name);
        onFacts(log.take());
        const replied = new Promise<AgentReply>((resolve) => {
          this.#onReply = resolve;
        });
        onAsked({ type: "permission-asked", attemptId, permissionId: "per", permission: "echo", detail: "" });
        await replied;
        onPart(PART.id);
        log.end(spanId, nowMs(), this.#ending);
        onFacts(log.take());
        return this.#ending;
      },
      abort: async () => {},
      part: () => PART,
      seenParts: () => [PART],
      readParts: async () => [PART],
      toolSpan: () => undefined,
      permitModelCall: async () => ({ isRefused: false }),
    };
  }
}

test.each<[string, Ending, number]>([
  ["succeeds", OK, 0],
  ["dies and is restarted", { outcome: "error", errorType: AGENT_DIED }, 1],
])("a turn of an agent that %s", async (_what, ending, restarts) => {
  const agent = new EchoAgent(ending);
  const spans: ReadableSpan[] = [];
  const parts: MessagePart[] = [];
  const runner = new JobRunner({
    agent,
    tracer: new Tracer<ValetSpans>({
      scope: { name: "test" },
      processor: { onStart: (span) => spans.push(span), onEnd: () => {} },
    }),
    captureContent: false,
    defaultModel: "valet/echo",
    stuckTurnMs: 10_000,
    workspace: "/nowhere",
    env: {},
    onPart: (_attemptId, part) => parts.push(part),
    onStep: () => {},
    onAsked: () => void runner.reply({ type: "permission-reply", permissionId: "per", reply: "once" }),
    onWorking: () => {},
  });
  const result = await runner.run(dispatch("att_1")).done;
  expect(result).toMatchObject({ outcome: ending.outcome, opencodeSessionId: "echo-session", parts: [PART] });
  expect(parts).toEqual([PART]);
  expect(agent.prompts.map(({ model, place }) => [model, place])).toEqual([["valet/echo", 1]]);
  expect(agent.restarts).toHaveLength(restarts);
  expect(spans.map(({ name }) => name)).toEqual(["valet.turn", "invoke_agent echo", "valet.turn.finalize"]);
  const outcomes = spans.map((span) => attributesToObject([...span.attributes])["valet.outcome"]);
  expect(outcomes).toEqual([ending.outcome, ending.outcome, "ok"]);
  expect(spans.every(({ endTime }) => endTime !== undefined)).toBe(true);
});
