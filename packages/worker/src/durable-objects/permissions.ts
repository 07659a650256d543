/** What the agent asks leave for, until somebody answers or its turn ends. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { PermissionView } from "@valet/shared/protocol/session-view";
import { isoTime } from "./conversation.ts";

/** More open requests than an agent has turns and tools for; any more would only fill the storage. */
const MAX_OPEN = 200;

export class Permissions {
  readonly #sql: SqlStorage;
  readonly #now: () => number;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
    sql.exec(`CREATE TABLE IF NOT EXISTS permissions (
      id TEXT PRIMARY KEY, attempt_id TEXT NOT NULL, view TEXT NOT NULL) WITHOUT ROWID`);
  }

  /** @returns the request, if it is new */
  asked(frame: FromRunnerOf<"permission-asked">, messageId: string): PermissionView | undefined {
    const open = this.open();
    if (open.length >= MAX_OPEN || open.some(({ id }) => id === frame.permissionId)) return undefined;
    const { permissionId: id, attemptId, permission, detail } = frame;
    const view: PermissionView = { id, messageId, permission, detail, askedAt: isoTime(this.#now()) };
    this.#sql.exec("INSERT INTO permissions VALUES (?, ?, ?)", id, attemptId, JSON.stringify(view));
    return view;
  }

  open(): PermissionView[] {
    const rows = this.#sql.exec("SELECT view FROM permissions ORDER BY id").toArray();
    return rows.map(({ view }) => JSON.parse(view as string) as PermissionView);
  }

  /** @returns false if no such request is open */
  close(id: string): boolean {
    return this.#sql.exec("DELETE FROM permissions WHERE id = ? RETURNING 1", id).toArray().length > 0;
  }

  /** The attempt is over, and nobody waits for an answer. @returns the requests that are closed by it */
  closeOf(attemptId: string): string[] {
    const rows = this.#sql.exec("DELETE FROM permissions WHERE attempt_id = ? RETURNING id", attemptId).toArray();
    return rows.map(({ id }) => id as string);
  }
}
