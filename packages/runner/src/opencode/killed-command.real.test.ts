/** Commands of the real OpenCode's shell tool that a signal kills. */
import { constants } from "node:os";
import { parseScenario } from "@valet/scripted-model";
import { attributesToObject } from "@valet/shared/tracing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dispatchOf, MODEL, RealAgent } from "../../test/real-agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { OpenCodeAgent } from "./agent.ts";

const { SIGKILL, SIGTERM } = constants.signals;
/** The first of the signals that have no name. */
const REAL_TIME = 34;
const commands: readonly (readonly [command: string, exitCode: number])[] = [
  ["kill -9 $$", 128 + SIGKILL],
  // A shell replaces itself with the only command that it has.
  ["exec sh -c 'kill -9 $$'", 128 + SIGKILL],
  ["sh -c 'kill -15 $$'", 128 + SIGTERM],
  ["sh -c 'kill -9 $$'; exit", 128 + SIGKILL],
  [`kill -${REAL_TIME} $$`, 128 + REAL_TIME],
  ["exit 7", 7],
];

const real = new RealAgent();
let runner: JobRunner;

beforeAll(async () => {
  const rules = commands.map(([command], index) => ({
    name: `command ${index}`,
    when: { userContains: `[${index}]` },
    turn: [[{ tool: "bash", arguments: { command } }], [{ text: "Done." }]],
  }));
  await real.start({
    scenario: parseScenario(JSON.stringify({ name: "killed", rules }), "killed"),
    tools: { answer: async () => ({ ok: false, error: "none" }), permitModelCall: async () => ({}) },
  });
  runner = new JobRunner({
    agent: new OpenCodeAgent(real.opencode),
    tracer: real.tracer,
    captureContent: false,
    defaultModel: MODEL,
    stuckTurnMs: 20_000,
    workspace: real.workspace,
    env: process.env,
    onPart: () => {},
    onStep: () => {},
    onCommand: async () => {},
    onWorking: () => {},
    onAsked: () => {},
  });
}, 90_000);

afterAll(() => real.stop());

test.each(commands.map(([command, exitCode], index) => ({ command, exitCode, index })))(
  "`$command` ends at once, with the exit code $exitCode",
  async ({ exitCode, index }) => {
    const from = real.spans.length;
    // OpenCode's own limit for a command is longer than this test's.
    const result = await runner.run(dispatchOf(`[${index}]`)).done;
    expect(result).toMatchObject({ outcome: "ok" });
    const tools = real.spans.slice(from).filter(({ name }) => name === "execute_tool bash");
    expect(tools.map(({ attributes }) => attributesToObject([...attributes]))).toMatchObject([
      { "valet.outcome": "ok", "process.exit.code": exitCode },
    ]);
  },
  60_000,
);
