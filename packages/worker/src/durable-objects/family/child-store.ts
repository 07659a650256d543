/** The tables of a session's children and of what its agent has asked about them. Rows only: what they mean is child-sessions.ts's. */
import type { ChildSessionAnswer } from "@valet/shared/protocol/child-sessions";
import type { CreateSession } from "@valet/shared/protocol/session-api";
import type { TerminateReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { ChildOrigin, ParentMessage } from "./family.ts";

/** `spawning` until its object has answered, `ending` from when it is to be terminated until its object has heard of it. */
export type ChildState = "spawning" | "open" | "ending" | "ended";

export interface ChildRow {
  readonly id: string;
  readonly state: ChildState;
  /** Where the parent's agent works that spawned it: its reports go there. */
  readonly channel: string;
  /** Why it is to be terminated. */
  readonly reason: TerminateReason | null;
}

/** What another object is asked for, with everything that it takes to ask again. */
export type PeerCall =
  | {
      readonly action: "spawn";
      readonly childId: string;
      readonly input: CreateSession;
      readonly origin: ChildOrigin;
      /** Whether the child works on the parent's repository, with what opens it: that is taken when the call is made. */
      readonly isOwnRepo?: boolean;
      /** The attempt whose agent asked, if that is known. */
      readonly attemptId?: string;
      /** Of `valet.child_session.spawn`, which is open. */
      readonly span: SpanContext;
    }
  | { readonly action: "message"; readonly childId: string; readonly message: ParentMessage };

export interface RequestRow {
  readonly id: string;
  /** None as long as another session is called for it. */
  readonly answer: ChildSessionAnswer | null;
}

/** Answered requests that are remembered, should they come again. */
const MAX_ANSWERED = 200;

export class ChildStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Does nothing if it is there. */
  addChild(id: string, state: ChildState, channel: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO children VALUES (?, ?, ?, NULL)", id, state, channel);
  }

  child(id: string): ChildRow | undefined {
    const [row] = this.#sql.exec("SELECT * FROM children WHERE id = ?", id).toArray();
    return row as ChildRow | undefined;
  }

  /** Those that have not ended. */
  children(): ChildRow[] {
    return this.#sql.exec("SELECT * FROM children WHERE state <> 'ended'").toArray() as unknown as ChildRow[];
  }

  updateChild(id: string, { state, reason }: Partial<Pick<ChildRow, "state" | "reason">>): void {
    this.#sql.exec(
      "UPDATE children SET state = COALESCE(?, state), reason = COALESCE(?, reason) WHERE id = ?",
      ...[state ?? null, reason ?? null, id],
    );
  }

  removeChild(id: string): void {
    this.#sql.exec("DELETE FROM children WHERE id = ?", id);
  }

  addRequest(id: string, answer: ChildSessionAnswer | null): void {
    this.#sql.exec("INSERT INTO child_requests (id, answer) VALUES (?, ?)", ...[id, answer && JSON.stringify(answer)]);
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
