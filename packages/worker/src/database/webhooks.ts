/** The endpoints of webhooks, and how deliveries to them went. */
import type { WebhookEventType, WebhookView } from "@valet/shared/protocol/webhooks";

/** After how many days without a success an endpoint is disabled, if at least so many tries have failed in them. */
const MAX_FAILING_MS = 3 * 24 * 60 * 60_000;
const MIN_FAILURES = 10;

/** What an object must know to send an event to an endpoint. */
export interface WebhookTarget {
  readonly id: string;
  readonly url: string;
  /** Sealed; JSON. */
  readonly secrets: string;
  readonly isFailing: boolean;
}

export interface Subscription {
  readonly id: string;
  readonly events: readonly WebhookEventType[];
}

export interface NewWebhook {
  readonly id: string;
  readonly ownerId: string;
  readonly url: string;
  readonly events: readonly WebhookEventType[];
  readonly secrets: string;
  readonly createdAt: string;
}

interface Row {
  readonly id: string;
  readonly url: string;
  readonly events: string;
  readonly secrets: string;
  readonly previous_until: string | null;
  readonly created_at: string;
  readonly disabled: WebhookView["disabledReason"];
  readonly failing_since: string | null;
  readonly failed_at: string | null;
  readonly failures: number;
  readonly last_error: string | null;
  readonly given_up: number;
}

/** @returns whether it was added: not if the owner has the most that are allowed */
export async function addWebhook(db: D1Database, webhook: NewWebhook, most: number): Promise<boolean> {
  const { id, ownerId, url, events, secrets, createdAt } = webhook;
  const { meta } = await db
    .prepare(
      `INSERT INTO webhooks (id, owner_id, url, events, secrets, created_at)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT COUNT(*) FROM webhooks WHERE owner_id = ?2) < ?7`,
    )
    .bind(id, ownerId, url, JSON.stringify(events), secrets, createdAt, most)
    .run();
  return meta.changes > 0;
}

/** Returns an owner's endpoints, oldest first. */
export async function listWebhooks(db: D1Database, ownerId: string, nowMs: number): Promise<WebhookView[]> {
  const { results } = await db
    .prepare("SELECT * FROM webhooks WHERE owner_id = ? ORDER BY created_at, id")
    .bind(ownerId)
    .all<Row>();
  return results.map((row) => toView(row, nowMs));
}

export interface StoredWebhook {
  readonly view: WebhookView;
  /** Sealed; JSON. */
  readonly secrets: string;
}

export async function findWebhook(
  db: D1Database,
  ownerId: string,
  id: string,
  nowMs: number,
): Promise<StoredWebhook | undefined> {
  const row = await db.prepare("SELECT * FROM webhooks WHERE id = ? AND owner_id = ?").bind(id, ownerId).first<Row>();
  return row === null ? undefined : { view: toView(row, nowMs), secrets: row.secrets };
}

/** @returns whether there was one */
export async function removeWebhook(db: D1Database, ownerId: string, id: string): Promise<boolean> {
  const query = db.prepare("DELETE FROM webhooks WHERE id = ? AND owner_id = ?").bind(id, ownerId);
  return (await query.run()).meta.changes > 0;
}

/** Enables an endpoint, and forgets that it failed. */
export async function enableWebhook(db: D1Database, ownerId: string, id: string): Promise<void> {
  await db
    .prepare(
      `UPDATE webhooks SET disabled = NULL, failing_since = NULL, failed_at = NULL, failures = 0, last_error = NULL
       WHERE id = ? AND owner_id = ?`,
    )
    .bind(id, ownerId)
    .run();
}

/**
 * Stores sealed secrets in the place of others.
 * @param previousUntil until when the secret before is also used, ISO 8601; `undefined` leaves that as it is
 * @returns whether it still had those others
 */
export async function replaceSecrets(
  db: D1Database,
  id: string,
  before: string,
  secrets: string,
  previousUntil?: string,
): Promise<boolean> {
  const { meta } = await db
    .prepare(
      "UPDATE webhooks SET secrets = ?3, previous_until = IFNULL(?4, previous_until) WHERE id = ?1 AND secrets = ?2",
    )
    .bind(id, before, secrets, previousUntil ?? null)
    .run();
  return meta.changes > 0;
}

/** Selects the enabled endpoints of an owner, with what each subscribes to. An owner without any costs no row. */
export function selectSubscriptions(db: D1Database, ownerId: string): D1PreparedStatement {
  return db
    .prepare("SELECT id, events FROM webhooks WHERE owner_id = ? AND disabled IS NULL ORDER BY created_at, id")
    .bind(ownerId);
}

/** @param rows what {@link selectSubscriptions} found */
export function toSubscriptions(rows: readonly unknown[] = []): Subscription[] {
  return (rows as Pick<Row, "id" | "events">[]).map(({ id, events }) => ({ id, events: JSON.parse(events) }));
}

/** Returns an endpoint to which events are sent; `undefined` if it was removed or is disabled. */
export async function findTarget(db: D1Database, id: string): Promise<WebhookTarget | undefined> {
  const row = await db
    .prepare("SELECT id, url, secrets, failing_since FROM webhooks WHERE id = ? AND disabled IS NULL")
    .bind(id)
    .first<Row>();
  if (row === null) return undefined;
  return { id, url: row.url, secrets: row.secrets, isFailing: row.failing_since !== null };
}

/** Records that a try succeeded after others that failed. */
export async function recordDelivered(db: D1Database, id: string): Promise<void> {
  await db
    .prepare(
      `UPDATE webhooks SET failing_since = NULL, failed_at = NULL, failures = 0, last_error = NULL
       WHERE id = ? AND failing_since IS NOT NULL`,
    )
    .bind(id)
    .run();
}

export interface FailedTry {
  readonly error: string;
  readonly atMs: number;
  /** Whether the endpoint says that it is gone for good, which disables it at once. */
  readonly isGone: boolean;
  /** Whether the event is not tried again. */
  readonly isLast: boolean;
}

/** Records that a try failed. Disables an endpoint that is gone, or has failed for too long. */
export async function recordFailure(db: D1Database, id: string, failed: FailedTry): Promise<void> {
  const { error, atMs, isGone, isLast } = failed;
  const at = new Date(atMs).toISOString();
  const longAgo = new Date(atMs - MAX_FAILING_MS).toISOString();
  await db
    .prepare(
      `UPDATE webhooks SET failures = failures + 1, failing_since = IFNULL(failing_since, ?2), failed_at = ?2, last_error = ?3,
         given_up = given_up + ?4,
         disabled = CASE WHEN ?5 THEN 'gone' WHEN failing_since <= ?6 AND failures + 1 >= ?7 THEN 'failing' ELSE disabled END
       WHERE id = ?1`,
    )
    .bind(id, at, error, Number(isLast), Number(isGone), longAgo, MIN_FAILURES)
    .run();
}

/** Counts an event that waited when its endpoint was disabled. */
export async function recordDropped(db: D1Database, id: string): Promise<void> {
  await db.prepare("UPDATE webhooks SET given_up = given_up + 1 WHERE id = ?").bind(id).run();
}

/**
 * Counts events that go with a deleted session. Idempotent, if it stands before the session's tombstone in one batch.
 * @param waiting how many there are for each endpoint, by its id
 */
export function recordDeleted(
  db: D1Database,
  sessionId: string,
  waiting: ReadonlyMap<string, number>,
): D1PreparedStatement[] {
  return Array.from(waiting, ([id, events]) =>
    db
      .prepare(
        "UPDATE webhooks SET given_up = given_up + ?2 WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM deleted_sessions WHERE id = ?3)",
      )
      .bind(id, events, sessionId),
  );
}

function toView(row: Row, nowMs: number): WebhookView {
  const { failing_since: since, failed_at: at, last_error: error, previous_until: until } = row;
  return {
    id: row.id,
    url: row.url,
    events: JSON.parse(row.events),
    enabled: row.disabled === null,
    disabledReason: row.disabled,
    createdAt: row.created_at,
    failing: since === null || at === null ? null : { since, at, failures: row.failures, error: error ?? "" },
    givenUp: row.given_up,
    previousSecretUntil: until !== null && Date.parse(until) > nowMs ? until : null,
  };
}
