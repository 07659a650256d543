/** A session that lived for six days: 420 turns on two channels, a hibernation each night, and a runner that was lost on the third day. */
import { TURN } from "../../packages/worker/test/turn-record.ts";
import { framesOf } from "./hostile-trace.ts";
import { insert } from "./large-seeds.ts";
import { OWNER } from "./seeded.ts";
import type { FrameSeed, MessageSeed, Seed, StatementSeed } from "./seeds.ts";

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

function turnRecord(index: number, atMs: number): StatementSeed {
  const { message_ids: _, queue_reasons: __, ...columns } = TURN;
  const isLost = index === LOST_TURN;
  return insert("turns", {
    ...columns,
    owner_id: OWNER,
    attempt_id: `att_life_${index}`,
    session_id: LIFE_SESSION,
    message_ids: JSON.stringify([lifeMessageId(index)]),
    queue_reasons: "[]",
    trace_id: traceOf(index),
    channel: channelOf(index),
    accepted_at: new Date(atMs).toISOString(),
    dispatched_at: new Date(atMs + 20).toISOString(),
    ended_at: new Date(atMs + TURN_MS).toISOString(),
    queue_wait_ms: 20,
    turn_ms: TURN_MS,
    cost_usd: 0.03,
    outcome: isLost ? "lost" : "ok",
    error_type: isLost ? "runner_lost" : null,
    tools: null,
    answered_by: null,
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
  const session = { id: LIFE_SESSION, ownerId: OWNER, title: "Six days of mending", messages, frames };
  return { sessions: [session], statements };
}
