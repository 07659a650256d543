/**
 * The capacity object of a broker: leases slots for awake sandboxes and for concurrent starts to sessions, first come,
 * first served. It survives crashes: grants are stored, and a session is notified of its turn until it acknowledges.
 *
 * When a lease expires, its holder is asked, keeps it while it needs it, and loses it only when several questions go
 * unanswered. So an idle session is not woken to renew a lease, and one that died does not hold a slot forever.
 */
import { DurableObject } from "cloudflare:workers";
import { type Env, stubOf } from "../../bindings.ts";
import { ConfigError, parseCapacity, requireConfig } from "../../config.ts";
import { logFailure } from "../../log-failure.ts";
import { upgradeSchema } from "../core/schema.ts";
import { Transactions } from "../core/transactions.ts";
import type {
  CapacityCalls,
  CapacityHolder,
  CapacityReport,
  CapacityShortage,
  CapacityStanding,
  CapacityState,
} from "./capacity-calls.ts";
import type { CapacityEntry } from "./capacity-rules.ts";
import { CAPACITY_MIGRATIONS } from "./capacity-schema.ts";
import { CapacityTable } from "./capacity-table.ts";
import { Notices } from "./notices.ts";
import { Relief } from "./relief.ts";
import { withinCall } from "./within-call.ts";

/** The delay before a failed alarm is retried: soon, but without a busy loop. */
const AFTER_ERROR_MS = 5000;
/** How long after an alarm the next one is, while a variable of the deployment is invalid. */
const INVALID_RETRY_MS = 60_000;

export class Capacity extends DurableObject<Env> implements CapacityCalls {
  readonly #transactions: Transactions;
  readonly #table: CapacityTable;
  readonly #notices: Notices;
  readonly #relief: Relief;
  /** The invalid variable of the deployment, for which no session answers. Nothing happens then, so that none loses its lease. */
  readonly #invalid: ConfigError | undefined;
  #armedMs: number | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    upgradeSchema(ctx.storage, CAPACITY_MIGRATIONS);
    this.#invalid = invalidIn(env);
    const limits = this.#invalid === undefined ? parseCapacity(env) : { awake: 0, starting: 0 };
    this.#table = new CapacityTable(this.#stored(), limits);
    this.#transactions = new Transactions(ctx.storage, {
      beforeCommit: () => this.#storeChanged(),
      onCommit: () => {},
      onRollback: () => this.#table.reset(this.#stored()),
      report,
    });
    const common = {
      table: this.#table,
      now: () => Date.now(),
      onAnswer: (sessionId: string, state: CapacityState | null) => this.#onAnswer(sessionId, state),
      background: (work: Promise<void>) => this.#background(work),
    };
    this.#notices = new Notices({ ...common, notify: (id, standing) => this.#ask(id, standing) });
    this.#relief = new Relief({
      ...common,
      state: (id) => this.#ask(id),
      yieldSlot: (id) => withinCall(this.#holder(id).yieldSlot(this.#name)),
    });
  }

  async report(report: CapacityReport): Promise<CapacityStanding> {
    if (this.#invalid !== undefined) throw this.#invalid;
    const standing = this.#change(() => this.#table.report(report, Date.now()));
    this.#notices.confirm(report.sessionId, standing);
    this.#onChange();
    return standing;
  }

  async shortage(sessionId: string): Promise<CapacityShortage | null> {
    if (this.#invalid !== undefined) throw this.#invalid;
    return this.#table.shortageOf(sessionId) ?? null;
  }

  /**
   * Checks expired leases and whatever else is due. Does not wait for the network, and never throws; failed work is
   * retried soon.
   */
  override alarm(): void {
    this.#armedMs = undefined;
    if (this.#invalid !== undefined) return this.#armAt(Date.now() + INVALID_RETRY_MS);
    try {
      const nowMs = Date.now();
      const expired = this.#change(() => {
        this.#table.grant(nowMs);
        return this.#table.takeExpired(nowMs);
      });
      for (const { sessionId } of expired) this.#check(sessionId);
      this.#onChange();
    } catch (error) {
      report(error);
      this.#armAt(Date.now() + AFTER_ERROR_MS);
    }
  }

  get #name(): string {
    return this.ctx.id.name ?? "";
  }

  #holder(sessionId: string): CapacityHolder {
    return stubOf(this.env, sessionId);
  }

  /** Tells a session its standing, or only asks for its need. */
  #ask(sessionId: string, standing?: CapacityStanding): Promise<CapacityState | null> {
    return withinCall(this.#holder(sessionId).capacity(this.#name, standing));
  }

  /** Asks the holder of an expired lease whether it still needs the slot. Without an answer it is asked again. */
  #check(sessionId: string): void {
    this.#background(
      this.#ask(sessionId).then(
        (state) => this.#onAnswer(sessionId, state),
        () => {},
      ),
    );
  }

  /** Treats an answer as a report. A session that does not exist, or is counted elsewhere, is removed. */
  #onAnswer(sessionId: string, state: CapacityState | null): void {
    const nowMs = Date.now();
    this.#change(() => {
      if (state === null) this.#table.drop(sessionId, nowMs);
      else this.#table.report(state, nowMs);
    });
  }

  /**
   * Changes the table, and stores the changes.
   * @throws Error the storage's error, for example for a full disk; the table in memory is then unchanged
   */
  #change<T>(work: () => T): T {
    return this.#transactions.run(work);
  }

  #storeChanged(): void {
    const { sql } = this.ctx.storage;
    for (const [sessionId, entry] of this.#table.takeChanged()) {
      if (entry === undefined) sql.exec("DELETE FROM entries WHERE session_id = ?", sessionId);
      else sql.exec("INSERT OR REPLACE INTO entries VALUES (?, ?)", sessionId, JSON.stringify(entry));
    }
  }

  #stored(): CapacityEntry[] {
    const rows = this.ctx.storage.sql.exec("SELECT entry FROM entries").toArray();
    return rows.map(({ entry }) => JSON.parse(entry as string) as CapacityEntry);
  }

  /** Triggers what follows from a change, and sets the alarm. */
  #onChange(): void {
    this.#notices.sendDue();
    this.#relief.startIfDue();
    this.#arm();
  }

  #background(work: Promise<void>): void {
    const done = work.then(() => this.#onChange()).catch(report);
    this.ctx.waitUntil(done);
  }

  #arm(): void {
    const due = [this.#table.dueMs(Date.now()), this.#notices.dueMs, this.#relief.dueMs].filter(
      (time) => time !== undefined,
    );
    const first = Math.max(Math.min(...due), Date.now());
    if (first === Infinity || (this.#armedMs !== undefined && this.#armedMs <= first)) return;
    this.#armAt(first);
  }

  #armAt(timeMs: number): void {
    this.#armedMs = timeMs;
    // A storage failure resets the whole object; nothing more can be done here.
    this.ctx.storage.setAlarm(timeMs).catch(report);
  }
}

/** Returns the error about the first invalid variable, which it logs. */
function invalidIn(env: Env): ConfigError | undefined {
  try {
    requireConfig(env);
    return undefined;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    report(error);
    return error;
  }
}

function report(error: unknown): void {
  logFailure("a capacity object failed", error);
}
