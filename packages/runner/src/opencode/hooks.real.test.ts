/** The plugin's hooks in the real OpenCode, with the time that they have in a sandbox, while the runner does not answer them. */
import { parseScenario } from "@valet/scripted-model";
import { LIMITS } from "@valet/shared/limits";
import { attributesToObject, type ReadableSpan } from "@valet/shared/tracing";
import { expect, onTestFinished, test } from "vitest";
import { type LinkState, LossyLink } from "../../test/lossy-link.ts";
import { dispatchOf, MODEL, RealAgent } from "../../test/real-agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { shellAnswer } from "../opencode-agent.ts";
import { callRef, OpenCodeAgent, permitOf } from "./agent.ts";

const scenario = parseScenario(
  JSON.stringify({
    name: "hooks",
    rules: [
      {
        name: "environment",
        turn: [
          [{ tool: "bash", arguments: { command: "env" } }, { usage: { input: 100, output: 20 } }],
          [{ text: "That is all." }, { usage: { input: 150, output: 5 } }],
        ],
      },
    ],
  }),
  "hooks.real.test.ts",
);

async function setUp() {
  const real = new RealAgent();
  const link = new LossyLink();
  onTestFinished(async () => {
    await real.stop();
    await link.close();
  });
  await real.start({
    scenario,
    link,
    tools: {
      answer: async () => ({ ok: false, error: "There are no sessions here." }),
      permitModelCall: async (call) => permitOf(await runner.permitModelCall(callRef(call))),
      shellOf: (shell) => shellAnswer(runner, shell),
    },
    change: ({ tools }) =>
      tools === undefined ? {} : { tools: { ...tools, plugin: import.meta.resolve("@valet/opencode-plugin") } },
  });
  const runner = new JobRunner({
    agent: new OpenCodeAgent(real.opencode),
    tracer: real.tracer,
    captureContent: false,
    defaultModel: MODEL,
    stuckTurnMs: 60_000,
    workspace: real.workspace,
    env: process.env,
    onPart: () => {},
    onStep: () => {},
    onCommand: async () => {},
    onAsked: () => {},
    onWorking: () => {},
  });
  return { real, link, runner };
}

/** Returns the spans as lines `name outcome`, each indented below its parent. */
function treeOf(spans: readonly ReadableSpan[], parentId: string | undefined, indent = ""): string[] {
  const ids = new Set(spans.map(({ context }) => context.spanId));
  return spans
    .filter(({ parent }) => (ids.has(parent?.spanId ?? "") ? parent?.spanId : undefined) === parentId)
    .flatMap((span) => [
      `${indent}${span.name} ${attributesToObject([...span.attributes])["valet.outcome"]}`,
      ...treeOf(spans, span.context.spanId, `${indent}  `),
    ]);
}

test("hooks whose runner hangs or is gone change nothing for the agent but its context, and take no longer than they may", async () => {
  const { real, link, runner } = await setUp();
  const turn = async (state: LinkState) => {
    link.change(state);
    const [from, before] = [real.spans.length, real.model.requests().length];
    const startMs = performance.now();
    const { outcome, summary, parts } = await runner.run(dispatchOf("Show the environment.")).done;
    const lengthMs = performance.now() - startMs;
    const output = parts.flatMap((part) => (part.type === "tool" ? (part.output ?? "").split("\n") : []));
    const contexts = real.model
      .requests()
      .slice(before)
      .map(({ headers }) => typeof headers.traceparent);
    const hasContext = output.some((line) => line.startsWith("TRACEPARENT="));
    const { modelCalls, toolCalls, tokens } = summary;
    const kinds = parts.map(({ type }) => type);
    const tree = treeOf(real.spans.slice(from), undefined);
    return { did: { outcome, modelCalls, toolCalls, tokens, kinds, tree }, contexts, hasContext, lengthMs };
  };
  // Whether it has contexts depends on how busy this machine is.
  const usual = await turn("open");
  expect(usual.did).toMatchObject({ outcome: "ok", modelCalls: 2, toolCalls: 1 });
  for (const state of ["silent", "closed"] as const) {
    const without = await turn(state);
    expect(without).toMatchObject({ did: usual.did, contexts: ["undefined", "undefined"], hasContext: false });
    // As long as two calls would wait until the runner answers.
    expect(without.lengthMs - usual.lengthMs, state).toBeLessThan(2 * LIMITS.callPermitMs);
  }
}, 120_000);
