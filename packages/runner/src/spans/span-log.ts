/**
 * Stores spans on disk, in a SQLite file per runner instance. After a crash the next instance finds the spans that the
 * SessionAgent has not acknowledged.
 */
import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { lastWriteOf, openSqliteFile, removeSqliteFile } from "../state/sqlite-file.ts";
import type { LeftSpans, LoggedFrame, LoggedSpan } from "./left-spans.ts";
import type { OpenSpanText } from "./open-spans.ts";
import { readSpanLines } from "./span-lines.ts";

export type { LoggedFrame, LoggedSpan } from "./left-spans.ts";

/** The log of an earlier instance. */
export interface LeftLog extends LeftSpans {
  readonly instanceId: string;
  /** The last write to the log, epoch ms. */
  readonly lastWriteMs: number;
}

const EXTENSION = ".sqlite";
/** The file names of runners before version 0.3.0. */
const EARLIER_EXTENSION = ".spans";
const EARLIER_UNFINISHED = ".new";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS resource (json TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS spans (seq INTEGER NOT NULL, span_id TEXT NOT NULL, scope TEXT NOT NULL, span TEXT NOT NULL,
    resource TEXT) STRICT;
  CREATE INDEX IF NOT EXISTS spans_by_seq ON spans (seq);
  CREATE TABLE IF NOT EXISTS open_spans (span_id TEXT PRIMARY KEY, span TEXT NOT NULL) STRICT`;

/** The log of this instance. */
export class SpanLog {
  readonly #path: string;
  readonly #database: Database;

  /** @throws if the file cannot be created */
  constructor(folder: string, instanceId: string, resource: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, instanceId + EXTENSION);
    if (existsSync(this.#path)) throw new Error("another instance has this id");
    this.#database = openSqliteFile(this.#path, SCHEMA);
    this.#database.run("INSERT INTO resource VALUES (?)", [resource]);
  }

  /** Stores an ended span. @throws errors of SQLite */
  append(seq: number, spanId: string, { scope, span, resource = null }: LoggedSpan): void {
    this.#database.query("INSERT INTO spans VALUES (?, ?, ?, ?, ?)").run(seq, spanId, scope, span, resource);
  }

  /** Makes several writes one transaction, which costs a tenth of theirs. @throws errors of SQLite: none of them counts then */
  together(writes: () => void): void {
    this.#database.transaction(writes)();
  }

  /** Stores an open span that is reported to the session. @throws errors of SQLite */
  appendOpen({ spanId, text }: OpenSpanText): void {
    this.#database.query("INSERT OR REPLACE INTO open_spans VALUES (?, ?)").run(spanId, text);
  }

  /** Removes a span that is no longer open. @throws errors of SQLite */
  forgetOpen(spanId: string): void {
    this.#database.query("DELETE FROM open_spans WHERE span_id = ?").run(spanId);
  }

  /** Removes frames that are no longer needed. @throws errors of SQLite */
  forget(seqs: readonly number[]): void {
    if (seqs.length === 0) return;
    const closed = this.#database.query(
      "DELETE FROM open_spans WHERE span_id IN (SELECT span_id FROM spans WHERE seq = ?)",
    );
    const forget = this.#database.query("DELETE FROM spans WHERE seq = ?");
    this.#database.transaction(() => {
      for (const seq of seqs) {
        closed.run(seq);
        forget.run(seq);
      }
    })();
  }

  /** @param isEmpty whether nothing in the file is needed any more; it is then deleted */
  close(isEmpty: boolean): void {
    this.#database.close();
    if (isEmpty) removeSqliteFile(this.#path);
  }
}

/** Reads the logs of earlier instances, oldest first, and deletes files that they had not finished rewriting when they died. */
export function readLeftLogs(folder: string): LeftLog[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  for (const name of names) if (name.endsWith(EARLIER_UNFINISHED)) rmSync(join(folder, name), { force: true });
  const files = names.flatMap((name) => {
    const extension = [EXTENSION, EARLIER_EXTENSION].find((one) => name.endsWith(one));
    if (extension === undefined) return [];
    const path = join(folder, name);
    return [{ path, extension, instanceId: basename(name, extension), lastWriteMs: lastWriteOf(path) }];
  });
  return files
    .sort((a, b) => a.lastWriteMs - b.lastWriteMs)
    .flatMap(({ path, extension, instanceId, lastWriteMs }) => {
      const left = extension === EXTENSION ? readSpanFile(path) : readSpanLines(path);
      return left === undefined ? [] : [{ ...left, instanceId, lastWriteMs }];
    });
}

/** Deletes the log of an earlier instance, after its spans have been delivered. */
export function deleteLeftLog(folder: string, instanceId: string): void {
  removeSqliteFile(join(folder, instanceId + EXTENSION));
  rmSync(join(folder, instanceId + EARLIER_EXTENSION), { force: true });
}

/** Reads the log of an earlier instance. A damaged file counts as one lost span, since the real number is unknown. */
function readSpanFile(path: string): LeftSpans {
  let database: Database | undefined;
  try {
    database = openSqliteFile(path, SCHEMA);
    const resource = database.query<{ json: string }, []>("SELECT json FROM resource").get()?.json ?? "{}";
    const frames = new Map<number, LoggedSpan[]>();
    // Files of earlier versions have no resources.
    const stored = database.query<LoggedSpan & { seq: number }, []>("SELECT * FROM spans ORDER BY seq, rowid");
    for (const { seq, scope, span, resource = null } of stored.all()) {
      const entry = { scope, span, resource };
      const spans = frames.get(seq);
      if (spans === undefined) frames.set(seq, [entry]);
      else spans.push(entry);
    }
    const open = database
      .query<{ span: string }, []>(
        "SELECT span FROM open_spans WHERE span_id NOT IN (SELECT span_id FROM spans) ORDER BY rowid",
      )
      .all();
    return {
      resource,
      frames: Array.from(frames, ([seq, spans]): LoggedFrame => ({ seq, spans })),
      open: open.map(({ span }) => span),
      brokenSpans: 0,
    };
  } catch {
    return { resource: "{}", frames: [], open: [], brokenSpans: 1 };
  } finally {
    database?.close();
  }
}
