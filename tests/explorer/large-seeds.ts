/** Much of everything: a conversation of 10,000 messages, 300 sessions of which 40 need somebody, 250 turns. */
import type { SessionView } from "../../packages/shared/src/protocol/session-view.ts";
import { TURN } from "../../packages/worker/test/turn-record.ts";
import { OWNER } from "./seeded.ts";
import type { MessageSeed, Seed, StatementSeed } from "./seeds.ts";

export const LONG_SESSION = "ses_long0000000000000000000000";
export const MESSAGES = 10_000;
export const SESSIONS = 300;
export const NEEDY = 40;
export const TURNS = 250;
export const REPOSITORY = "https://github.com/acme/shop";
/** As the person of a turn: markup, and text that runs backwards. */
export const HOSTILE_PERSON = "<img src=x onerror=alert(1)>\u202e";

const MINUTE_MS = 60_000;

export const messageId = (index: number) => `msg_${index}`;
export const traceOf = (index: number) => (index + 1).toString(16).padStart(32, "a");
const titleOf = (index: number) => `Session number ${index}`;
const branchOf = (index: number) => `feature/${index}`;
const sessionOf = (index: number) => `ses_many${String(index).padStart(22, "0")}`;
/** The one of them that a journey opens. */
export const OPENED = 120;
/** The session of all turns. */
export const TURN_SESSION = sessionOf(OPENED);

function message(index: number, nowMs: number): MessageSeed {
  const long = index % 50 === 0 ? "\n\n".concat("A paragraph that goes on for a while. ".repeat(40)) : "";
  return {
    id: messageId(index),
    content: `Question ${index}: what is next?${long}`,
    atMs: nowMs - (MESSAGES - index) * MINUTE_MS,
    channel: index % 7 === 0 ? "review" : "main",
    parts: [
      {
        type: "tool",
        id: `prt_tool_${index}`,
        tool: "bash",
        status: "completed",
        input: JSON.stringify({ command: `echo ${index}` }),
        output: `${index}`,
        duration_ms: index,
      },
      { type: "text", id: `prt_${index}`, text: `Answer ${index}, with **emphasis** and \`code\`.` },
    ],
  };
}

function session(index: number, nowMs: number): StatementSeed {
  const id = sessionOf(index);
  const at = new Date(nowMs - index * MINUTE_MS).toISOString();
  const isNeedy = index < NEEDY;
  const view: SessionView = {
    id,
    status: index % 3 === 0 ? "terminated" : "hibernated",
    title: titleOf(index),
    repoUrl: REPOSITORY,
    branch: branchOf(index),
    models: [],
    queueMode: "followup",
    idleTimeoutMs: MINUTE_MS,
    userId: index % 2 === 0 ? "mira" : "tom",
    agent: "none",
    queueLength: 0,
    generation: 1,
    permissions: [],
    questions: [],
    ...(isNeedy && {
      attention: {
        state: "failed",
        since: at,
        why: `The last message failed: \`provider_overloaded\` of number ${index}.`,
        nextStep: "Send it again.",
        command: null,
        rule: "job_failed",
        threshold_ms: null,
        value_ms: 0,
      },
    }),
    createdAt: at,
    updatedAt: at,
  };
  const values = {
    id,
    owner_id: OWNER,
    status: view.status,
    created_at: at,
    updated_at: at,
    version: 1,
    view: JSON.stringify(view),
  };
  return insert("sessions", values);
}

/** The newest took longest, the fourth was lost; of the first no time to the first token is known, and of none the cost. */
function turn(index: number, nowMs: number): StatementSeed {
  const at = new Date(nowMs - index * MINUTE_MS).toISOString();
  const { message_ids: _, queue_reasons: __, ...columns } = TURN;
  const values = {
    ...columns,
    owner_id: OWNER,
    attempt_id: `att_turn_${index}`,
    session_id: TURN_SESSION,
    message_ids: JSON.stringify([messageId(index)]),
    queue_reasons: "[]",
    trace_id: traceOf(index),
    accepted_at: at,
    dispatched_at: at,
    ended_at: at,
    queue_wait_ms: index,
    turn_ms: index === 0 ? 20_000 : 2_000,
    cost_usd: null,
    outcome: index === 3 ? "lost" : "ok",
    error_type: index === 3 ? "runner_lost" : null,
    user_id: index === 1 ? HOSTILE_PERSON : "mira",
    repository: REPOSITORY,
    answered_by: null,
    tools: null,
  };
  return insert("turns", values);
}

export function insert(table: string, values: Readonly<Record<string, string | number | null>>): StatementSeed {
  const marks = Object.keys(values).map(() => "?");
  const sql = `INSERT INTO ${table} (${Object.keys(values).join(", ")}) VALUES (${marks.join(", ")})`;
  return { sql, params: Object.values(values) };
}

export function largeSeed(nowMs: number): Seed {
  const many = <T>(count: number, one: (index: number, nowMs: number) => T) =>
    Array.from({ length: count }, (_, index) => one(index, nowMs));
  return {
    sessions: [
      { id: LONG_SESSION, ownerId: OWNER, title: "A long life", messages: many(MESSAGES, message), frames: [] },
      { id: TURN_SESSION, ownerId: OWNER, title: titleOf(OPENED), branch: branchOf(OPENED), messages: [], frames: [] },
    ],
    statements: [...many(SESSIONS, session).toSpliced(OPENED, 1), ...many(TURNS, turn)],
  };
}
