/** Tests the port with another agent: its facts become the turn's spans and figures. */
import { setTimeout as sleep } from "node:timers/promises";
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
      historyMayDiffer: false,
      readParts: async () => [PART],
      toolSpan: () => undefined,
      worksIn: () => false,
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
    onCommand: async () => {},
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

const MAX_TURN_MS = 1_000;

/** Waits for a person for longer than a turn may take. Then it ends, or works until it is aborted. */
class WaitingAgent implements Agent {
  readonly #worksOn: boolean;

  constructor(worksOn: boolean) {
    this.#worksOn = worksOn;
  }

  restart(): void {}

  async open() {
    return {
      id: "waiting-session",
      isNew: true,
      prompt: (request: PromptRequest) => this.#prompt(request),
      reply: async () => {},
    };
  }

  #prompt({ parent, nowMs, onFacts }: PromptRequest): AgentPrompt {
    const spanId = "2".repeat(16);
    const aborted = Promise.withResolvers<Ending>();
    let isWaiting = false;
    return {
      context: { ...parent.context, spanId },
      get isWaiting() {
        return isWaiting;
      },
      run: async () => {
        const log = new FactLog();
        const agent = { "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "waiting" } as const;
        const wait = "3".repeat(16);
        log.begin("invoke_agent waiting", spanId, undefined, nowMs(), agent);
        log.begin("valet.permission.wait", wait, spanId, nowMs(), {
          "valet.permission.id": "per",
          "valet.permission.type": "wait",
        });
        isWaiting = true;
        onFacts(log.take());
        await sleep(2 * MAX_TURN_MS);
        log.end(wait, nowMs(), OK);
        isWaiting = false;
        onFacts(log.take());
        const ending = this.#worksOn ? await aborted.promise : OK;
        log.end(spanId, nowMs(), ending);
        onFacts(log.take());
        return ending;
      },
      abort: async (ending) => aborted.resolve(ending),
      part: () => PART,
      seenParts: () => [PART],
      historyMayDiffer: false,
      readParts: async () => [PART],
      toolSpan: () => undefined,
      worksIn: () => false,
      permitModelCall: async () => ({ isRefused: false }),
    };
  }
}

test.each([
  ["is not ended by the turn's time limit", false, "ok", undefined],
  ["is ended once it has worked as long as a turn may", true, "error", "turn_time_limit"],
] as const)(
  "work that waited for a person for longer than a turn may take %s",
  async (_what, worksOn, outcome, type) => {
    const runner = new JobRunner({
      agent: new WaitingAgent(worksOn),
      tracer: new Tracer<ValetSpans>({ scope: { name: "test" }, processor: { onStart: () => {}, onEnd: () => {} } }),
      captureContent: false,
      defaultModel: "valet/waiting",
      stuckTurnMs: 10_000,
      turnBounds: { maxTurnMs: MAX_TURN_MS },
      workspace: "/nowhere",
      env: {},
      onPart: () => {},
      onStep: () => {},
      onCommand: async () => {},
      onAsked: () => {},
      onWorking: () => {},
    });
    const { errorType, summary, ...result } = await runner.run(dispatch("att_1")).done;
    expect([result.outcome, errorType]).toEqual([outcome, type]);
    // It had its whole time limit, not counting the wait.
    if (worksOn) expect(summary.turnMs - summary.permissionWaitMs).toBeGreaterThanOrEqual(MAX_TURN_MS - 1);
  },
);
