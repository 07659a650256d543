/** The Worker as it is deployed, which also counts what Cloudflare bills for. */

import type { Env } from "../../packages/worker/src/bindings.ts";
import worker, {
  Capacity as PlainCapacity,
  SessionAgent as PlainSessionAgent,
} from "../../packages/worker/src/index.ts";
import { COUNTS_PATH, type Counted, type Counts, NO_COUNTS } from "./counts.ts";

const counts: Counts = { ...NO_COUNTS };
const databaseBytes: Record<string, number> = {};
let d1Bytes = 0;

/** How many reasons an object has not to hibernate, and since when. */
class Activity {
  #reasons = 0;
  #sinceMs = 0;

  begin(): void {
    if (this.#reasons++ === 0) this.#sinceMs = Date.now();
  }

  end(): void {
    if (--this.#reasons === 0) counts.activeMs += Date.now() - this.#sinceMs;
  }

  async during<T>(work: () => T | Promise<T>): Promise<T> {
    this.begin();
    try {
      return await work();
    } finally {
      this.end();
    }
  }
}

/** Makes an object's storage and context count. Returns the same context. */
function counting(ctx: DurableObjectState, activity: Activity): DurableObjectState {
  const { storage } = ctx;
  const exec = storage.sql.exec.bind(storage.sql);
  let last: { readonly cursor: SqlStorageCursor<never>; read: number; written: number } | undefined;
  // A cursor's counts grow while it is read; they are complete when the next statement runs.
  const settle = () => {
    if (last === undefined) return;
    counts.rowsRead += last.cursor.rowsRead - last.read;
    counts.rowsWritten += last.cursor.rowsWritten - last.written;
    last.read = last.cursor.rowsRead;
    last.written = last.cursor.rowsWritten;
  };
  storage.sql.exec = ((query: string, ...values: SqlStorageValue[]) => {
    settle();
    const cursor = exec(query, ...values);
    last = { cursor: cursor as never, read: 0, written: 0 };
    settle();
    return cursor;
  }) as typeof storage.sql.exec;
  const setAlarm = storage.setAlarm.bind(storage);
  storage.setAlarm = (...args) => {
    counts.rowsWritten++;
    return setAlarm(...args);
  };
  const waitUntil = ctx.waitUntil.bind(ctx);
  ctx.waitUntil = (promise) => {
    activity.begin();
    waitUntil(Promise.resolve(promise).finally(() => activity.end()));
  };
  settlers.add(settle);
  return ctx;
}

const settlers = new Set<() => void>();

type Method = (...args: unknown[]) => unknown;

/** Wraps what Cloudflare calls on an object: its methods, socket events and alarms. */
function countCalls(prototype: object, after: (object: object) => void): void {
  const names = new Set<string>();
  for (let each = prototype; each !== Object.prototype && each !== null; each = Object.getPrototypeOf(each)) {
    for (const name of Object.getOwnPropertyNames(each)) names.add(name);
  }
  for (const name of names) {
    const plain = Reflect.get(prototype, name) as unknown;
    if (name === "constructor" || typeof plain !== "function") continue;
    const counted = async function (this: { activity: Activity }, ...args: unknown[]) {
      if (name === "webSocketMessage") counts.socketMessages++;
      else if (!name.startsWith("webSocket")) counts.objectRequests++;
      const result = await this.activity.during(() => (plain as Method).apply(this, args));
      after(this);
      return result;
    };
    Object.defineProperty(prototype, name, { value: counted, configurable: true, writable: true });
  }
}

export class SessionAgent extends PlainSessionAgent {
  readonly activity: Activity;

  constructor(ctx: DurableObjectState, env: Env) {
    const activity = new Activity();
    super(counting(ctx, activity), env);
    this.activity = activity;
  }

  get databaseSize(): readonly [string, number] {
    return [this.ctx.id.name ?? "", this.ctx.storage.sql.databaseSize];
  }
}

export class Capacity extends PlainCapacity {
  readonly activity: Activity;

  constructor(ctx: DurableObjectState, env: Env) {
    const activity = new Activity();
    super(counting(ctx, activity), env);
    this.activity = activity;
  }
}

countCalls(PlainSessionAgent.prototype, (object) => {
  const [name, bytes] = (object as SessionAgent).databaseSize;
  databaseBytes[name] = bytes;
});
countCalls(PlainCapacity.prototype, () => {});

const plainFetch = globalThis.fetch;
globalThis.fetch = ((...args: Parameters<typeof fetch>) => {
  counts.subrequests++;
  return plainFetch(...args);
}) as typeof fetch;

let isDatabaseCounted = false;

/** Every way to run a statement becomes one whose answer has the counts. */
function countDatabase(db: D1Database): void {
  if (isDatabaseCounted) return;
  isDatabaseCounted = true;
  const add = ({ meta }: D1Result) => {
    counts.d1RowsRead += meta.rows_read;
    counts.d1RowsWritten += meta.rows_written;
    d1Bytes = meta.size_after;
  };
  const statements = Object.getPrototypeOf(db.prepare("SELECT 1")) as D1PreparedStatement;
  const { all } = statements;
  const counted = async function (this: D1PreparedStatement) {
    const result = await all.call(this);
    add(result);
    return result;
  };
  statements.all = counted as typeof statements.all;
  statements.run = counted as typeof statements.run;
  statements.first = async function (this: D1PreparedStatement, column?: string) {
    const [row = null] = (await counted.call(this)).results as Record<string, unknown>[];
    return row === null || column === undefined ? row : row[column];
  } as typeof statements.first;
  const databases = Object.getPrototypeOf(db) as D1Database;
  const { batch } = databases;
  databases.batch = async function (this: D1Database, list: D1PreparedStatement[]) {
    const results = await batch.call(this, list);
    for (const result of results) add(result);
    return results;
  } as typeof databases.batch;
}

export default {
  async fetch(request, env, ctx) {
    countDatabase(env.DB);
    const { pathname } = new URL(request.url);
    // `valet up` asks for it every few seconds. A deployment is not asked.
    if (pathname === "/api/health") return Response.json({ status: "ok" });
    if (pathname === COUNTS_PATH) {
      for (const settle of settlers) settle();
      return Response.json({ counts, databaseBytes, d1Bytes } satisfies Counted);
    }
    counts.workerRequests++;
    return worker.fetch(request, env, ctx);
  },
  /** The upkeep belongs to no turn, and would be counted in whichever runs. */
  scheduled() {},
} satisfies ExportedHandler<Env>;
