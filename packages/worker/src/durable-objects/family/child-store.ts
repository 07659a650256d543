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
  /** Calls to tell it so that came to nothing. */
  readonly tries: number;
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
  /** None where it was answered at once. */
  readonly call: PeerCall | null;
  readonly answer: ChildSessionAnswer | null;
  readonly tries: number;
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
    this.#sql.exec("INSERT OR IGNORE INTO children VALUES (?, ?, ?, NULL, 0)", id, state, channel);
  }

  child(id: string): ChildRow | undefined {
    const [row] = this.#sql.exec("SELECT * FROM children WHERE id = ?", id).toArray();
    return row as ChildRow | undefined;
  }

  /** Those that have not ended. */
  children(): ChildRow[] {
    return this.#sql.exec("SELECT * FROM children WHERE state <> 'ended'").toArray() as unknown as ChildRow[];
  }

  updateChild(id: string, { state, reason, tries }: Partial<ChildRow>): void {
    this.#sql.exec(
      "UPDATE children SET state = COALESCE(?, state), reason = COALESCE(?, reason), tries = COALESCE(?, tries) WHERE id = ?",
      ...[state ?? null, reason ?? null, tries ?? null, id],
    );
  }

  removeChild(id: string): void {
    this.#sql.exec("DELETE FROM children WHERE id = ?", id);
  }

  addRequest(id: string, call: PeerCall | null, answer: ChildSessionAnswer | null): void {
    this.#sql.exec(
      "INSERT INTO child_requests (id, call, answer, tries) VALUES (?, ?, ?, 0)",
      ...[id, JSON.stringify(call), answer && JSON.stringify(answer)],
    );
    this.#sql.exec(
      "DELETE FROM child_requests WHERE answer IS NOT NULL AND seq <= (SELECT MAX(seq) FROM child_requests) - ?",
      MAX_ANSWERED,
    );
  }

  request(id: string): RequestRow | undefined {
    return this.#requests("WHERE id = ?", id)[0];
  }

  /** Those that have no answer yet. */
  unanswered(): RequestRow[] {
    return this.#requests("WHERE answer IS NULL ORDER BY seq");
  }

  answerRequest(id: string, answer: ChildSessionAnswer): void {
    // What it was asked with, which can be long, is of no use any more.
    this.#sql.exec("UPDATE child_requests SET answer = ?, call = 'null' WHERE id = ?", JSON.stringify(answer), id);
  }

  /** @returns how often it has been tried now */
  countTry(id: string): number {
    const [row] = this.#sql
      .exec("UPDATE child_requests SET tries = tries + 1 WHERE id = ? RETURNING tries", id)
      .toArray();
    return (row?.tries as number | undefined) ?? 0;
  }

  #requests(rest: string, ...values: SqlStorageValue[]): RequestRow[] {
    const rows = this.#sql.exec(`SELECT id, call, answer, tries FROM child_requests ${rest}`, ...values).toArray();
    return rows.map(({ id, call, answer, tries }) => ({
      id: id as string,
      call: JSON.parse(call as string) as PeerCall | null,
      answer: answer === null ? null : (JSON.parse(answer as string) as ChildSessionAnswer),
      tries: tries as number,
    }));
  }
}
