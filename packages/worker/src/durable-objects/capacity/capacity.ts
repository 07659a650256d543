/**
 * The capacity object of a broker: leases slots for sandboxes that are awake and for starts at once, to sessions in the order
 * in which they asked. It outlives crashes: what it has given away is in its storage, and a session is told of its turn until it
 * has confirmed that.
 *
 * A lease that expires is not taken away but looked at: its holder is asked, keeps it while it needs it, and loses it when it
 * gives no answer several times over. So an idle session is not woken to renew anything, and one that died holds no slot for
 * ever.
 */
import { DurableObject } from "cloudflare:workers";
import { type Env, stubOf } from "../../bindings.ts";
import { parseCapacity } from "../../config.ts";
import { logFailure } from "../../log-failure.ts";
import { type Migration, upgradeSchema } from "../core/schema.ts";
import { Transactions } from "../core/transactions.ts";
import type {
  CapacityCalls,
  CapacityHolder,
  CapacityReport,
  CapacityStanding,
  CapacityState,
} from "./capacity-calls.ts";
import type { CapacityEntry } from "./capacity-rules.ts";
import { CapacityTable } from "./capacity-table.ts";
import { Notices } from "./notices.ts";
import { Relief } from "./relief.ts";
import { withinCall } from "./within-call.ts";

/** The tables of a capacity object. A change of them is a migration at the end of the list. */
const CAPACITY_MIGRATIONS: readonly Migration[] = [
  // Databases that were written before versions were stored have the table.
  (sql) =>
    sql.exec("CREATE TABLE IF NOT EXISTS entries (session_id TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID"),
];

/** An alarm whose work failed comes again after this long: soon, and not in a loop that eats the CPU. */
const AFTER_ERROR_MS = 5000;

export class Capacity extends DurableObject<Env> implements CapacityCalls {
  readonly #transactions: Transactions;
  readonly #table: CapacityTable;
  readonly #notices: Notices;
  readonly #relief: Relief;
  #armedMs: number | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    upgradeSchema(ctx.storage, CAPACITY_MIGRATIONS);
    this.#table = new CapacityTable(this.#stored(), parseCapacity(env));
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
    this.#notices = new Notices({ ...common, tell: (id, standing) => this.#ask(id, standing) });
    this.#relief = new Relief({
      ...common,
      state: (id) => this.#ask(id),
      yieldSlot: (id) => withinCall(this.#holder(id).yieldSlot(this.#name)),
    });
  }

  async report(report: CapacityReport): Promise<CapacityStanding> {
    const standing = this.#change(() => this.#table.report(report, Date.now()));
    this.#notices.confirm(report.sessionId, standing);
    this.#look();
    return standing;
  }

  /**
   * Looks at leases that have expired and at whatever else is due. Waits for nothing on the network, and never throws; what fails is
   * tried again soon.
   */
  override alarm(): void {
    this.#armedMs = undefined;
    try {
      const nowMs = Date.now();
      const expired = this.#change(() => {
        this.#table.grant(nowMs);
        return this.#table.takeExpired(nowMs);
      });
      for (const { sessionId } of expired) this.#check(sessionId);
      this.#look();
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

  /** Tells a session where it stands, or only asks it what it needs. */
  #ask(sessionId: string, standing?: CapacityStanding): Promise<CapacityState | null> {
    return withinCall(this.#holder(sessionId).capacity(this.#name, standing));
  }

  /** Asks the holder of a lease that has expired whether it still needs it. Without an answer it is asked again. */
  #check(sessionId: string): void {
    this.#background(
      this.#ask(sessionId).then(
        (state) => this.#onAnswer(sessionId, state),
        () => {},
      ),
    );
  }

  /** What a session says of itself is a report like any other; one that is not there, or counts elsewhere, is forgotten. */
  #onAnswer(sessionId: string, state: CapacityState | null): void {
    const nowMs = Date.now();
    this.#change(() => {
      if (state === null) this.#table.drop(sessionId, nowMs);
      else this.#table.report(state, nowMs);
    });
  }

  /**
   * Changes the table, and stores what has changed of it.
   * @throws Error what the storage throws, if its disk is full say; then nothing has changed, in memory either
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

  /** Sees to what follows from a change, and sets the alarm. */
  #look(): void {
    this.#notices.look();
    this.#relief.look();
    this.#arm();
  }

  #background(work: Promise<void>): void {
    const done = work.then(() => this.#look()).catch(report);
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
    // A storage that fails resets the whole object; there is nothing to add to that.
    this.ctx.storage.setAlarm(timeMs).catch(report);
  }
}

function report(error: unknown): void {
  logFailure("a capacity object failed", error);
}
