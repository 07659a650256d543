/**
 * Spans on disk, so that what a runner had not handed over when it was killed is found by the next one. A text file for
 * each runner instance: a first line with its resource, then a line a span with the number of its frame. A line that was
 * being written when the process died is recognised by its missing end.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { parseOpenSpan } from "@valet/shared/tracing";

/** A span as OTLP/JSON text, and its scope likewise. */
export interface LoggedSpan {
  readonly scope: string;
  readonly span: string;
}

/** What goes over the link as one frame. */
export interface LoggedFrame {
  readonly seq: number;
  readonly spans: readonly LoggedSpan[];
}

/** What an earlier instance left. */
export interface LeftLog {
  readonly instanceId: string;
  readonly resource: string;
  readonly frames: readonly LoggedFrame[];
  /** Spans that the session was told of and that had not ended, as `serialiseSpan` writes them. */
  readonly open: readonly string[];
  /** When it was last written to, epoch ms. */
  readonly lastWriteMs: number;
  /** Lines that cannot be read. */
  readonly brokenLines: number;
}

const FORMAT = "1";
/** Stands where another line has the number of its frame. */
const OPEN = "open";
const EXTENSION = ".spans";
const UNFINISHED = ".new";

/** The file of this instance, while it lives. */
export class SpanLog {
  readonly #path: string;
  readonly #header: string;
  #file: number;
  #sizeBytes = 0;

  /** @throws when the file cannot be made */
  constructor(folder: string, instanceId: string, resource: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, instanceId + EXTENSION);
    this.#header = `${FORMAT}\t${resource}\n`;
    this.#file = openSync(this.#path, "wx", 0o600);
    this.#write(this.#header);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Writes a span before anything else can happen to it. @throws what the file system says */
  append(seq: number, span: LoggedSpan): void {
    this.#write(lineOf(seq, span));
  }

  /** Notes that the session is told of a span that is open. @throws what the file system says */
  appendOpen(span: string): void {
    this.#write(openLine(span));
  }

  /** Forgets all but these frames and open spans. @throws what the file system says; then the old ones are still there */
  rewrite(frames: readonly LoggedFrame[], open: readonly string[]): void {
    const lines = frames.flatMap(({ seq, spans }) => spans.map((span) => lineOf(seq, span)));
    const text = this.#header + open.map(openLine).join("") + lines.join("");
    const next = this.#path + UNFINISHED;
    const file = openSync(next, "w", 0o600);
    try {
      writeAll(file, text);
      renameSync(next, this.#path);
    } catch (error) {
      closeSync(file);
      throw error;
    }
    closeSync(this.#file);
    this.#file = file;
    this.#sizeBytes = Buffer.byteLength(text);
  }

  /** @param isEmpty whether nothing in it is needed any more */
  close(isEmpty: boolean): void {
    closeSync(this.#file);
    if (isEmpty) rmSync(this.#path, { force: true });
  }

  #write(text: string): void {
    this.#sizeBytes += writeAll(this.#file, text);
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
  for (const name of names) if (name.endsWith(UNFINISHED)) rmSync(join(folder, name), { force: true });
  const files = names
    .filter((name) => name.endsWith(EXTENSION))
    .map((name) => ({ path: join(folder, name), ageMs: mtimeOf(join(folder, name)) }))
    .sort((a, b) => a.ageMs - b.ageMs);
  return files.flatMap(({ path }) => readLog(path) ?? []);
}

/** Removes what an earlier instance left, once it is delivered. */
export function deleteLeftLog(folder: string, instanceId: string): void {
  rmSync(join(folder, instanceId + EXTENSION), { force: true });
}

function readLog(path: string): LeftLog | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const lastWriteMs = mtimeOf(path);
  const lines = text.split("\n");
  // What follows the last line end was being written.
  const torn = lines.pop() === "" ? 0 : 1;
  const [format, resource = ""] = (lines.shift() ?? "").split("\t");
  if (format !== FORMAT || !isJson(resource)) {
    const nothing = { resource: "{}", frames: [], open: [], lastWriteMs };
    return { ...nothing, instanceId: basename(path, EXTENSION), brokenLines: lines.length + torn };
  }
  const frames = new Map<number, LoggedSpan[]>();
  const open = new Map<string, string>();
  let brokenLines = torn;
  for (const line of lines) {
    const [number = "", scope = "", span = ""] = line.split("\t");
    if (number === OPEN) {
      const spanId = openSpanId(scope);
      if (spanId === undefined) brokenLines++;
      else open.set(spanId, scope);
      continue;
    }
    if (!/^[1-9]\d{0,14}$/.test(number) || !isJson(scope) || !isJson(span)) {
      brokenLines++;
      continue;
    }
    open.delete((JSON.parse(span) as { spanId?: string } | null)?.spanId ?? "");
    const seq = Number(number);
    const spans = frames.get(seq);
    if (spans === undefined) frames.set(seq, [{ scope, span }]);
    else spans.push({ scope, span });
  }
  return {
    instanceId: basename(path, EXTENSION),
    resource,
    frames: [...frames].sort(([a], [b]) => a - b).map(([seq, spans]) => ({ seq, spans })),
    open: [...open.values()],
    ...{ lastWriteMs, brokenLines },
  };
}

/** JSON text holds neither a raw tab nor a raw line end. */
function lineOf(seq: number, { scope, span }: LoggedSpan): string {
  return `${seq}\t${scope}\t${span}\n`;
}

/** What `serialiseSpan` writes holds neither of them raw, either. */
function openLine(span: string): string {
  return `${OPEN}\t${span}\n`;
}

function openSpanId(text: string): string | undefined {
  return parseOpenSpan(text)?.context.spanId;
}

/** @returns how many bytes that were */
function writeAll(file: number, text: string): number {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
  return bytes.length;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function mtimeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
