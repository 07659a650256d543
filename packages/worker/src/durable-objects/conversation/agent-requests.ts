/** The agent's open requests to a person, for a permission or an answer. A request closes with its answer or with its turn. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { PermissionView, QuestionView } from "@valet/shared/protocol/session-view";
import { isoTime } from "../core/iso-time.ts";
import { ReadOnce } from "../core/read-once.ts";
import type { Transactions } from "../core/transactions.ts";

/** More open requests than an agent can have; a limit protects the storage. */
const MAX_OPEN = 200;
/** The size of all open requests, in characters of JSON: they are part of the session's view, which is one row in D1 (2 MB). */
const MAX_OPEN_LENGTH = 384 * 1024;

/**
 * How many closed requests are remembered: until the spans of their waits and the records of their turns have named who answered, and
 * to tell whoever answers too late.
 */
const MAX_ANSWERS = 500;

interface Views {
  permission: PermissionView;
  question: QuestionView;
}
type Kind = keyof Views;

type OpenRequest = {
  readonly kind: Kind;
  readonly attempt_id: string;
  /** As JSON. */
  readonly view: string;
};

/** Stands for the user who answered, in the row of a request that closed with its turn. */
const NOBODY = "";

/** A request that closed with its turn. */
export interface ClosedRequest {
  readonly id: string;
  readonly kind: Kind;
}

export class AgentRequests {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  readonly #open: ReadOnce<readonly OpenRequest[]>;
  readonly #linkId: () => string | undefined;
  /**
   * The requests whose answers went over this link. A runner repeats its open requests on a new link, also one whose answer is already
   * on its way there. Only in memory, since an object that dies takes its links with it.
   */
  #answeredOver: { readonly linkId: string | undefined; readonly ids: Set<string> } = {
    linkId: undefined,
    ids: new Set(),
  };

  /** @param linkId returns the id of the link to the runner, if there is one */
  constructor(
    sql: SqlStorage,
    now: () => number,
    transactions: Pick<Transactions, "epoch">,
    linkId: () => string | undefined,
  ) {
    this.#sql = sql;
    this.#now = now;
    this.#linkId = linkId;
    this.#open = new ReadOnce(transactions);
  }

  /** @returns the request, if it is new */
  addPermission(frame: FromRunnerOf<"permission-asked">, messageId: string): PermissionView | undefined {
    const { permissionId: id, attemptId, permission, detail } = frame;
    return this.#add("permission", attemptId, { id, messageId, permission, detail, askedAt: isoTime(this.#now()) });
  }

  /** @returns the request, if it is new */
  addQuestion(frame: FromRunnerOf<"question-asked">, messageId: string): QuestionView | undefined {
    const { questionId: id, attemptId, questions } = frame;
    return this.#add("question", attemptId, { id, messageId, questions, askedAt: isoTime(this.#now()) });
  }

  open<K extends Kind>(kind: K): Views[K][] {
    return this.#all.filter((each) => each.kind === kind).map(({ view }) => JSON.parse(view) as Views[K]);
  }

  isOpen(kind: Kind, id: string): boolean {
    return this.#sql.exec("SELECT 1 FROM agent_requests WHERE kind = ? AND id = ?", kind, id).toArray().length > 0;
  }

  /** Whether the attempt waits for a person: then it is not stuck. */
  isWaiting(attemptId: string): boolean {
    return this.#all.some(({ attempt_id }) => attempt_id === attemptId);
  }

  /** All open requests, which are few: a session's view needs them all. */
  get #all(): readonly OpenRequest[] {
    return this.#open.get("", () =>
      this.#sql.exec<OpenRequest>("SELECT kind, attempt_id, view FROM agent_requests ORDER BY id").toArray(),
    );
  }

  /** Closes a request, and records who answered it. @returns the request; `undefined` if it was not open */
  close(id: string, answeredBy: string): OpenRequest | undefined {
    const closed = "DELETE FROM agent_requests WHERE id = ? RETURNING kind, attempt_id, view";
    const [row] = this.#sql.exec<OpenRequest>(closed, id).toArray();
    this.#open.forget();
    if (row === undefined) return undefined;
    this.#remember(id, row.attempt_id, answeredBy);
    const linkId = this.#linkId();
    if (this.#answeredOver.linkId !== linkId) this.#answeredOver = { linkId, ids: new Set() };
    this.#answeredOver.ids.add(id);
    return row;
  }

  /** Opens a request again whose answer did not reach the runner. */
  reopen(id: string, { kind, attempt_id, view }: OpenRequest): void {
    this.#sql.exec("DELETE FROM agent_answers WHERE id = ?", id);
    this.#sql.exec("INSERT INTO agent_requests VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", id, kind, attempt_id, view);
    this.#open.forget();
    this.#answeredOver.ids.delete(id);
  }

  /** Whether the answer to a request went over the link of today, so that the runner gets it, or has it. */
  #isAnswered(id: string): boolean {
    const { linkId, ids } = this.#answeredOver;
    return linkId === this.#linkId() && ids.has(id);
  }

  #remember(id: string, attemptId: string, answeredBy: string): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO agent_answers (id, attempt_id, user_id) VALUES (?, ?, ?)",
      id,
      attemptId,
      answeredBy,
    );
    this.#sql.exec("DELETE FROM agent_answers WHERE seq <= (SELECT MAX(seq) FROM agent_answers) - ?", MAX_ANSWERS);
  }

  /** Returns how a request was closed; `undefined` if there was none, it is open, or that was long ago. */
  closed(id: string): { readonly attemptId: string; readonly isAnswered: boolean } | undefined {
    const [row] = this.#sql.exec("SELECT attempt_id, user_id FROM agent_answers WHERE id = ?", id).toArray();
    return row && { attemptId: row.attempt_id as string, isAnswered: row.user_id !== NOBODY };
  }

  /** Returns the user who answered a request; `undefined` if nobody did, or that was long ago. */
  answeredBy(id: string): string | undefined {
    const [row] = this.#sql.exec("SELECT user_id FROM agent_answers WHERE id = ?", id).toArray();
    return row === undefined || row.user_id === NOBODY ? undefined : (row.user_id as string);
  }

  /** Returns the users who answered requests of an attempt, each once. */
  answerersOf(attemptId: string): string[] {
    const rows = this.#sql.exec("SELECT user_id FROM agent_answers WHERE attempt_id = ? ORDER BY seq", attemptId);
    return [...new Set(rows.toArray().map(({ user_id }) => user_id as string))].filter((user) => user !== NOBODY);
  }

  /** Closes the requests of an attempt that has ended. @returns those requests */
  closeOf(attemptId: string): ClosedRequest[] {
    const rows = this.#sql.exec("DELETE FROM agent_requests WHERE attempt_id = ? RETURNING id, kind", attemptId);
    this.#open.forget();
    const closed = rows.toArray().map(({ id, kind }) => ({ id: id as string, kind: kind as Kind }));
    for (const { id } of closed) this.#remember(id, attemptId, NOBODY);
    return closed;
  }

  #add<K extends Kind>(kind: K, attemptId: string, view: Views[K]): Views[K] | undefined {
    if (this.#isAnswered(view.id)) return undefined;
    const text = JSON.stringify(view);
    const { count, length } = this.#sql
      .exec<{ count: number; length: number }>(
        "SELECT COUNT(*) AS count, COALESCE(SUM(LENGTH(view)), 0) AS length FROM agent_requests",
      )
      .one();
    if (count >= MAX_OPEN || (count > 0 && length + text.length > MAX_OPEN_LENGTH)) return undefined;
    const added = this.#sql.exec(
      "INSERT INTO agent_requests VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
      view.id,
      kind,
      attemptId,
      text,
    );
    this.#open.forget();
    return added.toArray().length > 0 ? view : undefined;
  }
}
