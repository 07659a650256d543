/** The tables of a session's children and of its agent's requests. Rows only; child-sessions.ts gives them meaning. */
import type { ChildSessionAnswer } from "@valet/shared/protocol/child-sessions";
import type { CreateSession } from "@valet/shared/protocol/session-api";
import type { TerminateReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { ChildOrigin, ParentMessage } from "./family.ts";

/**
 * `spawning` until the child's object has answered; `ending` from the decision to terminate it until its object has
 * acknowledged.
 */
export type ChildState = "spawning" | "open" | "ending" | "ended";

export interface ChildRow {
  readonly id: string;
  readonly state: ChildState;
  /** The channel of the parent's agent that spawned the child, which receives its reports. */
  readonly channel: string;
  /** Why the child is terminated. */
  readonly reason: TerminateReason | null;
}

/** A call of another object, with everything that a retry takes. */
export type PeerCall =
  | {
      readonly action: "spawn";
      readonly childId: string;
      readonly input: CreateSession;
      readonly origin: ChildOrigin;
      /**
       * Whether the child works on the parent's repository with the parent's credentials, which are read when the call
       * is made.
       */
      readonly isOwnRepo?: boolean;
      /** The attempt of the requesting agent, if known. */
      readonly attemptId?: string;
      /** For whom that attempt works. */
      readonly userId?: string;
      /** The context of the open `valet.child_session.spawn`. */
      readonly span: SpanContext;
    }
  | {
      readonly action: "message";
      readonly childId: string;
      readonly message: ParentMessage;
      /** For whom the agent that sends it works. */
      readonly userId?: string;
    };

export interface RequestRow {
  readonly id: string;
  /** `null` while the call of the other session is pending. */
  readonly answer: ChildSessionAnswer | null;
}

/** How many answered requests are remembered, in case they are repeated. */
const MAX_ANSWERED = 200;

export class ChildStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Adds a child; does nothing if it exists. */
  addChild(id: string, state: ChildState, channel: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO children (id, state, channel) VALUES (?, ?, ?)", id, state, channel);
  }

  child(id: string): ChildRow | undefined {
    const [row] = this.#sql.exec("SELECT * FROM children WHERE id = ?", id).toArray();
    return row as ChildRow | undefined;
  }

  /** Returns the children that have not ended. */
  children(): ChildRow[] {
    return this.#sql.exec("SELECT * FROM children WHERE state <> 'ended'").toArray() as unknown as ChildRow[];
  }

  /** Returns the next of all children that the session has had. @param after the number of the last one */
  childrenAfter(after: number, limit: number): (ChildRow & { readonly seq: number })[] {
    const rows = this.#sql.exec("SELECT * FROM children WHERE seq > ? ORDER BY seq LIMIT ?", after, limit);
    return rows.toArray() as unknown as (ChildRow & { readonly seq: number })[];
  }

  /** Returns how many children follow one. */
  countAfter(after: number): number {
    return this.#sql.exec("SELECT COUNT(*) AS count FROM children WHERE seq > ?", after).one().count as number;
  }

  /** Returns the ids of the newest children, the newest last. */
  newestIds(limit: number): string[] {
    const rows = this.#sql.exec("SELECT id FROM children ORDER BY seq DESC LIMIT ?", limit).toArray();
    return rows.map(({ id }) => id as string).reverse();
  }

  updateChild(id: string, { state, reason }: Partial<Pick<ChildRow, "state" | "reason">>): void {
    this.#sql.exec(
      "UPDATE children SET state = COALESCE(?, state), reason = COALESCE(?, reason) WHERE id = ?",
      state ?? null,
      reason ?? null,
      id,
    );
  }

  removeChild(id: string): void {
    this.#sql.exec("DELETE FROM children WHERE id = ?", id);
  }

  addRequest(id: string, answer: ChildSessionAnswer | null): void {
    this.#sql.exec("INSERT INTO child_requests (id, answer) VALUES (?, ?)", id, answer && JSON.stringify(answer));
    this.#sql.exec(
      "DELETE FROM child_requests WHERE answer IS NOT NULL AND seq <= (SELECT MAX(seq) FROM child_requests) - ?",
      MAX_ANSWERED,
    );
  }

  request(id: string): RequestRow | undefined {
    const [row] = this.#sql.exec("SELECT answer FROM child_requests WHERE id = ?", id).toArray();
    if (row === undefined) return undefined;
    return { id, answer: row.answer === null ? null : (JSON.parse(row.answer as string) as ChildSessionAnswer) };
  }

  answerRequest(id: string, answer: ChildSessionAnswer): void {
    this.#sql.exec("UPDATE child_requests SET answer = ? WHERE id = ?", JSON.stringify(answer), id);
  }
}
