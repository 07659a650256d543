/** A session that looks as if it had lived for months: its rows are copies of those of a few turns. */
import { globSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { copyRows, growOld, type Tables } from "../../packages/worker/test/long-session.ts";
import { Session } from "../session/session.ts";
import type { Surroundings } from "../session/surroundings.ts";
import type { Valet } from "../session/valet.ts";

/** What a session holds. */
export interface Age {
  readonly messages: number;
  readonly spans: number;
}

export interface AgedSession {
  readonly valet: Valet;
  readonly session: Session;
  /** What it holds, counted. */
  readonly age: Age;
}

/** The turns whose rows are copied. */
const TURNS = 10;
/** The length of a copied message, in characters. */
const MESSAGE_LENGTH = 3000;

/** Starts a system of its own with one session, whose agent is idle. */
export async function startAgedSession(surroundings: Surroundings, prompt: string, age: Age): Promise<AgedSession> {
  const first = await surroundings.startValet(true);
  const { id, leave } = await livedSession(first, surroundings.repoUrl, prompt);
  leave();
  await first.stop();
  const reached = makeOld(first.stateDir, id, age);
  const valet = await surroundings.startValet(true, first.stateDir);
  return { valet, session: await Session.wake(valet, id), age: reached };
}

/** Creates a session, takes a few turns, and hibernates it. */
export async function livedSession(valet: Valet, repoUrl: string, prompt: string) {
  const session = await Session.create(valet, repoUrl);
  for (let turn = 0; turn < TURNS; turn++) await session.turn(prompt);
  await session.hibernate();
  return { id: session.id, turns: TURNS, leave: () => session.leave() };
}

/** Copies the rows of the session and of its turns in D1, while nothing has the databases open. */
function makeOld(stateDir: string, id: string, age: Age): Age {
  let reached: Age | undefined;
  changeDatabases(stateDir, id, {
    session: (tables) => {
      reached = growSession(tables, age);
    },
    lists: (tables) =>
      copyRows(tables, { turns: { attempt_id: "attempt_id || '_' || i" } }, copiesFor(age.messages, TURNS)),
  });
  if (reached === undefined) throw new Error(`no database of the session ${id}`);
  return reached;
}

/** What to do with the database of a session's object, and with D1. */
interface Changes {
  readonly session: (tables: Tables) => void;
  readonly lists: (tables: Tables) => void;
}

/** Changes the databases of a system that has stopped: first that of a session, then D1. */
export function changeDatabases(stateDir: string, sessionId: string, { session, lists }: Changes): void {
  const each = (hasTable: string, change: (tables: Tables) => void) => {
    for (const path of globSync("**/*.sqlite", { cwd: stateDir })) {
      const database = new DatabaseSync(join(stateDir, path));
      try {
        const tables = tablesOf(database);
        if (tables.exec("SELECT 1 FROM sqlite_master WHERE name = ?", hasTable).toArray().length > 0) change(tables);
      } finally {
        database.close();
      }
    }
  };
  each("jobs", (tables) => {
    const query = "SELECT 1 FROM session WHERE json_extract(record, '$.id') = ?";
    if (tables.exec(query, sessionId).toArray().length > 0) session(tables);
  });
  each("tickets", lists);
}

function growSession(tables: Tables, age: Age): Age {
  const count = (query: string) => tables.exec(query).toArray()[0]?.count as number;
  const messages = () => count("SELECT COUNT(*) AS count FROM jobs");
  const spans = () => count("SELECT TOTAL(spans) AS count FROM trace_segments");
  growOld(tables, copiesFor(age.messages, messages()), copiesFor(age.spans, spans()));
  tables.exec("UPDATE jobs SET body = json_set(body, '$.content', ?)", "x".repeat(MESSAGE_LENGTH));
  return { messages: messages(), spans: spans() };
}

/** Returns how many copies of some rows make at least `wanted` of them, with the rows themselves. */
export function copiesFor(wanted: number, rows: number): number {
  return Math.max(0, Math.ceil(wanted / rows) - 1);
}

function tablesOf(database: DatabaseSync): Tables {
  return {
    exec: (query, ...values) => {
      const rows = database.prepare(query).all(...values);
      return { toArray: () => rows };
    },
  };
}
