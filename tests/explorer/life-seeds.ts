/** A session that lived for six days: 420 turns on two channels, a hibernation each night, and a runner that was lost on the third day. */
import { TURN } from "../../packages/worker/test/turn-record.ts";
import { framesOf } from "./hostile-trace.ts";
import { insert } from "./large-seeds.ts";
import { OWNER } from "./seeded.ts";
import type { FrameSeed, MessageSeed, Seed, SessionSeed, StatementSeed, WorkflowSeed } from "./seeds.ts";

export const LIFE_SESSION = "ses_life0000000000000000000000";
export const DAYS = 6;
export const TURNS_A_DAY = 70;
/** Of the third day: its runner was lost in it, and another one went on. */
const LOST_TURN = 2 * TURNS_A_DAY + 40;

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** From one turn to the next. */
const APART_MS = 6 * MINUTE_MS;
export const RESTORE_MS = 8_400;
const TURN_MS = 2 * MINUTE_MS;

type Spans = Parameters<typeof framesOf>[0];
type Attributes = Spans[number]["attributes"];

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
export const lifeMessageId = (index: number) => `msg_life_${index}`;
/** As `seeding-worker.ts` gives it to a message. */
const traceOf = (index: number) => hex(index + 1, 32);

let ids = 0;

function span(name: string, startMs: number, lastedMs: number, parentSpanId?: string, attributes: Attributes = {}) {
  ids += 1;
  const startUs = Math.round(startMs * 1_000);
  return {
    ...{
      spanId: hex(ids, 16).replace(/^0/, "f"),
      name,
      kind: 1,
      startUs,
      endUs: startUs + lastedMs * 1_000,
      attributes,
    },
    ...{ outcome: "ok" as const, isError: false, isSealed: false, links: [] },
    ...(parentSpanId !== undefined && { parentSpanId }),
  };
}

function turnSpans(index: number, atMs: number): Spans {
  const prompt = { ...span("valet.prompt", atMs, TURN_MS), spanId: hex(index + 1, 16) };
  const turn = span("valet.turn", atMs + 50, TURN_MS - 100, prompt.spanId);
  const chat = (fromMs: number, lastedMs: number) =>
    span("chat claude-sonnet-4-5", fromMs, lastedMs, turn.spanId, {
      "gen_ai.usage.input_tokens": 8_000 + 60 * (index % TURNS_A_DAY),
      "gen_ai.usage.output_tokens": 210,
    });
  const tool = span("execute_tool bash", atMs + 30_000, 60_000, turn.spanId, { "gen_ai.tool.name": "bash" });
  return [prompt, turn, chat(atMs + 100, 29_000), tool, chat(atMs + 91_000, 28_000)];
}

/** What the records of all turns have in common. */
function turnColumns(atMs: number, lastedMs: number) {
  const { message_ids: _, queue_reasons: __, ...columns } = TURN;
  return {
    ...columns,
    owner_id: OWNER,
    queue_reasons: "[]",
    accepted_at: new Date(atMs).toISOString(),
    dispatched_at: new Date(atMs + 20).toISOString(),
    ended_at: new Date(atMs + lastedMs).toISOString(),
    queue_wait_ms: 20,
    turn_ms: lastedMs,
    cost_usd: 0.03,
    tools: null,
    answered_by: null,
  };
}

function turnRecord(index: number, atMs: number): StatementSeed {
  const isLost = index === LOST_TURN;
  return insert("turns", {
    ...turnColumns(atMs, TURN_MS),
    attempt_id: `att_life_${index}`,
    session_id: LIFE_SESSION,
    message_ids: JSON.stringify([lifeMessageId(index)]),
    trace_id: traceOf(index),
    channel: channelOf(index),
    outcome: isLost ? "lost" : "ok",
    error_type: isLost ? "runner_lost" : null,
  });
}

const channelOf = (index: number) => (index % 5 === 0 ? "review" : "main");

function message(index: number, atMs: number): MessageSeed {
  return {
    id: lifeMessageId(index),
    content: `Step ${index}: mend the next flaky test, and say what was wrong with it.`,
    atMs,
    lastedMs: TURN_MS,
    channel: channelOf(index),
    parts: [{ type: "text", id: `prt_life_${index}`, text: `Step ${index} is done: the test waited for a clock.` }],
  };
}

/** The workflow of the last day, whose second step failed, and the sessions that the agent spawned on it. */
const WORKFLOW = "wfx_life_checks";
export const WORKFLOW_NAME = "Checks of the day";
export const CHILDREN = ["Find the flaky test", "Read the logs"] as const;
const WORKFLOW_MS = 4 * MINUTE_MS;

function workflow(atMs: number, seq: number): { seed: WorkflowSeed; spans: Spans; record: StatementSeed } {
  const steps = [
    { name: "lint", run: "npm run lint", exitCode: 0 },
    { name: "test", run: "npm test", exitCode: 1 },
  ];
  const root = { ...span("valet.workflow", atMs, WORKFLOW_MS), spanId: hex(seq, 16) };
  const execute = span("valet.workflow.execute", atMs + 50, WORKFLOW_MS - 100, root.spanId);
  const stepMs = (WORKFLOW_MS - 200) / steps.length;
  const runs = steps.map(({ name }, index) =>
    span(`valet.workflow.step ${name}`, atMs + 100 + index * stepMs, stepMs, execute.spanId),
  );
  const record = { ...turnColumns(atMs, WORKFLOW_MS), attempt_id: `att_${WORKFLOW}`, trace_id: hex(seq, 32) };
  return {
    seed: { id: WORKFLOW, name: WORKFLOW_NAME, atMs, lastedMs: WORKFLOW_MS, channel: "checks", steps },
    spans: [root, execute, ...runs],
    record: insert("turns", {
      ...record,
      session_id: LIFE_SESSION,
      message_ids: JSON.stringify([WORKFLOW]),
      channel: "checks",
      outcome: "error",
      error_type: "workflow_step_failed",
    }),
  };
}

/** A session that the agent spawned, with one turn. */
function child(index: number, atMs: number): { session: SessionSeed; record: StatementSeed } {
  const id = `ses_child${String(index).padStart(21, "0")}`;
  const messageId = `msg_child_${index}`;
  const one = { ...message(0, atMs), id: messageId, channel: "main" };
  const frames = framesOf(turnSpans(0, atMs), traceOf(0), id);
  const title = CHILDREN[index] ?? "";
  return {
    session: { id, ownerId: OWNER, title, parentSessionId: LIFE_SESSION, messages: [one], frames },
    record: insert("turns", {
      ...turnColumns(atMs, TURN_MS),
      attempt_id: `att_${messageId}`,
      session_id: id,
      message_ids: JSON.stringify([messageId]),
      trace_id: traceOf(0),
      channel: "main",
      outcome: "ok",
      error_type: null,
    }),
  };
}

/** @param nowMs the last turn ended an hour before */
export function lifeSeed(nowMs: number): Seed {
  ids = 0;
  const endMs = nowMs - 60 * MINUTE_MS;
  const workMs = TURNS_A_DAY * APART_MS;
  const messages: MessageSeed[] = [];
  const frames: FrameSeed[] = [];
  const statements: StatementSeed[] = [];
  let operations = 0;
  const operate = (name: string, startMs: number, lastedMs: number) => {
    operations += 1;
    frames.push(...framesOf([span(name, startMs, lastedMs)], hex(operations, 32).replace(/^0/, "e"), LIFE_SESSION));
  };
  for (let day = 0; day < DAYS; day++) {
    const beganMs = endMs - (DAYS - 1 - day) * DAY_MS - workMs;
    operate(day === 0 ? "valet.sandbox.spawn" : "valet.sandbox.restore", beganMs - RESTORE_MS - 100, RESTORE_MS);
    for (let step = 0; step < TURNS_A_DAY; step++) {
      const index = day * TURNS_A_DAY + step;
      const atMs = beganMs + step * APART_MS;
      messages.push(message(index, atMs));
      frames.push(...framesOf(turnSpans(index, atMs), traceOf(index), LIFE_SESSION));
      statements.push(turnRecord(index, atMs));
      if (index === LOST_TURN) operate("valet.sandbox.restore", atMs + TURN_MS + 100, RESTORE_MS);
    }
    operate("valet.sandbox.hibernate", beganMs + workMs, 4_000);
  }
  const checks = workflow(endMs - 20 * MINUTE_MS, messages.length + 1);
  frames.push(...framesOf(checks.spans, hex(messages.length + 1, 32), LIFE_SESSION));
  const children = CHILDREN.map((_, index) => child(index, endMs - (60 + 20 * index) * MINUTE_MS));
  const workflows = [checks.seed];
  const warnings = ["mcp_server_failed"] as const;
  const session = {
    id: LIFE_SESSION,
    ownerId: OWNER,
    title: "Six days of mending",
    warnings,
    messages,
    workflows,
    frames,
  };
  return {
    sessions: [session, ...children.map(({ session }) => session)],
    statements: [...statements, checks.record, ...children.map(({ record }) => record)],
  };
}
