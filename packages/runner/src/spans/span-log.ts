/**
 * Spans on disk, so that what a runner had not handed over when it was killed is found by the next one: a SQLite file for each
 * runner instance.
 */
import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { lastWriteOf, openSqliteFile, removeSqliteFile } from "../state/sqlite-file.ts";
import type { LeftSpans, LoggedFrame, LoggedSpan } from "./left-spans.ts";
import type { OpenSpanText } from "./open-spans.ts";
import { readSpanLines } from "./span-lines.ts";

export type { LoggedFrame, LoggedSpan } from "./left-spans.ts";

/** What an earlier instance left. */
export interface LeftLog extends LeftSpans {
  readonly instanceId: string;
  /** When it was last written to, epoch ms. */
  readonly lastWriteMs: number;
}

const EXTENSION = ".sqlite";
/** Of runners before version 0.3.0. */
const EARLIER_EXTENSION = ".spans";
const EARLIER_UNFINISHED = ".new";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS resource (json TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS spans (seq INTEGER NOT NULL, span_id TEXT NOT NULL, scope TEXT NOT NULL, span TEXT NOT NULL)
    STRICT;
  CREATE INDEX IF NOT EXISTS spans_by_seq ON spans (seq);
  CREATE TABLE IF NOT EXISTS open_spans (span_id TEXT PRIMARY KEY, span TEXT NOT NULL) STRICT`;

/** The file of this instance, while it lives. */
export class SpanLog {
  readonly #path: string;
  readonly #database: Database;

  /** @throws when the file cannot be made */
  constructor(folder: string, instanceId: string, resource: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, instanceId + EXTENSION);
    if (existsSync(this.#path)) throw new Error("another instance has this id");
    this.#database = openSqliteFile(this.#path, SCHEMA);
    this.#database.run("INSERT INTO resource VALUES (?)", [resource]);
  }

  /** Writes a span that has ended, before anything else can happen to it. @throws what SQLite says */
  append(seq: number, spanId: string, { scope, span }: LoggedSpan): void {
    this.#database.query("INSERT INTO spans VALUES (?, ?, ?, ?)").run(seq, spanId, scope, span);
  }

  /** Notes that the session is told of a span that is open. @throws what SQLite says */
  appendOpen({ spanId, text }: OpenSpanText): void {
    this.#database.query("INSERT OR REPLACE INTO open_spans VALUES (?, ?)").run(spanId, text);
  }

  /** Forgets a span that is open no more. @throws what SQLite says */
  forgetOpen(spanId: string): void {
    this.#database.query("DELETE FROM open_spans WHERE span_id = ?").run(spanId);
  }

  /** Forgets frames that are needed no more. @throws what SQLite says */
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

  /** @param isEmpty whether nothing in it is needed any more */
  close(isEmpty: boolean): void {
    this.#database.close();
    if (isEmpty) removeSqliteFile(this.#path);
  }
}

/** Reads what earlier instances left, the oldest first, and clears away what they were writing anew when they died. */
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

/** Removes what an earlier instance left, once it is delivered. */
export function deleteLeftLog(folder: string, instanceId: string): void {
  removeSqliteFile(join(folder, instanceId + EXTENSION));
  rmSync(join(folder, instanceId + EARLIER_EXTENSION), { force: true });
}

/** Of a file that is damaged nobody knows how much is lost: it counts as one. */
function readSpanFile(path: string): LeftSpans {
  let database: Database | undefined;
  try {
    database = openSqliteFile(path, SCHEMA);
    const resource = database.query<{ json: string }, []>("SELECT json FROM resource").get()?.json ?? "{}";
    const frames = new Map<number, LoggedSpan[]>();
    const stored = database.query<LoggedSpan & { seq: number }, []>("SELECT * FROM spans ORDER BY seq, rowid");
    for (const { seq, scope, span } of stored.all()) {
      const spans = frames.get(seq);
      if (spans === undefined) frames.set(seq, [{ scope, span }]);
      else spans.push({ scope, span });
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
